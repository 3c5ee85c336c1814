"""Write the resize by area as matrix products, equal to its definition bit for bit.

``devices/images/area_resize.py`` has the definition and the reason why float32 is exact here. Weights are divided by a power
of two, so that sums are grey levels with a fraction.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from weckd_edge.artifacts import InputSpec, crop_box
from weckd_edge.devices.images.area_resize import TOTAL, area_weights

LONGEST_BAND = 16
"""Most old pixels in an axis's repeating pattern; with a longer one a product would mostly multiply zeros."""


class AreaAxis(torch.nn.Module):
    """Mean of the old pixels of each new one along one axis: ``[B, source, C]`` to float32 ``[B, target, C]``.

    Where both lengths have a large common divisor, the weights repeat from band to band, and one small matrix serves all of
    the bands. Elsewhere each new pixel is a band of its own, and the old ones that it covers are taken first.

    Args:
        source: Number of old pixels.
        target: Number of new pixels.
    """

    matrix: torch.Tensor
    places: torch.Tensor

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        axis = area_weights(source, target)
        self.target, self.bands = target, math.gcd(source, target)
        old, new = source // self.bands, target // self.bands
        matrix, places = axis.matrix(source)[:new, :old], np.zeros(0, np.int64)
        if old > LONGEST_BAND:
            self.bands, matrix, places = target, axis.weights[:, None], axis.places(source).reshape(-1)
        self.register_buffer("matrix", torch.from_numpy((matrix / TOTAL).astype(np.float32)), persistent=False)
        self.register_buffer("places", torch.from_numpy(places), persistent=False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the means of values ``[B, source, C]`` of any type."""
        batch, _, columns = values.shape
        if len(self.places):
            values = values.index_select(1, self.places)
        bands = values.to(torch.float32).reshape(batch, self.bands, -1, columns)
        return torch.matmul(self.matrix, bands).reshape(batch, self.target, columns)


class AreaResize(torch.nn.Module):
    """Crop and resize by area: frames ``[B, height, width, 3]`` of any type to whole grey levels, float32 ``[B, 3, S, T]``.

    Args:
        spec: The frame, of which the part that ``crop`` says is resized, and the network's input.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.box, self.size = crop_box(spec.frame), spec.network.size
        self.whole = (spec.frame.height, spec.frame.width)
        self.down, self.across = (AreaAxis(*axis) for axis in zip(self.box[2:], self.size, strict=True))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the resized pixels of frames."""
        batch, (down, across) = len(frames), self.size
        top, left, height, width = self.box
        if height < self.whole[0]:
            frames = frames.narrow(1, top, height)
        if width < self.whole[1]:
            frames = frames.narrow(2, left, width)
        if (height, width) == self.size:
            return frames.to(torch.float32).permute(0, 3, 1, 2)
        rows = self.down(frames.reshape(batch, height, width * 3))
        rows = rows.reshape(batch, down, width, 3)
        columns = self.across(rows.permute(0, 2, 3, 1).reshape(batch, width, 3 * down))
        return torch.floor(columns + 0.5).reshape(batch, across, 3, down).permute(0, 2, 3, 1)
