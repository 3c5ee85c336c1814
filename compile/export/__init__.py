"""A trained network as an ONNX graph that takes camera frames."""
