"""Copies and near copies of images, and the groups that they make."""
