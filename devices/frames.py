"""Image files as camera frames: whatever the file holds, out comes uint8 RGB, upright, rows first."""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from weckd_edge.artifacts import InputContract
from weckd_edge.errors import DataError

MAX_PIXELS = 80_000_000
"""Larger images are refused before they are decoded (a frame has a few million; a crafted file can claim any)."""

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "JPEG2000")
"""Formats that are tried: pictures only (Pillow would also start a PostScript interpreter)."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_opening = threading.Lock()


def decode(path: Path) -> NDArray[np.uint8]:
    """Read an image file.

    Args:
        path: JPEG, PNG, TIFF, BMP, WebP, GIF, PPM or JPEG 2000; of several frames the first is taken.

    Returns:
        uint8 ``[H, W, 3]``, RGB, with the EXIF orientation applied. Transparent parts lie on black; 16 bits a channel
        are scaled to 8.

    Raises:
        DataError: The file cannot be read as an image; the message is the path and a short reason.
    """
    try:
        return decode_bytes(read_file(path))
    except DataError as err:
        raise DataError(f"{path}: {err}") from err


def read_file(path: Path) -> bytes:
    """Return a regular file's bytes.

    Raises:
        DataError: With a short reason that does not name the path.
    """
    if not path.exists():
        raise DataError("no such file" if not path.is_symlink() else "a link to a file that does not exist")
    if not path.is_file():
        raise DataError("not a regular file")
    try:
        return path.read_bytes()
    except OSError as err:
        raise DataError(f"cannot be read ({err.strerror})") from err


def decode_bytes(data: bytes) -> NDArray[np.uint8]:
    """Decode an image file's bytes to uint8 ``[H, W, 3]``, as ``decode`` does.

    Raises:
        DataError: With a short reason.
    """
    if not data:
        raise DataError("empty file (0 bytes)")
    try:
        with _no_warnings():
            Image.init()  # a Pillow may be built without one of them
            known = [name for name in FORMATS if name in Image.OPEN]
            image: Image.Image = Image.open(io.BytesIO(data), formats=known)
    except UnidentifiedImageError as err:
        raise DataError("not an image (unknown format)") from err
    except Image.DecompressionBombError as err:
        raise DataError(f"more pixels than the limit of {MAX_PIXELS // 1_000_000} million") from err
    except Exception as err:  # a decoder may raise anything on damaged bytes
        raise DataError(f"damaged header ({_brief(err)})") from err
    if image.width * image.height > MAX_PIXELS:
        raise DataError(f"more pixels than the limit of {MAX_PIXELS // 1_000_000} million")
    try:
        image.load()
        return np.array(_upright(_to_rgb(image), image), dtype=np.uint8)
    except DataError:
        raise
    except Exception as err:
        raise DataError(f"damaged or cut short ({_brief(err)})") from err


@contextmanager
def _no_warnings() -> Iterator[None]:
    # Filters belong to the whole process, hence the lock; headers are quick, pixels are decoded outside of it.
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _brief(err: Exception) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0][:80] or type(err).__name__


def _upright(rgb: Image.Image, source: Image.Image) -> Image.Image:
    try:
        with _no_warnings():
            orientation = source.getexif().get(0x0112, 1)
    except Exception:  # damaged EXIF data beside whole pixels
        orientation = 1
    turn = _TURNS.get(orientation)
    return rgb if turn is None else rgb.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.rint(values / 257).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise DataError("32 bits a channel; expected 8 or 16, save it as such")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image).convert("RGB")
    return image.convert("RGB")


def pixels_sha256(image: NDArray[np.uint8]) -> str:
    """Return the digest of an image's size and pixels: equal for copies, whatever the file around them.

    Args:
        image: uint8 ``[H, W, 3]``.
    """
    digest = hashlib.sha256(f"{image.shape[0]}x{image.shape[1]}:".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def fit(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Bring an image to a frame's size: scaled to cover it, then the centre kept.

    Args:
        image: uint8 ``[H, W, 3]``.
        height: Pixels.
        width: Pixels.

    Returns:
        uint8 ``[height, width, 3]``; the very same array where the size is right already.
    """
    rows, columns = image.shape[:2]
    if (rows, columns) == (height, width):
        return image
    scale = max(height / rows, width / columns)
    wide, high = width / scale, height / scale
    left, top = (columns - wide) / 2, (rows - high) / 2
    box = (max(0.0, left), max(0.0, top), min(float(columns), left + wide), min(float(rows), top + high))
    # Along the rows first, then along the columns: which of them Pillow takes first in one call depends on its version and
    # on the shape, and a grey level here and there depends on that.
    narrow = Image.fromarray(image).resize((width, rows), Image.Resampling.BILINEAR, box=(box[0], 0, box[2], rows))
    scaled = narrow.resize((width, height), Image.Resampling.BILINEAR, box=(0, box[1], width, box[3]))
    return np.array(scaled, dtype=np.uint8)


def frame_from_file(path: Path, contract: InputContract) -> NDArray[np.uint8]:
    """Read an image file as the camera frame a model expects.

    Returns:
        uint8 ``[1, frame_height, frame_width, 3]``.

    Raises:
        DataError: The file cannot be read as an image.
    """
    return fit(decode(path), contract.frame_height, contract.frame_width)[None]
