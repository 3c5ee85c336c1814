"""A copy of an image with its prediction drawn below it: the decision with its probability, or why there is none."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]

MIN_WIDTH = 320
"""Smallest width of an annotated picture, pixels; a small image is enlarged by a whole number."""

_SHOWN = 3
"""Number of labels whose probabilities are drawn: those with the largest ones."""

_PAPER, _INK, _SOFT = (16, 21, 27), (231, 236, 241), (154, 168, 183)
_DECIDED, _ABSTAINED, _TRACK = (94, 201, 98), (240, 178, 70), (44, 53, 64)


def draw_prediction(
    image: Picture, *, decision: str, probabilities: Mapping[str, float], reason: str | None = None
) -> Picture:
    """Draw a prediction below a copy of its image; the image itself stays uncovered.

    Args:
        image: uint8 ``[H, W, 3]``, RGB.
        decision: The label, or "unable to analyze".
        probabilities: Probability of each label, 0..1; empty where the network did not run.
        reason: Sentence on why there is no decision; None where there is one.

    Returns:
        uint8 ``[height, width, 3]``: the image, the decision with its probability, and a strip for each of the three labels
        with the largest probabilities.
    """
    zoom = max(1, -(-MIN_WIDTH // max(image.shape[:2])))
    shown = Image.fromarray(image).resize((image.shape[1] * zoom, image.shape[0] * zoom), Image.Resampling.NEAREST)
    width = max(MIN_WIDTH, shown.width)
    unit = max(14, min(width // 36, 40))
    gap = unit // 2
    large, small = ImageFont.load_default(unit * 1.3), ImageFont.load_default(unit)
    title = decision if reason is not None or decision not in probabilities else f"{decision}  {probabilities[decision]:.1%}"
    title_lines = break_text(title, large, width - 2 * gap)
    reason_lines = break_text(reason, small, width - 2 * gap) if reason else []
    likeliest = sorted(probabilities.items(), key=lambda one: -one[1])[:_SHOWN]
    line = round(1.5 * unit)
    height = 2 * gap + round(1.9 * unit) * len(title_lines) + line * (len(reason_lines) + len(likeliest))
    page = Image.new("RGB", (width, shown.height + height), _PAPER)
    page.paste(shown, ((width - shown.width) // 2, 0))
    pen = ImageDraw.Draw(page)
    top = shown.height + gap
    for text in title_lines:
        pen.text((gap, top), text, _ABSTAINED if reason is not None else _DECIDED, large)
        top += round(1.9 * unit)
    for text in reason_lines:
        pen.text((gap, top), text, _SOFT, small)
        top += line
    for label, probability in likeliest:
        _draw_row(pen, (gap, top, width - gap, unit), label, probability, small)
        top += line
    return np.array(page, dtype=np.uint8)


def encode_png(picture: Picture) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def break_text(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, space: int) -> list[str]:
    """Return a text as lines that fit a space, pixels; a word that is longer than a line is broken."""
    lines: list[str] = []
    for word in re.split(r"\s+", text.strip()):
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(joined) <= space:
            lines[-1] = joined
            continue
        while font.getlength(word) > space and len(word) > 1:
            fits = next((n for n in range(len(word) - 1, 1, -1) if font.getlength(word[:n]) <= space), 1)
            lines.append(word[:fits])
            word = word[fits:]
        lines.append(word)
    return lines


def _draw_row(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int, int, int],
    label: str,
    probability: float,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Draw a label, its probability and a stripe of that length into ``(left, top, right, height)``."""
    left, top, right, unit = place
    number = f"{probability:.1%}"
    name_space = (right - left) * 2 // 5
    name = label
    while font.getlength(name) > name_space - unit // 2:
        name = f"{name.removesuffix('…')[:-1]}…"
    pen.text((left, top), name, _INK, font)
    start, end = left + name_space, right - round(font.getlength("100.0%")) - unit // 2
    pen.rectangle((start, top + unit // 4, end, top + unit), fill=_TRACK)
    if probability > 0:
        pen.rectangle((start, top + unit // 4, start + round((end - start) * probability), top + unit), fill=_SOFT)
    pen.text((right - font.getlength(number), top), number, _INK, font)
