"""The compiled library, loaded once; or why NumPy has to do without it."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.devices.native.sources import LIBRARY, digest_of_sources

OUTSIDE_KEYS = "computes the bytes and numbers that the NumPy code beside it defines"

_ADDRESS, _SIZE, _SIDE = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "weckd_pixels_digest": (ctypes.c_char_p, ()),
    "weckd_pixels_instructions": (ctypes.c_char_p, ()),
    "weckd_pixels_resize": (ctypes.c_int, (_ADDRESS, _SIZE, _SIDE, _SIDE, _SIDE, _SIDE, _ADDRESS)),
    "weckd_pixels_features": (_SIDE, ()),
    "weckd_pixels_guard_bytes": (_SIZE, ()),
    "weckd_pixels_guard_init": (None, (_ADDRESS, _SIDE, _SIDE, _ADDRESS, _ADDRESS)),
    "weckd_pixels_guard_measure": (None, (_ADDRESS, _ADDRESS, _SIZE, _ADDRESS)),
    "weckd_pixels_front_end_bytes": (_SIZE, (_ADDRESS,)),
    "weckd_pixels_front_end_init": (None, (_ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS)),
    "weckd_pixels_front_end_run": (ctypes.c_int, (_ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS, ctypes.c_char_p)),
}
"""Result and arguments of each function of the library."""


_MAX_STRIDE = 1 << 32
"""Bytes from a row to the next from which on 32 bits do not hold them."""

_REBUILD = "install gcc, then in a checkout: pip install --no-deps --no-cache-dir --force-reinstall ."


class MissingLibrary(Exception):  # noqa: N818 - it says what happened
    """The compiled library is not here, or is not one of these sources."""


def open_library(path: Path | None = None) -> ctypes.CDLL:
    """Open the compiled library.

    Args:
        path: File of the library; None: the one that was installed.

    Raises:
        MissingLibrary: There is none, the system refuses it, or it was compiled of other sources.
    """
    path = LIBRARY if path is None else path
    if not path.is_file():
        raise MissingLibrary(f"it was not built, as no C compiler worked when weckd-edge was installed; {_REBUILD}")
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as err:
        raise MissingLibrary(f"it does not load ({err}); {_REBUILD}") from err
    if library.weckd_pixels_digest().decode() != digest_of_sources():
        raise MissingLibrary("it was compiled of other C sources than lie here; in the checkout: make native")
    return library


@lru_cache(maxsize=1)
def pixels_library() -> ctypes.CDLL | None:
    """Return the compiled library; None: NumPy does its work. It is decided once in a process."""
    try:
        return open_library()
    except MissingLibrary:
        return None


def describe_library() -> str:
    """Return in words what computes on pixels here."""
    try:
        library = open_library()
    except MissingLibrary as err:
        return f"NumPy, without the compiled library: {err}"
    return f"compiled library ({library.weckd_pixels_instructions().decode()})"


def address_of(array: NDArray[Any]) -> int:
    """Return where an array's first element lies."""
    address: int = array.__array_interface__["data"][0]
    return address


def packed_rows(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an array whose rows C can read in place: these values, or a copy.

    Args:
        values: ``[H, W]`` or ``[H, W, channels]``, of any strides.

    Returns:
        Values whose rows each lie together and follow each other downwards.
    """
    inside = (1,) if values.ndim == 2 else (values.shape[2], 1)
    is_packed = values.strides[1:] == inside and values.shape[1] * inside[0] <= values.strides[0] < _MAX_STRIDE
    return values if is_packed else np.ascontiguousarray(values)


def resize(library: ctypes.CDLL, pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize pixels ``[H, W, 3]`` by area to ``[height, width, 3]``; no side is empty.

    Raises:
        MemoryError: There is not enough memory.
    """
    rows = packed_rows(pixels)
    out = np.empty((height, width, 3), np.uint8)
    old_height, old_width = rows.shape[:2]
    if library.weckd_pixels_resize(address_of(rows), rows.strides[0], old_height, old_width, height, width, address_of(out)):
        raise MemoryError(f"no memory to resize {old_width} x {old_height} pixels")
    return out
