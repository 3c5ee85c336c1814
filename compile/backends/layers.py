"""Values that a backend computes for one frame, inside the graph and at its end, for a comparison layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from weckd_edge.devices.runtime.backends.base import Frame, Probabilities


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerValues:
    """Values of one frame on its way through a graph.

    Attributes:
        probabilities: Predicted probabilities, float32 ``[classes]``.
        tensors: Requested tensors by name, float32, in the graph's shapes.
    """

    probabilities: Probabilities
    tensors: dict[str, Probabilities]


LayerReader = Callable[[Frame], LayerValues]
"""Runs a graph once on a frame ``[1, H, W, 3]``."""
