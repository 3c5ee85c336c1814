"""Pictures inside the page: as large as their number allows, so that the file stays small."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

MAX_BYTES = 1_300_000
"""For all pictures of one page, as they are written into it."""
SIZES = ((240, 82), (200, 78), (160, 72), (128, 66), (96, 60), (72, 50))
"""Longer side in pixels and JPEG quality, tried in order until all fit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One test frame for the page.

    Attributes:
        frame: uint8 ``[H, W, 3]``, RGB; None where it cannot be shown.
        overlay: The same with a map of where the shipped artefact finds its evidence; None where there is none.
        note: Why one of the two is missing, in words.
    """

    frame: Image | None
    overlay: Image | None = None
    note: str = ""


def encode(images: Mapping[str, Image], most_bytes: int = MAX_BYTES) -> dict[str, str]:
    """Return images as ``data:`` addresses, smaller the more there are; those that do not fit even so are left out.

    Args:
        images: uint8 ``[H, W, 3]`` by name, the most important first.
        most_bytes: Of all addresses together.
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
        image: uint8 ``[H, W, 3]``, RGB.
        pixels: Its longer side is scaled down to this at most.
        quality: Of JPEG, 1..95.
    """
    from PIL import Image as Pillow

    picture = Pillow.fromarray(image).convert("RGB")
    picture.thumbnail((pixels, pixels), Pillow.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
