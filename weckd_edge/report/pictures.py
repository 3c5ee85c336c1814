"""Pictures inside a page: as large as their number allows, so that the file stays small."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

MAX_BYTES = 1_300_000
"""Largest size of all pictures of a page, as they are written into it, bytes."""
SIZES = ((240, 82), (200, 78), (160, 72), (128, 66), (96, 60), (72, 50))
"""Longer side in pixels and JPEG quality; tried in order until all pictures fit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One test frame for a page.

    Attributes:
        frame: Frame, uint8 ``[H, W, 3]``, RGB; None where it cannot be shown.
        overlay: Frame with a map of where the deployed model finds its evidence, uint8 ``[H, W, 3]``; None where there is
            none.
        note: Why one of the two is missing, in words.
    """

    frame: Image | None
    overlay: Image | None = None
    note: str = ""


def encode(images: Mapping[str, Image], most_bytes: int = MAX_BYTES) -> dict[str, str]:
    """Return images as ``data:`` addresses, smaller the more there are; images that do not fit are left out.

    Args:
        images: Images by name, uint8 ``[H, W, 3]``, most important first.
        most_bytes: Largest size of all addresses together, bytes.
    """
    for pixels, quality in SIZES:
        urls = {name: data_url(image, pixels, quality) for name, image in images.items()}
        if sum(map(len, urls.values())) <= most_bytes:
            return urls
    kept, used = {}, 0
    for name, url in urls.items():
        used += len(url)
        if used > most_bytes:
            break
        kept[name] = url
    return kept


def data_url(image: Image, pixels: int, quality: int) -> str:
    """Return one image as a ``data:`` address.

    Args:
        image: Image, uint8 ``[H, W, 3]``, RGB.
        pixels: Largest length of its longer side, pixels; a larger image is scaled down.
        quality: JPEG quality, 1..95.
    """
    from PIL import Image as Pillow

    picture = Pillow.fromarray(image).convert("RGB")
    picture.thumbnail((pixels, pixels), Pillow.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
