"""How images were prepared for an imported network: what its file says of that, and the frame that follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from weckd_edge.artifacts.frame import Colour, Crop, FrameSpec, Resize, as_colour, crop_box

INTERPOLATIONS: dict[str, Resize] = {
    "bilinear": "antialiased_bilinear",
    "bicubic": "antialiased_bicubic",
    "area": "area",
    "aliased-bilinear": "bilinear",
}
"""Way to resize a frame, by the name of the interpolation that a network was trained with, as a user gives it."""

_NEAREST = {"lanczos": "bicubic", "hamming": "bilinear", "box": "area", "random": "bilinear"}
"""Interpolation that comes nearest to one that is not offered, by the names that timm and torchvision have for them."""

_CROPS: dict[str, Crop] = {"center": "center", "squash": "stretch"}

MAX_OF_UNIT = 2.0
"""Largest mean or standard deviation that values in 0..1 may have."""

_SIZE_NAMES = ("img_size", "input_size", "image_size", "val_crop_size", "crop_size")
"""Names under which trainers store the size of the network's input."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """How images were made a network's input when it was evaluated, as far as somebody says; None: nobody says.

    Attributes:
        source: Who says so, such as ``the file``.
        crop_pct: Part of the resized image that the centred crop keeps along each axis, over 0 and at most 1.
        crop: Whether the image keeps its proportions.
        resize: Way of resizing.
        notes: What cannot be done as it says, in words.
    """

    source: str
    crop_pct: float | None = None
    crop: Crop | None = None
    resize: Resize | None = None
    notes: tuple[str, ...] = ()


def read_preparation(settings: Mapping[str, Any], source: str) -> Preparation:
    """Return what a trainer's settings say, under the names of timm (``pretrained_cfg``) and torchvision's references."""
    crop_pct = settings.get("crop_pct")
    if crop_pct is None and isinstance(settings.get("val_resize_size"), int):
        kept = settings.get("val_crop_size")
        crop_pct = kept / settings["val_resize_size"] if isinstance(kept, int) and settings["val_resize_size"] > 0 else None
    known = isinstance(crop_pct, (int, float)) and not isinstance(crop_pct, bool) and 0 < crop_pct <= 1
    notes = []
    mode = settings.get("crop_mode")
    if mode == "border":
        notes.append("Its trainer padded images to a square (crop_mode border); here the centre is cropped.")
    name = settings.get("interpolation")
    name = name.rpartition(".")[2].lower() if isinstance(name, str) else ""
    taken = _NEAREST.get(name, name)
    if name in _NEAREST:
        notes.append(f"Its trainer resized by the filter {name}, which is not offered; {taken} comes nearest.")
    return Preparation(
        source=source,
        crop_pct=float(crop_pct) if known else None,  # type: ignore[arg-type]  # a number where it is known
        crop=_CROPS.get(mode) if isinstance(mode, str) else None,
        resize=INTERPOLATIONS.get(taken),
        notes=tuple(notes),
    )


def trained_size(settings: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return height and width of the network's input that a trainer's settings name; timm writes channels before them."""
    for name in _SIZE_NAMES:
        value = settings.get(name)
        sides = value[-2:] if isinstance(value, (list, tuple)) else [value]
        whole = [side for side in sides if isinstance(side, int) and not isinstance(side, bool) and 8 <= side <= 2048]
        if whole and len(whole) == len(sides):
            return whole[0], whole[-1]
    return None


def trained_normalisation(settings: Mapping[str, Any]) -> tuple[Colour, Colour] | None:
    """Return mean and standard deviation, of values in 0..1, that a trainer's settings name; None where they do not.

    Numbers over ``MAX_OF_UNIT`` are of values in 0..255, and both are divided by 255.
    """
    mean, std = trained_colour(settings.get("mean")), trained_colour(settings.get("std"))
    if mean is None or std is None or min(std) <= 0:
        return None
    scale = 255 if max(map(abs, (*mean, *std))) > MAX_OF_UNIT else 1
    return as_colour([value / scale for value in mean]), as_colour([value / scale for value in std])


def trained_colour(value: object) -> Colour | None:
    """Return a trainer's value for each of the three colours; None where it is no such value."""
    if not isinstance(value, (list, tuple)):
        return None
    if not all(isinstance(one, (int, float)) and math.isfinite(one) for one in value):
        return None
    try:
        return as_colour(value)
    except ValueError:
        return None


def prepared_frame(spec: FrameSpec, size: tuple[int, int], crop_pct: float) -> FrameSpec:
    """Return a frame of which the network's input is the middle, as torchvision's and timm's evaluation takes it.

    The whole frame is scaled until the network's input is ``crop_pct`` of it along an axis, and the middle is taken. Sizes
    are rounded down as timm does. Filters follow this to the pixel. Other resizes take the centred box of the frame that
    the input shows, in whole pixels: its edges lie within a pixel of the frame and one of the scaled frame of the exact
    ones.

    Args:
        spec: Frame with ``crop`` and ``resize``.
        size: Height and width of the network's input, pixels.
        crop_pct: Part of the scaled frame that is kept along each axis, over 0 and at most 1.
    """
    frame = (spec.height, spec.width)
    plain = replace(spec, crop_size=None, scaled_size=None)
    wanted = tuple(math.floor(side / crop_pct + 1e-6) for side in size)
    if spec.crop == "stretch":
        scaled = wanted
        kept = [(old, new) for old, new in zip(frame, wanted, strict=True)]
    else:
        # Along the axis that is shorter, in proportion, the whole frame is scaled to what was wanted.
        at = 0 if frame[0] * wanted[1] <= frame[1] * wanted[0] else 1
        old, new = frame[at], wanted[at]
        kept = [(old, new)] * 2
        if wanted[0] == wanted[1]:  # torchvision rounds the longer side down
            scaled = tuple(side * new // old for side in frame)
        else:
            scaled = tuple(round(side / (old / new)) for side in frame)
    box = tuple(
        min(side, max(1, (2 * part * old + new) // (2 * new)))
        for side, part, (old, new) in zip(frame, size, kept, strict=True)
    )
    return replace(
        plain,
        crop_size=None if box == crop_box(plain)[2:] else (box[0], box[1]),
        scaled_size=(scaled[0], scaled[1]) if spec.resize in ("antialiased_bilinear", "antialiased_bicubic") else None,
    )
