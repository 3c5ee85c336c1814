"""One file a library: what runs a compiled model on one frame."""
