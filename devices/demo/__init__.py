"""A local page that answers images with a bundle: drop a file, choose one, or take one with the camera."""
