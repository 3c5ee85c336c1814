"""Values that a backend computes for one frame, inside the graph and at its end, for a comparison layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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


class LayerOpener(Protocol):
    """Opens a model so that it also returns tensors from inside it."""

    def __call__(self, model: Path, names: Sequence[str], *, reference: bool = False, half: bool = False) -> LayerReader: ...
