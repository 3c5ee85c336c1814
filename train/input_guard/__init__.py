"""The input guard is fitted here, on training frames."""
