"""Which parts of a frame a prediction rests on."""
