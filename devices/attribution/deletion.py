"""Check of an attribution map by deletion: the pixels that it marks are deleted, and those that chance marks.

Deletion is by Petsiuk et al. (2018), RISE, arXiv 1806.07421: the better a map, the sooner the label's probability falls when
the pixels that it marks are deleted first. Chance is copies of the map, moved and mirrored: they have its shape and its
smoothness, and lie elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.devices.attribution.occlusion_map import AttributionMap, cover_of, probability_of
from weckd_edge.devices.runtime.backends.base import Frame, Runner

FRACTIONS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)
"""Fractions of the part that the model looks at which are deleted, one after another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deletion:
    """Fall of a label's probability when the pixels that a map marks are deleted, and when chance marks them.

    Attributes:
        fractions: Fractions of the pixels that are deleted, those with most evidence first.
        probability: Probability of the label by fraction.
        probability_by_chance: Mean probability of the label by fraction over the maps by chance.
        area: Area under ``probability`` divided by the width of ``fractions``, 0..1; smaller is better.
        area_by_chance: Area under ``probability_by_chance`` divided by that width.
        maps_by_chance: Number of maps by chance.
        maps_beaten: Number of maps by chance with a larger area. All of them: the map means something. About half: it tells
            no more than chance.
    """

    fractions: tuple[float, ...]
    probability: tuple[float, ...]
    probability_by_chance: tuple[float, ...]
    area: float
    area_by_chance: float
    maps_by_chance: int
    maps_beaten: int


def measure_deletion(
    runner: Runner, frame: Frame, found: AttributionMap, *, maps_by_chance: int = 19, seed: int = 0
) -> Deletion:
    """Delete the pixels that a map marks, and those that moved copies of it mark.

    Args:
        runner: The model that the map is of.
        frame: uint8 ``[1, H, W, 3]``, contiguous; it is not changed.
        found: The map.
        maps_by_chance: Number of moved copies; each costs nine queries.
        seed: Seed of the moves.

    Raises:
        ModelError: The model gives no number.
    """
    random = np.random.default_rng(seed)
    curve = _curve(runner, frame, found, found.crop)
    others = [_curve(runner, frame, found, _moved(found.crop, random, turn)) for turn in range(maps_by_chance)]
    areas = [_area(other) for other in others]
    mean = np.mean(others, axis=0) if others else curve
    return Deletion(
        fractions=FRACTIONS,
        probability=_rounded(curve),
        probability_by_chance=_rounded(mean),
        area=_area(curve),
        area_by_chance=_area(mean),
        maps_by_chance=maps_by_chance,
        maps_beaten=sum(area > _area(curve) + 1e-6 for area in areas),
    )


def _curve(runner: Runner, frame: Frame, found: AttributionMap, marks: NDArray[np.float32]) -> NDArray[np.float64]:
    top, left, height, width = found.box
    work = np.array(frame)
    view = work[0, top : top + height, left : left + width]
    cover = cover_of(view.copy(), found.covering.fill)
    order = np.argsort(-marks, axis=None, kind="stable")
    curve, done = [found.probability], 0
    for fraction in FRACTIONS[1:]:
        until = round(fraction * order.size)
        places = np.unravel_index(order[done:until], marks.shape)
        view[places] = cover[places]
        done = until
        curve.append(probability_of(runner, work, found.label))
    return np.array(curve)


def _moved(marks: NDArray[np.float32], random: np.random.Generator, turn: int) -> NDArray[np.float32]:
    """Return a copy that lies elsewhere: moved by a quarter to three quarters along one axis, at random along the other."""
    steps = [int(random.uniform(0.25, 0.75) * length) for length in marks.shape]
    free = turn % 2
    steps[free] = int(random.integers(marks.shape[free]))
    copy = np.roll(marks, tuple(steps), axis=(0, 1))
    return np.flip(copy, axis=free) if random.integers(2) else copy


def _area(curve: NDArray[np.float64]) -> float:
    return float(np.sum((curve[1:] + curve[:-1]) / 2 * np.diff(FRACTIONS)) / FRACTIONS[-1])


def _rounded(curve: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in curve)
