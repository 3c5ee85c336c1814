"""What is known of this machine: its identity, clocks, temperatures, free memory."""
