"""Pictures as they come, and the frames made of them."""
