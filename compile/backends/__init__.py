"""Backends that turn the quantized ONNX graph into the form a device runs, one file a library."""
