"""Student networks: make them, open them from a file, and prepare images for them."""
