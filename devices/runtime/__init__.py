"""Choice, run and check of a bundle's model on this machine."""
