"""Frames as cameras give them, of random values of which many are at their ends."""

import numpy as np
from numpy.typing import NDArray


def values_of(colour: str, height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return an array of values in that order, of a frame of that many pixels; NV12 as one array."""
    shapes = {"grey": (height, width), "nv12": (height * 3 // 2, width), "yuyv": (height, width, 2)}
    levels = np.random.default_rng(seed).integers(-200, 456, shapes.get(colour, (height, width, 3)))
    return levels.clip(0, 255).astype(np.uint8)
