"""What a latency is a sum of: a few amounts of work, each with its own price on a device.

A layer costs its MACs at the price of its kind and precision, its bytes at the price of memory, what passes an
exponential by the element, and a fixed price for being a layer at all. A roofline would take the larger of arithmetic and
memory for each layer; a sum with fitted prices needs no peak figures and predicted better here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weckd_edge.devices.latency_model.counts import LayerCount, NetworkCounts

_PRECISIONS = ("float32", "int8")
_LANES = 16
"""Channels that a kernel works on at once: fewer cost as much."""

COMPUTE = (
    *(f"{kind} {precision}" for kind in ("stem", "dense", "pointwise", "grouped", "product") for precision in _PRECISIONS),
    "joined int8",
)
"""MACs of what is bound by arithmetic, output channels rounded up to whole lanes; ``joined``: of those in int8 what
reads joined or cut tensors, once more."""

TRAFFIC = (
    *(f"{kind} {precision}" for kind in ("depthwise", "pool", "copy", "moved") for precision in _PRECISIONS),
    "weights",
    "curved",
    "normalise",
    "gather",
    "layers",
)
"""What is bound by memory or by being there: depthwise MACs (channels rounded up), elements of pools, bytes that
are only copied, bytes of activations, bytes of weights, elements through an exponential, through a norm, picked, and
layers."""

FEATURES = (*COMPUTE, *TRAFFIC)


def features(counts: NetworkCounts) -> NDArray[np.float64]:
    """Return the amounts of work of a network, ``[len(FEATURES)]``, each at least 0."""
    found = dict.fromkeys(FEATURES, 0.0)
    for layer in counts.layers:
        for name, amount in _of_layer(layer).items():
            found[name] += amount * layer.times
    return np.array([found[name] for name in FEATURES])


def feature_matrix(networks: Sequence[NetworkCounts]) -> NDArray[np.float64]:
    """Return ``[N, len(FEATURES)]``."""
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
