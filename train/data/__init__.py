"""Labelled images: listing them, finding copies and near copies, splitting them by whole groups, drawing phantoms."""
