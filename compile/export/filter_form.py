"""Write a resize by an antialiased filter as matrix products: ``devices/images/filters.py`` has the definition.

ONNX's own ``Resize`` smooths from opset 18 on, and does not round between its two passes as Pillow does.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from weckd_edge.artifacts import InputSpec
from weckd_edge.devices.images.filters import filter_axes

BLOCK = 8
"""Number of new pixels that are made by one matrix; with more of them it holds more zeros."""


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
        """Keep the matrix of each block; return its name, its first old value, and how many old values it takes."""
        blocks = []
        for start in range(0, len(weights), block):
            part = weights[start : start + block]
            first, end = _used(part)
            blocks.append((f"{name}_{start}", first, end - first))
            matrix = torch.from_numpy(part[:, first:end].astype(np.float32))
            self.register_buffer(blocks[-1][0], matrix.T.contiguous() if name == "column" else matrix, persistent=False)
        return blocks

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the resized pixels of frames."""
        height, width = self.size
        used = frames.narrow(1, self.used[0], self.used[1] - self.used[0]).to(torch.float32).flatten(2)
        parts = [torch.matmul(used.narrow(2, first, count), self.get_buffer(name)) for name, first, count in self.columns]
        across = _whole_levels(torch.cat(parts, dim=2))
        parts = [torch.matmul(self.get_buffer(name), across.narrow(1, first, count)) for name, first, count in self.rows]
        return _whole_levels(torch.cat(parts, dim=1)).reshape(len(frames), height, width, 3).permute(0, 3, 1, 2)


def _whole_levels(values: torch.Tensor) -> torch.Tensor:
    """Round to whole grey levels of 0 to 255, halves up."""
    return torch.floor(values.clamp(0, 255) + 0.5)


def _used(weights: NDArray[np.float64]) -> tuple[int, int]:
    """Return the first old value that has a weight, and the one behind the last."""
    places = np.flatnonzero(weights.any(axis=0))
    return int(places[0]), int(places[-1]) + 1
