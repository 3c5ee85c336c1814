"""Masking audit: how much of the label is predicted with the middle of a picture, or all around it, covered."""
