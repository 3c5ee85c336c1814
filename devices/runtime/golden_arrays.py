"""Golden frames of a bundle and the predictions expected of them: arrays with exactly the header that NumPy writes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import BuiltModel
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import BundleError

_MAGIC = b"\x93NUMPY\x01\x00"
_MAX_HEADER_BYTES = 1024
_MAX_ITEMS = (1 << 32) - 1


def load_golden_frames(bundle: Bundle) -> NDArray[np.uint8]:
    """Read the golden frames ``[N, H, W, 3]``.

    Raises:
        BundleError: The file is no array, of another shape or type than the manifest promises, or was changed.
    """
    frame, ref = bundle.manifest.input.frame, bundle.manifest.selftest.frames
    found: NDArray[np.uint8] = read_array(bundle.read(ref), ref.path, "|u1", (frame.height, frame.width, 3))
    return found


def load_expected(bundle: Bundle, model: BuiltModel, count: int) -> NDArray[np.float32]:
    """Read what the golden frames must give with a model of the bundle, ``[N, classes]``.

    Args:
        bundle: The bundle.
        model: The model, or the recipe.
        count: Number of golden frames.

    Raises:
        BundleError: The file is no array, of another shape or type than the manifest promises, or was changed; or one of the
            predictions is no number.
    """
    if model.expected is None:
        raise BundleError(f"{bundle.folder}: {model.name} has no golden predictions", code="E_BUNDLE_GOLDEN")
    ref = model.expected
    expected: NDArray[np.float32] = read_array(bundle.read(ref), ref.path, "<f4", (len(bundle.manifest.labels),))
    if count != len(expected):
        raise BundleError(
            f"{ref.path}: expected a prediction for each golden frame, found {len(expected)} for {count}",
            code="E_BUNDLE_GOLDEN",
        )
    if not np.isfinite(expected).all():
        raise BundleError(f"{ref.path}: expected finite golden predictions, found others", code="E_BUNDLE_GOLDEN")
    return expected


def read_array(data: bytes, where: str, descr: str, sides: Sequence[int]) -> NDArray[Any]:
    """Return the array ``[N, *sides]`` of a ``.npy`` file.

    Args:
        data: Bytes of the file.
        where: Name of the file for messages.
        descr: NumPy's name of the type, ``|u1`` or ``<f4``.
        sides: Length of every axis but the first, which has at least one item.

    Raises:
        BundleError: The header is not the one that NumPy writes for such an array, or the file is shorter or longer.
    """
    length = int.from_bytes(data[8:10], "little")
    header = data[10 : 10 + length]
    shape = "".join(f", {side}" for side in sides)
    wanted = re.escape(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (").encode()
    found = re.fullmatch(wanted + rb"([1-9][0-9]{0,9})" + re.escape(f"{shape}), }}").encode() + rb" *\n", header)
    if not data.startswith(_MAGIC) or len(header) != length or length > _MAX_HEADER_BYTES or found is None:
        raise BundleError(
            f"{where}: expected an array of {descr} of the shape (N{shape}) as NumPy 1.0 files have it",
            code="E_BUNDLE_GOLDEN",
        )
    count = int(found[1])
    start, size = 10 + length, count * math.prod(sides) * np.dtype(descr).itemsize
    if count > _MAX_ITEMS or len(data) != start + size:
        raise BundleError(
            f"{where}: expected {start + size} bytes for {count} items, found {len(data)}", code="E_BUNDLE_GOLDEN"
        )
    return np.frombuffer(data, np.dtype(descr), offset=start).reshape(count, *sides)
