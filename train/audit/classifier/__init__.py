"""Linear classifier of the data audit, its folds and its scores."""
