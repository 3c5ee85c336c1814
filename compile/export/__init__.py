"""Export of a trained network as an ONNX graph that takes camera frames."""
