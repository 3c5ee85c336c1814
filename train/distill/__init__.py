"""Training of the chain: tasks, losses, strategies and the loop."""
