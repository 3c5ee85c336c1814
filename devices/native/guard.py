"""The input guard's measurements by the compiled library."""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weckd_edge.devices.native.library import address_of, packed_rows

OUTSIDE_KEYS = "computes the numbers that the NumPy code of the input guard defines"

JUDGED = 5
"""Number of values that a frame is judged by: the score, sharpness, contrast, and the dark and the bright fraction."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GuardStatistics:
    """What the guard's score is made of.

    Attributes:
        mean: Mean of the training frames' features, float64 ``[D]``.
        whitening: Lower triangular matrix, float64 ``[D, D]``.
    """

    mean: NDArray[np.float64]
    whitening: NDArray[np.float64]


class GuardNumbers(NamedTuple):
    """What the compiled library measured of a frame.

    Attributes:
        judged: The score, sharpness, contrast, and the dark and the bright fraction.
        whitened: Whitened features, float64 ``[D]``, whose squared length is the score.
    """

    judged: list[float]
    whitened: NDArray[np.float64]


def split_numbers(numbers: NDArray[np.float64], features: int) -> GuardNumbers:
    """Return what a frame is judged by and its whitened features, from the numbers that the library wrote."""
    return GuardNumbers(numbers[:JUDGED].tolist(), numbers[JUDGED : JUDGED + features].copy())


class CompiledGuard:
    """What measures frames of a size. Each thread has memory of its own.

    Args:
        library: The compiled library.
        box: Crop of the frame, ``top, left, height, width`` in pixels, at least 3 pixels a side.
        statistics: What the score is made of; None: score and whitened features are 0.
    """

    def __init__(
        self, library: ctypes.CDLL, box: tuple[int, int, int, int], statistics: GuardStatistics | None = None
    ) -> None:
        self._library = library
        self._top, self._left, self._height, self._width = box
        self._statistics = statistics
        self._features: int = library.weckd_pixels_features()
        self._of_thread = threading.local()

    def measure(self, frame: NDArray[np.uint8]) -> GuardNumbers:
        """Return what a frame ``[height, width, 3]`` is judged by, and its whitened features."""
        return split_numbers(self._measured(frame), self._features)

    def measure_all(self, frame: NDArray[np.uint8]) -> tuple[GuardNumbers, NDArray[np.float64]]:
        """Return what ``measure`` returns, and the features ``[D]``."""
        numbers = self._measured(frame)
        return split_numbers(numbers, self._features), numbers[JUDGED + self._features :].copy()

    def _measured(self, frame: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the numbers of a frame; the array is the thread's own, and its next frame's too.

        Raises:
            ValueError: The frame is not of uint8, or the crop leaves it: C would read other memory.
        """
        if frame.dtype != np.uint8 or not self._holds_the_crop(frame.shape):
            least = [self._top + self._height, self._left + self._width, 3]
            raise ValueError(f"expected a frame of uint8 of at least {least}, found {frame.dtype} {list(frame.shape)}")
        rows = packed_rows(frame)
        try:
            state: _State = self._of_thread.state
        except AttributeError:
            state = self._of_thread.state = self._make_state()
        stride = rows.strides[0]
        crop = address_of(rows) + self._top * stride + self._left * 3
        self._library.weckd_pixels_guard_measure(state.memory_address, crop, stride, state.numbers_address)
        return state.numbers

    def _holds_the_crop(self, shape: tuple[int, ...]) -> bool:
        height, width, channels = shape
        return height >= self._top + self._height and width >= self._left + self._width and channels == 3

    def _make_state(self) -> _State:
        state = _State(self._library.weckd_pixels_guard_bytes(), JUDGED + 2 * self._features)
        judged: tuple[int | None, int | None] = (None, None)
        if self._statistics is not None:
            judged = (address_of(self._statistics.mean), address_of(self._statistics.whitening))
        self._library.weckd_pixels_guard_init(state.memory_address, self._height, self._width, *judged)
        return state


class _State:
    """Memory of one thread: the guard's, and the numbers that it writes."""

    def __init__(self, memory_bytes: int, count: int) -> None:
        self.memory = np.empty((memory_bytes + 7) // 8)
        self.numbers = np.empty(count)
        self.memory_address, self.numbers_address = address_of(self.memory), address_of(self.numbers)
