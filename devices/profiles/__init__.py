"""Device profiles as TOML files, one a device; each value's source stands in its ``sources`` table."""
