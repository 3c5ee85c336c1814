"""One module for each step of a build."""
