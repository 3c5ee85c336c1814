"""Write a resize by an antialiased filter as matrix products, equal to its definition bit for bit.

``devices/images/filters.py`` has the definition. ONNX's own ``Resize`` smooths from opset 18 on, and does not round between
its two passes as Pillow does.

A weight has 22 bits behind the point, and float32 would round its sums. So it is taken apart: the upper 10 bits, and the
rest times 4096. Each part has at most 11 bits and each of its sums less than 24, so that both are exact in float32, also in
products of TF32, and where the weights are stored as float16.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from weckd_edge.artifacts import InputSpec
from weckd_edge.devices.images.filters import filter_axes

BLOCK = 8
"""Number of new pixels that are made by one matrix; with more of them it holds more zeros."""

UPPER, LOWER = 1 << 10, 1 << 12
"""Number of steps of 1 that the upper part of a weight has, and of such a step that its lower part has."""


class FilterResize(torch.nn.Module):
    """Crop and resize by a filter: frames ``[B, height, width, 3]`` of any type to whole grey levels, ``[B, 3, S, T]``.

    New pixels beside each other need old ones beside each other. So they are made in blocks, each by a small matrix from
    the old pixels that have a weight there: one matrix for a whole axis would mostly multiply zeros. The matrices of the
    columns repeat every weight for the three colours, so that no picture has to be turned.

    Args:
        spec: The frame, whose ``resize`` is one of ``FILTERS``, and the network's input.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        rows, columns = filter_axes(spec.frame, spec.network.size)
        self.size, self.used = spec.network.size, _used(rows)
        self.columns = self._blocks("column", np.kron(columns, np.eye(3)).astype(np.float64), 3 * BLOCK)
        self.rows = self._blocks("row", rows[:, self.used[0] : self.used[1]], BLOCK)

    def _blocks(self, name: str, weights: NDArray[np.float64], block: int) -> list[tuple[str, int, int]]:
        """Keep the two matrices of each block; return its name, its first old value, and how many old values it takes."""
        blocks = []
        for start in range(0, len(weights), block):
            part = weights[start : start + block]
            first, end = _used(part)
            blocks.append((f"{name}_{start}", first, end - first))
            upper = np.floor(part[:, first:end] * UPPER + 0.5) / UPPER
            for half, matrix in (("upper", upper), ("lower", (part[:, first:end] - upper) * LOWER)):
                kept = torch.from_numpy((matrix.T if name == "column" else matrix).astype(np.float32)).contiguous()
                self.register_buffer(f"{blocks[-1][0]}_{half}", kept, persistent=False)
        return blocks

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the resized pixels of frames."""
        height, width = self.size
        used = frames.narrow(1, self.used[0], self.used[1] - self.used[0]).to(torch.float32).flatten(2)
        parts = [(used.narrow(2, first, count), name) for name, first, count in self.columns]
        across = _whole_levels(
            *(
                torch.cat([torch.matmul(values, self.get_buffer(f"{name}_{half}")) for values, name in parts], dim=2)
                for half in ("upper", "lower")
            )
        )
        parts = [(across.narrow(1, first, count), name) for name, first, count in self.rows]
        down = _whole_levels(
            *(
                torch.cat([torch.matmul(self.get_buffer(f"{name}_{half}"), values) for values, name in parts], dim=1)
                for half in ("upper", "lower")
            )
        )
        return down.reshape(len(frames), height, width, 3).permute(0, 3, 1, 2)


def _whole_levels(upper: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
    """Round the sum of both parts to whole grey levels of 0 to 255, halves up.

    The upper part's fraction and the lower part together are small, and so float32 holds every bit of their sum.
    """
    raised = upper + 0.5
    whole = torch.floor(raised)
    return (whole + torch.floor((raised - whole) + lower * (1 / LOWER))).clamp(0, 255)


def _used(weights: NDArray[np.float64]) -> tuple[int, int]:
    """Return the first old value that has a weight, and the one behind the last."""
    places = np.flatnonzero(weights.any(axis=0))
    return int(places[0]), int(places[-1]) + 1
