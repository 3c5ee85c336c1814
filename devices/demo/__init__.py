"""Local page that predicts images with a bundle: drop a file, choose one, or take one with the camera."""
