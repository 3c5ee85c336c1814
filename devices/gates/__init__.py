"""Measured values held against the limits of a build."""
