"""The chain is trained here: tasks, losses, strategies, the loop."""
