"""The bundle's format: how a bundle is read, sealed, signed and packaged."""
