"""Networks that ``compile`` imports: an ONNX file, a checkpoint, or a link of a former build."""
