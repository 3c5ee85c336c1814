"""Properties of a drawn ear, and of the camera that looks at it.

Every drum may show any of four signs: amber fluid with specks, redness, a dark patch, lumps. Seen coarsely, a sign says
little. Its fine structure says whether it is the class's own: specks that are rings (bubbles), redness that is a net of
fine vessels, a patch with a sharp rim (a hole), lumps with fibres (wax). A normal ear has none of these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.train.data.synth.planes import Colour

CLASSES = ("normal", "effusion", "bulging", "perforation", "wax")

LOOK_ALIKES = 0.25
"""Probability that an ear shows a sign without the fine structure that would make it the sign of a class."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sign:
    """One sign of an ear.

    Attributes:
        strength: Degree to which it shows, 0..1; 0 where the ear has none.
        genuine: Whether it has the fine structure that only its class has.
    """

    strength: float
    genuine: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Ear:
    """Properties that all frames of one drawn ear have in common.

    Attributes:
        label: Class.
        fluid: Amber fluid with specks; genuine in the class effusion.
        redness: Redness; genuine in the class bulging.
        patch: Dark patch; genuine in the class perforation.
        lumps: Lumps; genuine in the class wax.
        seed: Seed of the textures.
        tilt: Angle by which the drum is turned, radians.
        centre: Centre of the drum, ``(u, v)``.
        radii: Radii of the drum, in ``u`` and ``v``.
        drum: Colour of the drum.
        skin: Colour of the canal.
        cast: Gain of the camera in each colour channel.
        gamma: Gamma of the camera.
        vignette: Radius of the visible circle, in half frame heights.
        edge: Softness of that circle.
        softness: Blur of the optics, in hundredths of the frame's height.
        noise: Standard deviation of the sensor's noise.
        floor: Light outside the circle.
        zoom: Distance from the canal's middle to its wall, in half frame heights.
    """

    label: str
    fluid: Sign
    redness: Sign
    patch: Sign
    lumps: Sign
    seed: int
    tilt: float
    centre: tuple[float, float]
    radii: tuple[float, float]
    drum: Colour
    skin: Colour
    cast: Colour
    gamma: float
    vignette: float
    edge: float
    softness: float
    noise: float
    floor: float
    zoom: float


def make_ear(label: str, rng: np.random.Generator) -> Ear:
    """Draw the properties of an ear of a class, and of the device that looks at it."""
    fluid, redness, patch, lumps = (_make_sign(name == label, rng) for name in CLASSES[1:])
    drum = np.array((0.74, 0.64, 0.64)) + rng.normal(0, 0.03, 3) + rng.normal(0, 0.03)
    drum += (np.array((0.74, 0.53, 0.28)) - drum) * 0.8 * fluid.strength
    drum += (np.array((0.80, 0.29, 0.26)) - drum) * 0.6 * redness.strength
    skin = np.array((0.80, 0.62, 0.54)) + rng.normal(0, 0.03, 3) + rng.normal(0, 0.06)
    device = int(rng.integers(4))
    casts = ((1.0, 1.0, 1.0), (1.06, 0.96, 0.88), (0.94, 0.98, 1.10), (1.04, 0.93, 1.04))
    cast = np.array(casts[device]) * (1 + rng.normal(0, 0.02, 3))
    return Ear(
        label=label,
        fluid=fluid,
        redness=redness,
        patch=patch,
        lumps=lumps,
        seed=int(rng.integers(2**31)),
        tilt=float(rng.normal(0, 0.5)),
        centre=(float(rng.normal(0, 0.08)), float(rng.normal(0, 0.08))),
        radii=(float(rng.uniform(0.66, 0.80)), float(rng.uniform(0.68, 0.86))),
        drum=_colour(drum),
        skin=_colour(skin),
        cast=_colour(cast),
        gamma=float(rng.normal(1.0, 0.08)),
        vignette=(0.95, 0.88, 1.15, 0.9)[device] + float(rng.normal(0, 0.03)),
        edge=(0.05, 0.16, 0.10, 0.03)[device],
        softness=(0.2, 0.35, 0.28, 0.15)[device] * float(rng.uniform(0.8, 1.3)),
        noise=(0.012, 0.02, 0.025, 0.016)[device],
        floor=(0.03, 0.16, 0.08, 0.02)[device],
        zoom=float(rng.uniform(0.9, 1.1)),
    )


def _make_sign(genuine: bool, rng: np.random.Generator) -> Sign:
    strength = float(rng.beta(1.8, 1.2) * 0.65 + 0.35)
    shown = genuine or rng.random() < LOOK_ALIKES
    return Sign(strength=strength if shown else 0.0, genuine=genuine)


def _colour(values: NDArray[np.float64]) -> Colour:
    r, g, b = (float(value) for value in values)
    return r, g, b
