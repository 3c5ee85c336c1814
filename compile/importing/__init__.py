"""Import of an ONNX classifier that a user has, into the one form that the rest of the project works on."""
