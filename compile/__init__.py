"""Export, quantize, build and verify. Meets the training stage only in ``weckd_edge.artifacts``."""
