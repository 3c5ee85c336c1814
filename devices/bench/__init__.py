"""Latency, energy and memory of a model on this machine."""
