"""Labelled images: list them, find copies and near copies, split them by whole groups, draw synthetic ones."""
