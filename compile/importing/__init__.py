"""An ONNX classifier from elsewhere, brought to the one form that the rest of the project works on."""
