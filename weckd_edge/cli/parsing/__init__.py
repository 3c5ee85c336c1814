"""Parsing for commands: groups of options, types of values, images and links as they are written."""
