"""Synthetic images of ears, for trying the product without a data set."""
