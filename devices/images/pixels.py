"""Decoded pixels as upright RGB of 8 bits: bit depth, transparency, inverted grey and EXIF orientation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weckd_edge.core.errors import DataError
from weckd_edge.devices.images.headers import Claims
from weckd_edge.devices.images.notes import PixelCounter

Pixels = NDArray[np.uint8]

STORED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: upright.transpose(1, 0, 2)[::-1],
    7: lambda upright: upright.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda upright: upright.transpose(1, 0, 2)[:, ::-1],
}
"""Views of an upright picture in the rows and columns that a file stores, by EXIF orientation."""


def to_rgb(image: Image.Image, format_name: str, claims: Claims, counter: PixelCounter) -> Pixels:
    """Return a decoded strip as RGB of 8 bits, and count its pixels.

    Args:
        image: The strip, as Pillow decodes it.
        format_name: Pillow's name of the file's format.
        claims: Claims of the file's head.
        counter: Counts the pixels, for remarks on the whole image.

    Returns:
        uint8 ``[H, W, 3]``.

    Raises:
        DataError: The values have no known black and white.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and format_name in ("PNG", "PPM")):
        is_short = format_name == "TIFF" and 8 < claims.bits < 16  # such as 12 bits, packed
        top = (1 << claims.bits) - 1 if is_short else 65535
        values = np.asarray(image).astype(np.int32).clip(0, top)
        grey = ((2 * 255 * (top - values if claims.white_is_zero else values) + top) // (2 * top)).astype(np.uint8)
        counter.add(grey, largest=None if is_short else int(values.max()))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        numbers = claims.numbers or ("floating-point" if image.mode == "F" else "32-bit")
        raise DataError(
            f"{numbers} values, whose black and white nobody says; scale them to 8 or 16 bits a channel",
            code="E_DATA_IMAGE_UNSUPPORTED",
        )
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        counter.add_transparent(np.asarray(image))
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    pixels = np.asarray(image.convert("RGB"))
    if claims.white_is_zero:
        pixels = 255 - pixels
    # Of 16 bits in colour, the higher byte alone is read.
    counter.add(pixels, largest=int(pixels.max()) * 256 + 255 if claims.bits == 16 else None)
    return pixels


def pixels_sha256(image: Pixels) -> str:
    """Return the digest of an image's size and pixels: equal for copies, whatever the file around them.

    Args:
        image: uint8 ``[H, W, 3]``.
    """
    digest = hashlib.sha256(f"{image.shape[0]}x{image.shape[1]}:".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
