"""Frames of videos as a data set: which are taken, and the folder that they are written to."""
