"""What is installed on this machine, and what would make its measurements better."""
