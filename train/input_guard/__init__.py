"""Fit of the input guard, on training frames."""
