"""Facts about this machine: its identity and profile, clocks, throttling, free memory and disk."""
