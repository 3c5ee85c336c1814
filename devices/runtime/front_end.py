"""The front end: what the graph takes and what the guard says, made of a camera frame.

A graph that takes pixels leaves crop and resize to the front end, which is the same everywhere: training, the build and the
device show it the same bytes. Other graphs take the frame as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.artifacts import InputSpec, Takes, crop_box
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.images.area_resize import resize_area
from weckd_edge.devices.images.camera_frames import COLOURS, MATRICES, CameraFrame, rgb_of
from weckd_edge.devices.images.fitting import fit_to_frame
from weckd_edge.devices.native.front_end import CFrame, CompiledFrontEnd, Sizes
from weckd_edge.devices.native.library import address_of, packed_rows, pixels_library
from weckd_edge.devices.runtime.backends.base import Frame, check_tensor

if TYPE_CHECKING:
    from weckd_edge.devices.native.guard import GuardNumbers
    from weckd_edge.devices.runtime.input_guard import GuardDecision, OpenGuard

_UINT8 = np.dtype(np.uint8)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A camera frame as graph and guard have it.

    Attributes:
        pixels: What the graph takes: uint8, of the shape that ``InputSpec.shape_of`` says. The front end may write the
            thread's next frame into the same array.
        decision: Decision of the guard; None where there is none.
    """

    pixels: Frame
    decision: GuardDecision | None


class FrontEnd:
    """What is done with a camera frame before the graph runs.

    Args:
        spec: The frame, and the network's input.
        guard: Input guard that looks at each frame; None: there is none.
        takes: What the graph takes; None: what the bundle's graph takes. A device's engine may take the frame instead.

    Attributes:
        spec: The frame, and the network's input.
        guard: Input guard that looks at each frame; None: there is none.
        takes: What the graph takes.
    """

    def __init__(self, spec: InputSpec, guard: OpenGuard | None = None, takes: Takes | None = None) -> None:
        self.spec = spec
        self.guard = guard
        self.takes: Takes = takes or spec.graph_input_name
        self._frame_shape = spec.frame_shape
        self._box = crop_box(spec.frame)
        self._whole = (0, 0, spec.frame.width, spec.frame.height)
        self._compiled = _compile(spec, guard, self.takes)

    @property
    def computes(self) -> bool:
        """Whether there is anything to do: pixels to make, or a guard that looks."""
        return self.takes == "pixels" or self.guard is not None

    def prepare(self, frame: Frame) -> Prepared:
        """Return both what the graph takes and the guard's decision, for a frame ``[1, height, width, 3]``.

        Raises:
            ModelError: The frame has another shape or type than the contract's, or is not contiguous.
        """
        if self._compiled is None or self.takes == "frame":
            return Prepared(self.pixels(frame), self.check(frame))
        check_tensor(frame, self._frame_shape, _UINT8)
        pixels, numbers = self._compiled.run_frame(address_of(frame))
        return Prepared(pixels, self._decide(numbers))

    def prepare_camera(self, frame: CameraFrame) -> Prepared:
        """Return both for a camera's frame of any size and order of values.

        Raises:
            ModelError: The region is smaller than the network's input; it would be enlarged to pixels that no camera took.
        """
        self._check_size(frame)
        pixels = frame.pixels
        is_contract = frame.colour == "rgb" and frame.region == self._whole and pixels.shape == self._frame_shape[1:]
        if is_contract and pixels.flags.c_contiguous:
            return self.prepare(pixels[None])
        if self._compiled is None:
            fitted = fit_to_frame(rgb_of(frame), self.spec.frame.height, self.spec.frame.width)
            return self.prepare(np.ascontiguousarray(fitted)[None])
        taken, numbers = self._compiled.run(_c_frame(frame))
        return Prepared(taken, self._decide(numbers))

    def _check_size(self, frame: CameraFrame) -> None:
        _, _, width, height = frame.region
        least_height, least_width = self.spec.network.size
        is_too_small = height < least_height or width < least_width
        if is_too_small and (height, width) != (self.spec.frame.height, self.spec.frame.width):
            raise ModelError(
                f"frame: {width} x {height} pixels are used, and the network takes {least_width} x {least_height}; "
                "expected at least as many along both sides",
                code="E_MODEL_FRAME_GEOMETRY",
            )

    def _decide(self, numbers: GuardNumbers | None) -> GuardDecision | None:
        return None if numbers is None or self.guard is None else self.guard.decide(numbers)

    def pixels(self, frame: Frame) -> Frame:
        """Return what the graph takes: the resized crop of a frame ``[1, height, width, 3]``, or that very frame.

        Raises:
            ModelError: The frame has another shape or type than the contract's, or is not contiguous.
        """
        check_tensor(frame, self._frame_shape, _UINT8)
        if self.takes == "frame":
            return frame
        top, left, height, width = self._box
        resized = resize_area(frame[0, top : top + height, left : left + width], *self.spec.network.size)
        return np.ascontiguousarray(resized)[None]

    def check(self, frame: Frame) -> GuardDecision | None:
        """Return the guard's decision on a frame ``[1, height, width, 3]``; None where there is no guard."""
        return None if self.guard is None else self.guard.check(frame)


def _compile(spec: InputSpec, guard: OpenGuard | None, takes: Takes) -> CompiledFrontEnd | None:
    """Return the front end in the compiled library; None: it is not here."""
    library = pixels_library()
    if library is None:
        return None
    sizes = Sizes(
        frame=(spec.frame.height, spec.frame.width),
        box=crop_box(spec.frame),
        network=spec.network.size if takes == "pixels" else None,
    )
    return CompiledFrontEnd(library, sizes, None if guard is None else guard.statistics)


def _c_frame(frame: CameraFrame) -> CFrame:
    """Return the frame as C takes it, which must not outlive it; rows that C cannot read in place are copied."""
    pixels, chroma = packed_rows(frame.pixels), None if frame.chroma is None else packed_rows(frame.chroma)
    height, width = pixels.shape[:2]
    left, top, region_width, region_height = frame.region
    found = CFrame(
        pixels=address_of(pixels),
        chroma=None if chroma is None else address_of(chroma),
        width=width,
        height=height,
        stride_bytes=pixels.strides[0],
        chroma_stride_bytes=0 if chroma is None else chroma.strides[0],
        format=COLOURS.index(frame.colour),
        matrix=MATRICES.index(frame.matrix),
        roi_x=left,
        roi_y=top,
        roi_width=region_width,
        roi_height=region_height,
    )
    found.arrays = pixels, chroma
    return found
