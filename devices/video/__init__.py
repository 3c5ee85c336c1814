"""Frames along time: video files, cameras, network streams, and folders of frames."""
