"""Verification that what is deployed predicts as what was trained."""
