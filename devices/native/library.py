"""Load the compiled library once, or say why NumPy has to do without it."""

from __future__ import annotations

import ctypes
from functools import lru_cache

from weckd_edge.devices.native.sources import LIBRARY, digest_of_sources

OUTSIDE_KEYS = "loads what computes the bytes that the NumPy code beside it defines"


class MissingLibrary(Exception):  # noqa: N818 - it says what happened
    """The compiled library is not here, or is not one of these sources."""


def open_library() -> ctypes.CDLL:
    """Open the compiled library.

    Raises:
        MissingLibrary: There is none, the system refuses it, or it was compiled of other sources.
    """
    if not LIBRARY.is_file():
        raise MissingLibrary("it was not built: a C compiler was missing when weckd-edge was installed")
    try:
        library = ctypes.CDLL(str(LIBRARY))
        digest, names = library.weckd_pixels_digest, library.weckd_pixels_instructions
    except (OSError, AttributeError) as err:
        raise MissingLibrary(f"it does not load: {err}") from err
    digest.restype = names.restype = ctypes.c_char_p
    if digest().decode() != digest_of_sources():
        raise MissingLibrary("it was compiled of other sources than are here")
    return library


@lru_cache(maxsize=1)
def pixels_library() -> ctypes.CDLL | None:
    """Return the compiled library, which is opened once; None: NumPy does its work."""
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
    return f"compiled library, {library.weckd_pixels_instructions().decode()}"
