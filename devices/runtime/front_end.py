"""The front end: what the graph takes and what the guard says, made of a camera frame.

A graph that takes pixels leaves crop and resize to the front end, which is the same everywhere: training, the build and the
device show it the same bytes. Other graphs take the frame as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.artifacts import InputSpec, crop_box
from weckd_edge.devices.images.area_resize import resize_area
from weckd_edge.devices.runtime.backends.base import Frame, check_tensor

if TYPE_CHECKING:
    from weckd_edge.devices.runtime.input_guard import GuardDecision, OpenGuard

_UINT8 = np.dtype(np.uint8)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A camera frame as graph and guard have it.

    Attributes:
        pixels: What the graph takes: uint8, of the shape that ``InputSpec.graph_shape`` says.
        decision: Decision of the guard; None where there is none.
    """

    pixels: Frame
    decision: GuardDecision | None


class FrontEnd:
    """What is done with a camera frame before the graph runs.

    Args:
        spec: The frame, and the network's input.
        guard: Input guard that looks at each frame; None: there is none.

    Attributes:
        spec: The frame, and the network's input.
        guard: Input guard that looks at each frame; None: there is none.
    """

    def __init__(self, spec: InputSpec, guard: OpenGuard | None = None) -> None:
        self.spec = spec
        self.guard = guard
        self._frame_shape = spec.frame_shape
        self._box = crop_box(spec.frame)

    def prepare(self, frame: Frame) -> Prepared:
        """Return both what the graph takes and the guard's decision, for a frame ``[1, height, width, 3]``.

        Raises:
            ModelError: The frame has another shape or type than the contract's, or is not contiguous.
        """
        return Prepared(self.pixels(frame), self.check(frame))

    def pixels(self, frame: Frame) -> Frame:
        """Return what the graph takes: the resized crop of a frame ``[1, height, width, 3]``, or that very frame.

        Raises:
            ModelError: The frame has another shape or type than the contract's, or is not contiguous.
        """
        check_tensor(frame, self._frame_shape, _UINT8)
        if not self.spec.graph_takes_pixels:
            return frame
        top, left, height, width = self._box
        resized = resize_area(frame[0, top : top + height, left : left + width], *self.spec.network.size)
        return np.ascontiguousarray(resized)[None]

    def check(self, frame: Frame) -> GuardDecision | None:
        """Return the guard's decision on a frame ``[1, height, width, 3]``; None where there is no guard."""
        return None if self.guard is None else self.guard.check(frame)
