"""Quantization of a network: ranges, Q/DQ nodes, candidates in lower precisions, and the choice among them."""
