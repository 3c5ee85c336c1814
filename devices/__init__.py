"""Devices: their profiles and detection, and how a bundle is run, measured and finalized on one. It imports no torch."""
