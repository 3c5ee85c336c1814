"""Quantization-aware distillation: a link is trained further under int8 rounding."""
