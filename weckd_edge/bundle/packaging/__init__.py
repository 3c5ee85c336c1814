"""Packages for update systems (docs/how-to/updates.md): a plain tar, RAUC, SWUpdate, Mender."""
