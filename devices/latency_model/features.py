"""Features of a network that its latency is a sum of: amounts of work, each with its own price on a device.

A layer costs its MACs at the price of its kind and precision, its bytes at the price of memory, its exponentials by the
element, and a fixed price for being a layer at all. A roofline would take the larger of arithmetic and memory for each
layer; a sum with fitted prices needs no peak figures and estimated better here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weckd_edge.devices.latency_model.counts import LayerCount, NetworkCounts

_PRECISIONS = ("float32", "int8")
_LANES = 16
"""Channels that a kernel works on at once; fewer cost as much."""

COMPUTE = (
    *(f"{kind} {precision}" for kind in ("stem", "dense", "pointwise", "grouped", "product") for precision in _PRECISIONS),
    "joined int8",
)
"""Features bound by arithmetic: MACs, with output channels rounded up to whole lanes.

``joined int8`` counts the MACs of int8 layers that read joined or cut tensors once more.
"""

TRAFFIC = (
    *(f"{kind} {precision}" for kind in ("depthwise", "pool", "copy", "moved") for precision in _PRECISIONS),
    "weights",
    "curved",
    "normalise",
    "gather",
    "layers",
)
"""Features bound by memory, and the number of layers.

They are depthwise MACs (channels rounded up), elements of pools, bytes that are only copied, bytes of activations, bytes of
weights, elements through an exponential, elements through a norm, elements that are picked one by one, and layers.
"""

FEATURES = (*COMPUTE, *TRAFFIC)
"""Names of all features, in the order of a feature vector."""


def features(counts: NetworkCounts) -> NDArray[np.float64]:
    """Return the feature vector of a network, ``[len(FEATURES)]``, each value at least 0."""
    found = dict.fromkeys(FEATURES, 0.0)
    for layer in counts.layers:
        for name, amount in _of_layer(layer).items():
            found[name] += amount * layer.times
    return np.array([found[name] for name in FEATURES])


def feature_matrix(networks: Sequence[NetworkCounts]) -> NDArray[np.float64]:
    """Return the feature vectors of networks, ``[N, len(FEATURES)]``."""
    return np.array([features(counts) for counts in networks], dtype=np.float64).reshape(len(networks), len(FEATURES))


def _of_layer(layer: LayerCount) -> dict[str, float]:
    precision, moved = layer.precision, float(layer.read_bytes + layer.written_bytes)
    found = {"weights": float(layer.weight_bytes), "curved": float(layer.curved), "layers": 1.0, f"moved {precision}": moved}
    kind = layer.kind
    if kind in ("stem", "dense", "pointwise", "grouped", "product", "depthwise"):
        found[f"{kind} {precision}"] = layer.macs * _padding(layer.out_channels)
        if precision == "int8":
            found["joined int8"] = layer.joined * _padding(layer.out_channels)
    elif kind == "pool":
        found[f"{kind} {precision}"] = float(layer.macs)
    elif kind == "copy":
        found[f"{kind} {precision}"] = moved
    elif kind == "gather":
        found["gather"] = float(layer.macs)
        del found[f"moved {precision}"]
    elif kind in ("normalise", "other"):
        found["normalise"] = float(layer.macs)
    return found


def _padding(channels: int) -> float:
    return 1.0 if channels == 0 else -(-channels // _LANES) * _LANES / channels
