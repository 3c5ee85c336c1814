"""Counts of a graph's operations and bytes, layer by layer."""
