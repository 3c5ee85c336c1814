"""weckd-edge: from a folder of labelled images to a verified model bundle for a small device."""

__version__ = "0.1.0"
