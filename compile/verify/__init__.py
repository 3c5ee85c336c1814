"""Verification that the deployed model predicts as the trained network."""
