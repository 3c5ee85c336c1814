"""A local page that classifies images with a bundle: drop a file, choose one, or take one with the camera."""
