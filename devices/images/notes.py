"""Remarks on a decoded picture: that it shows nearly nothing, or that its file holds more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import DataNote

NEARLY_ONE_VALUE = "W_NEARLY_ONE_VALUE"
FEW_BITS = "W_FEW_BITS"
HIDDEN = "W_HIDDEN_BY_TRANSPARENCY"
SEVERAL = "I_FIRST_OF_SEVERAL"
BY_WINDOW = "I_GREYS_BY_WINDOW"
NO_WINDOW = "W_NO_WINDOW"

NEAR_LEVELS = 16
"""Span of levels, of 256, that nearly all pixels of a picture of nearly one value lie within, in every channel."""

NEAR_FRACTION = 0.995
"""Fraction of the pixels that must lie within ``NEAR_LEVELS``."""

SAMPLES = 1 << 14
"""Approximate number of pixels of a large picture that are counted."""

MAX_BITS = 14
"""Bits that the values of a file of 16 bits a channel must fit into for a remark on it."""

HIDDEN_FRACTION = 0.5
"""Fraction of a picture that transparency must hide for a remark on it."""


@dataclass(kw_only=True, slots=True)
class PixelCounter:
    """Counter of a picture's pixels while it is decoded, strip by strip.

    Attributes:
        step: Distance of counted pixels along each side.
        colours: Number of decoded pixels by channel and level ``[3, 256]``.
        beneath: Number of pixels by channel and level ``[3, 256]``, without transparency; zero where there is none.
        opacity: Number of pixels by opacity ``[256]``; zero where there is no transparency.
        largest: Largest value in a file of 16 bits a channel, 0..65535; None for other files.
    """

    step: int
    colours: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 256), np.int64))
    beneath: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 256), np.int64))
    opacity: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    largest: int | None = None

    def add(self, strip: NDArray[np.uint8], *, largest: int | None = None) -> None:
        """Count the pixels of a strip.

        Args:
            strip: Decoded pixels, uint8 ``[h, W, 3]``, or ``[h, W]`` of a grey picture.
            largest: Largest of the 16-bit values that the strip was made from; None where there are none.
        """
        if largest is not None:
            self.largest = max(self.largest or 0, largest)
        some = strip[:: self.step, :: self.step]
        self.colours += _counts(some) if some.ndim == 3 else np.bincount(some.ravel(), minlength=256)

    def add_transparent(self, strip: NDArray[np.uint8]) -> None:
        """Count the pixels of a strip before it is laid on black: uint8 ``[h, W, 4]``."""
        counts = _counts(strip[:: self.step, :: self.step])
        self.beneath += counts[:3]
        self.opacity += counts[3]

    def notes(self, *, several: bool) -> tuple[DataNote, ...]:
        """Return the remarks on the picture.

        Args:
            several: Whether the file holds further pages or frames.
        """
        found = []
        largest = self.largest
        if largest is not None and largest < 1 << MAX_BITS:
            fits = f"no value over {largest} of 65535 ({largest.bit_length()} bits in 16?)"
            found.append(DataNote(code=FEW_BITS, text=f"16 bits a channel, but {fits}: almost black"))
        hidden = 1 - float(self.opacity @ np.arange(256)) / 255 / max(1, int(self.opacity.sum()))
        if self.opacity.any() and hidden >= HIDDEN_FRACTION and not is_nearly_one_value(self.beneath):
            text = f"transparency hides {hidden:.0%} of a picture; transparent parts are black here"
            found.append(DataNote(code=HIDDEN, text=text))
        if not found and is_nearly_one_value(self.colours):
            text = f"nearly one colour: {NEAR_FRACTION:.1%} of its pixels lie within {NEAR_LEVELS} of 256 levels"
            found.append(DataNote(code=NEARLY_ONE_VALUE, text=text))
        if several:
            found.append(DataNote(code=SEVERAL, text="it holds several pages or frames; the first is read"))
        return tuple(found)


def make_pixel_counter(width: int, height: int) -> PixelCounter:
    """Make a counter for a picture of this size, pixels: it counts all of a small picture and some of a large one."""
    return PixelCounter(step=max(1, math.isqrt(width * height // SAMPLES)))


def _counts(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the pixels of each level in each channel, ``[C, 256]``."""
    channels = range(pixels.shape[2])
    return np.stack([np.bincount(pixels[:, :, channel].ravel(), minlength=256) for channel in channels])


def is_nearly_one_value(colours: NDArray[np.int64]) -> bool:
    """Tell whether nearly all pixels have nearly the same value, in every channel.

    Args:
        colours: Number of pixels by channel and level ``[3, 256]``.
    """
    near = np.stack([np.convolve(one, np.ones(NEAR_LEVELS, np.int64)) for one in colours]).max(1)
    return bool((near >= NEAR_FRACTION * colours.sum(1)).all())


def summarize_notes(notes: Mapping[str, Sequence[DataNote]]) -> tuple[DataNote, ...]:
    """Sum up the remarks on many pictures: one for each kind, with the number of pictures and what to do.

    Args:
        notes: Remarks on every picture by its path; pictures without a remark count too.
    """
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for path, own in notes.items():
        for note in own:
            counts[note.code] += 1
            first.setdefault(note.code, f"{path}: {note.text}")
    return tuple(
        DataNote(code=code, text=f"{counts[code]} of {len(notes)} images {words} ({first[code]})")
        for code, words in _OF_MANY.items()
        if code in counts
    )


_OF_MANY = {
    FEW_BITS: (
        f"have 16 bits a channel and use a quarter of that range or less ({MAX_BITS} bits), so that they are almost black; "
        "multiply the values of every image by the same number to fill 16 bits, of those too that are predicted later"
    ),
    HIDDEN: (
        f"are hidden to {HIDDEN_FRACTION:.0%} or more by their own transparency; remove their alpha channel if the picture "
        "under it is what you mean"
    ),
    NEARLY_ONE_VALUE: "are nearly of one colour, as black and empty pictures are; look at them",
    NO_WINDOW: (
        "are DICOM of more than 8 bits whose header names no window; all of their bits are scaled to 8, so that pictures of "
        "few values are dark: look at them"
    ),
    BY_WINDOW: "have greys by the first window, or the table, of their own DICOM header",
    SEVERAL: "hold several pages or frames, of which the first is read; save the others as files of their own, if needed",
}
"""Remark on several pictures by its code; it follows their number."""
