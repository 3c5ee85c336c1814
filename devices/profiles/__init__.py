"""Device profiles as TOML files, one a device; its ``sources`` table gives the source of each value."""
