"""Printing for commands: tables, progress, and the line that a failure ends in."""
