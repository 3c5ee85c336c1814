"""The masking audit: how much of the label is told with the middle of a picture, or all around it, covered."""
