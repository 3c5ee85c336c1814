"""Student networks: how they are made, opened from a file, and given images."""
