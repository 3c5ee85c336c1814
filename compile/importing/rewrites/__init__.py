"""Rewrites of an imported network, each of one kind: operators, opset, constants, weights, padding, training mode, int8."""
