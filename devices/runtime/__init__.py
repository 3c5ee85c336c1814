"""A bundle's model on this machine: choosing it, running it, checking it."""
