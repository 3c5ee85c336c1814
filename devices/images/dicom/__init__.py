"""DICOM as one more kind of image file: what its header says of the pixels, and nothing else of it."""
