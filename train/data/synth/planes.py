"""Operations on planes ``[H, W]`` and pictures ``[3, H, W]`` of floating point, which the drawing is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating[Any]]
Colour = tuple[float, float, float]

_CELLS = 64


def rgb(colour: Colour) -> Plane:
    """Return a colour as ``[3, 1, 1]``, to go with pictures ``[3, H, W]`` and planes ``[H, W]``."""
    return np.array(colour, np.float32).reshape(3, 1, 1)


def bump(distance: Plane, width: float) -> Plane:
    """Return a Gaussian of a distance: 1 at distance 0."""
    near = distance / np.float32(width)
    found: Plane = np.exp(np.float32(-0.5) * near * near)
    return found


def step(x: Plane) -> Plane:
    """Return a smooth step: 0 up to ``x = 0``, 1 from ``x = 1``."""
    x = np.clip(x, 0, 1)
    found: Plane = x * x * (3 - 2 * x)
    return found


def mix(image: Plane, other: Plane, weight: Plane) -> Plane:
    """Return a picture that is the other one where the weight is 1."""
    return image + (other - image) * np.clip(weight, 0, 1)


def from_segment(p: Plane, q: Plane, start: tuple[float, float], end: tuple[float, float]) -> Plane:
    """Return the distance of each point from a segment."""
    dp, dq = end[0] - start[0], end[1] - start[1]
    along = np.clip(((p - start[0]) * dp + (q - start[1]) * dq) / (dp**2 + dq**2), 0, 1)
    away: Plane = np.hypot(p - start[0] - along * dp, q - start[1] - along * dq)
    return away


def texture(rng: np.random.Generator, u: Plane, v: Plane, cells: int) -> Plane:
    """Return smooth noise of mean 0 and deviation about 0.5 that is fixed to the coordinates."""
    waves = rng.normal(0, cells * 0.45, (4, 2))
    phases = rng.uniform(0, 2 * np.pi, 4)
    total: Plane = np.zeros_like(u)
    for (a, b), phase in zip(waves, phases, strict=True):
        total += np.sin(np.float32(a) * u + np.float32(b) * v + np.float32(phase))
    total /= np.float32(2.8)
    return total


def scattered(
    rng: np.random.Generator, p: Plane, q: Plane, side: float, reach: float, part: float
) -> tuple[Plane, NDArray[np.bool_]]:
    """Scatter points over the plane, at most one in each square of a grid.

    Args:
        rng: Source of the points.
        p: First coordinate.
        q: Second coordinate.
        side: Side of a square.
        reach: Distance that a point keeps from the edges of its square.
        part: Part of the squares that have a point, 0..1.

    Returns:
        Distance of each place from the point of its square, and whether the square has one.
    """
    jitter = rng.uniform(-1, 1, (2, _CELLS, _CELLS)).astype(np.float32) * np.float32(side / 2 - reach)
    taken = rng.random((_CELLS, _CELLS)) < part
    i, j = (np.floor(axis / np.float32(side)) for axis in (p, q))
    cell = tuple(axis.astype(np.int32) % _CELLS for axis in (i, j))
    middle = np.float32(0.5)
    away: Plane = np.hypot(
        p - (i + middle) * np.float32(side) - jitter[0][cell], q - (j + middle) * np.float32(side) - jitter[1][cell]
    )
    return away, taken[cell]


def net(rng: np.random.Generator, p: Plane, q: Plane, spacing: float, width: float) -> Plane:
    """Return two families of fine, winding lines that cross, 1 on a line."""
    lines: Plane = np.zeros_like(p)
    bearing = float(rng.uniform(0, np.pi))
    for turn in (0.0, float(rng.uniform(1.0, 2.1))):
        across = np.float32(np.cos(bearing + turn)) * p + np.float32(np.sin(bearing + turn)) * q
        phase = np.float32(np.pi / spacing) * across + np.float32(1.6) * texture(rng, p, q, 5)
        lines = np.maximum(lines, bump(np.sin(phase) * np.float32(spacing / np.pi), width))
    return lines
