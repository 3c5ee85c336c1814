"""One file a library: what turns the quantized ONNX graph into the form a device runs."""
