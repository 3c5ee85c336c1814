"""What a backend gives for a comparison layer by layer: its answer to a frame, with tensors from inside the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from weckd_edge.devices.runtime.backends.base import Frame, Probabilities


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerValues:
    """One frame through a graph.

    Attributes:
        probabilities: Probabilities ``[classes]``.
        tensors: The tensors that were asked for, by name; float32, in the graph's shapes.
    """

    probabilities: Probabilities
    tensors: dict[str, Probabilities]


LayerReader = Callable[[Frame], LayerValues]
"""Runs a graph once on a frame ``[1, H, W, 3]``."""
