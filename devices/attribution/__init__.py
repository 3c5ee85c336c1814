"""Attribution: maps of the parts of a frame that a prediction rests on."""
