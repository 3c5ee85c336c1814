"""The front end in the compiled library: one call makes of a camera's frame what the graph takes, and measures it."""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.core.bounds import MAX_SIDE
from weckd_edge.devices.native.guard import JUDGED, GuardNumbers, GuardStatistics, split_numbers
from weckd_edge.devices.native.library import address_of

OUTSIDE_KEYS = "computes the bytes and numbers that the NumPy code of the front end defines"

_ALIGNMENT = 64
_MESSAGE_BYTES = 256
_COVER = 1


class CFrame(ctypes.Structure):
    """``weckd_frame`` of the C library.

    Attributes:
        arrays: Arrays that its addresses point to, kept for as long as it lives.
    """

    arrays: tuple[object, ...] = ()
    _fields_ = (
        ("pixels", ctypes.c_void_p),
        ("chroma", ctypes.c_void_p),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("stride_bytes", ctypes.c_uint32),
        ("chroma_stride_bytes", ctypes.c_uint32),
        ("format", ctypes.c_int),
        ("matrix", ctypes.c_int),
        ("roi_x", ctypes.c_uint32),
        ("roi_y", ctypes.c_uint32),
        ("roi_width", ctypes.c_uint32),
        ("roi_height", ctypes.c_uint32),
        ("fit", ctypes.c_int),
        ("flags", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )


class _CSpec(ctypes.Structure):
    """``weckd_front_end_spec`` of the C library."""

    _fields_ = tuple(
        (name, ctypes.c_uint32)
        for name in (
            *("frame_width", "frame_height", "left", "top", "width", "height"),
            *("network_width", "network_height", "max_source_width", "max_source_height"),
        )
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Sizes of a front end, pixels.

    Attributes:
        frame: Height and width of the camera frame.
        box: Crop of the frame, ``top, left, height, width``.
        network: Height and width of the network's pixels; None: the graph takes the frame.
    """

    frame: tuple[int, int]
    box: tuple[int, int, int, int]
    network: tuple[int, int] | None


class CompiledFrontEnd:
    """A front end in the compiled library. Each thread has memory of its own.

    Args:
        library: The compiled library.
        sizes: Sizes of the frame, of its crop and of what the graph takes.
        guard: Statistics of the guard; None: nothing is measured.
    """

    def __init__(self, library: ctypes.CDLL, sizes: Sizes, guard: GuardStatistics | None) -> None:
        self._run = library.weckd_pixels_front_end_run
        self._library, self._sizes, self._guard = library, sizes, guard
        self._features: int = library.weckd_pixels_features()
        self._of_thread = threading.local()

    def run_frame(self, address: int) -> tuple[NDArray[np.uint8], GuardNumbers | None]:
        """Show it an RGB frame of the contract's size, rows without padding, that lies at an address.

        Returns:
            What the graph takes, uint8 ``[1, height, width, 3]``, and what ``CompiledGuard.measure`` returns; None: there is
            no guard. The array is the thread's own, and its next frame's too.
        """
        state = self._state()
        state.frame.pixels = address
        return self._show(state, state.frame_address)

    def run(self, frame: CFrame) -> tuple[NDArray[np.uint8], GuardNumbers | None]:
        """Show it a frame of any size, order and region, whose geometry was checked; return what ``run_frame`` returns."""
        frame.fit = _COVER
        return self._show(self._state(), ctypes.addressof(frame))

    def _show(self, state: _State, frame: int) -> tuple[NDArray[np.uint8], GuardNumbers | None]:
        status = self._run(state.address, frame, state.pixels_address, state.numbers_address, state.message)
        if status:
            raise RuntimeError(f"the compiled library refuses a frame that was checked: {state.message.value.decode()}")
        return state.pixels, None if self._guard is None else split_numbers(state.numbers, self._features)

    def _state(self) -> _State:
        try:
            state: _State = self._of_thread.state
        except AttributeError:
            state = self._of_thread.state = _State(self._library, self._sizes, self._guard)
        return state


class _State:
    """Memory of one thread: the front end's, and what it is given and writes."""

    def __init__(self, library: ctypes.CDLL, sizes: Sizes, guard: GuardStatistics | None) -> None:
        height, width = sizes.frame
        box_top, box_left, box_height, box_width = sizes.box
        top, left, crop_height, crop_width = sizes.box if sizes.network is not None else (0, 0, height, width)
        new_height, new_width = sizes.network or (0, 0)
        spec = _CSpec(width, height, left, top, crop_width, crop_height, new_width, new_height, MAX_SIDE, MAX_SIDE)
        box = (ctypes.c_uint32 * 4)(box_left, box_top, box_width, box_height)
        self._memory = np.empty(library.weckd_pixels_front_end_bytes(ctypes.addressof(spec)) + _ALIGNMENT, np.uint8)
        start = address_of(self._memory)
        self.address = start + -start % _ALIGNMENT
        statistics: tuple[int | None, int | None, int | None] = (None, None, None)
        if guard is not None:
            statistics = (ctypes.addressof(box), address_of(guard.mean), address_of(guard.whitening))
        library.weckd_pixels_front_end_init(self.address, ctypes.addressof(spec), *statistics)
        self.pixels = np.empty((1, *(sizes.network or sizes.frame), 3), np.uint8)
        self.pixels_address = address_of(self.pixels)
        self.numbers = np.empty(JUDGED + library.weckd_pixels_features())
        self.numbers_address = address_of(self.numbers)
        self.message = ctypes.create_string_buffer(_MESSAGE_BYTES)
        self.frame = CFrame(width=width, height=height)
        self.frame_address = ctypes.addressof(self.frame)
