"""Drawing of an attribution map over its frame: distinct colours, the outline of the strongest evidence, a caption.

The frame under the colours is grey, so that colour means evidence and nothing else. The colours are those of viridis
(Smith and van der Walt, 2015): even steps to the eye, in grey too, and told apart with every kind of colour blindness.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from weckd_edge.devices.attribution.occlusion_map import AttributionMap, Box
from weckd_edge.devices.images.annotate import break_text

Picture = NDArray[np.uint8]

PANEL_PIXELS = 480
"""Width of a panel of a figure, pixels."""

TOP = 0.5
"""Fraction of the largest value above which a pixel lies inside the outline."""

MIN_EVIDENCE = 0.05
"""Largest value of a map that is drawn without colours, nats: covering any part leaves the prediction as it is."""

_VIRIDIS = (
    "440154", "482878", "3e4a89", "31688e", "26828e", "1f9e89", "35b779", "6dcd59", "b4de2c", "fde725",
)  # fmt: skip
_ANCHORS = np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in _VIRIDIS], np.float64)
_PAPER, _INK, _SOFT = (16, 21, 27), (231, 236, 241), (154, 168, 183)
_GAP, _LINE = 12, 24


def map_colours(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the colours ``[..., 3]``, 0..255, of values 0..1."""
    steps = np.linspace(0, 1, len(_ANCHORS))
    return np.stack([np.interp(values, steps, _ANCHORS[:, channel]) for channel in range(3)], axis=-1)


def draw_overlay(frame: Picture, found: AttributionMap, *, width_pixels: int = PANEL_PIXELS) -> Picture:
    """Draw a map over its frame.

    Args:
        frame: uint8 ``[H, W, 3]``, RGB.
        found: The map of that frame.
        width_pixels: Width of the picture, pixels; its height follows.

    Returns:
        uint8 ``[height, width_pixels, 3]``: grey where nothing speaks for the label, from violet to yellow where something
        does, with an outline around the strongest evidence, and dark outside the part that the model looks at.
    """
    size = (width_pixels, max(1, round(frame.shape[0] * width_pixels / frame.shape[1])))
    grey = np.asarray(Image.fromarray(frame).convert("L").resize(size, Image.Resampling.BILINEAR), np.float64)
    marks = Image.fromarray(np.maximum(found.map, 0)).resize(size, Image.Resampling.BICUBIC)
    values = np.maximum(np.asarray(marks, np.float64), 0)
    seen = _model_view(found.box, frame.shape[:2], size)
    picture = np.repeat(grey[..., None], 3, axis=-1)
    strongest = float((values * seen).max())
    if strongest > MIN_EVIDENCE:
        fraction = values * seen / strongest
        alpha = np.clip((fraction - 0.12) / 0.45, 0, 1)[..., None] * 0.62
        picture = picture * (1 - alpha) + map_colours(fraction) * alpha
        _outline(picture, fraction > TOP)
    picture[~seen] = grey[~seen][:, None] * 0.3
    return np.rint(picture).clip(0, 255).astype(np.uint8)


def draw_model_view(frame: Picture, box: Box, *, width_pixels: int = PANEL_PIXELS) -> Picture:
    """Draw a frame, dark outside the part that the model looks at: uint8 ``[height, width_pixels, 3]``."""
    size = (width_pixels, max(1, round(frame.shape[0] * width_pixels / frame.shape[1])))
    picture = np.array(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR), dtype=np.uint8)
    unseen = ~_model_view(box, frame.shape[:2], size)
    picture[unseen] = (picture[unseen] * 0.3).astype(np.uint8)
    return picture


def draw_figure(frame: Picture, found: AttributionMap, title: str, lines: tuple[str, ...]) -> Picture:
    """Draw a frame beside its map, with a legend and a caption below: uint8 ``[height, width, 3]``.

    Args:
        frame: uint8 ``[H, W, 3]``, RGB.
        found: The map of that frame.
        title: The decision, in a few words.
        lines: Further lines of the caption; they are broken between words.
    """
    left, right = draw_model_view(frame, found.box), draw_overlay(frame, found)
    width = left.shape[1] + right.shape[1] + 3 * _GAP
    below = left.shape[0] + 2 * _GAP
    body = ImageFont.load_default(15)
    wrapped = [part for line in lines for part in break_text(line, body, width - 2 * _GAP)]
    page = Image.new("RGB", (width, below + 34 + _LINE * len(wrapped) + _GAP), _PAPER)
    page.paste(Image.fromarray(left), (_GAP, _GAP))
    page.paste(Image.fromarray(right), (left.shape[1] + 2 * _GAP, _GAP))
    pen = ImageDraw.Draw(page)
    pen.text((_GAP, below), title, _INK, ImageFont.load_default(20))
    _legend(page, pen, width - _GAP, below + 6)
    for number, line in enumerate(wrapped):
        pen.text((_GAP, below + 34 + _LINE * number), line, _SOFT, body)
    return np.array(page, dtype=np.uint8)


def _model_view(box: Box, shape: tuple[int, ...], size: tuple[int, int]) -> NDArray[np.bool_]:
    top, left, height, width = box
    down, across = size[1] / shape[0], size[0] / shape[1]
    seen = np.zeros((size[1], size[0]), bool)
    seen[round(top * down) : round((top + height) * down), round(left * across) : round((left + width) * across)] = True
    return seen


def _outline(picture: NDArray[np.float64], region: NDArray[np.bool_]) -> None:
    """Draw a region's edge: light, with dark on both sides, so that it is seen on any ground."""
    edge = region & _grown(~region)
    picture[_grown(_grown(edge))] = 12
    picture[_grown(edge)] = 250


def _grown(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a region with the pixels that touch it along a side."""
    padded = np.pad(region, 1)
    return padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]


def _legend(page: Image.Image, pen: ImageDraw.ImageDraw, right: int, top: int) -> None:
    small, length = ImageFont.load_default(13), 120
    words = "most evidence"
    right -= int(small.getlength(words))
    pen.text((right, top), words, _SOFT, small)
    bar = np.rint(map_colours(np.linspace(0, 1, length)))[None].repeat(10, 0).astype(np.uint8)
    page.paste(Image.fromarray(bar), (right - 8 - length, top + 3))
    words = "little"
    pen.text((right - 16 - length - int(small.getlength(words)), top), words, _SOFT, small)
