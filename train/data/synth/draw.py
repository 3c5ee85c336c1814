"""Draw one synthetic otoscope frame: canal, drum, malleus, reflex, vessels, signs of the class, the camera.

Coordinates ``u`` (right) and ``v`` (down) are those of the ear: the canal's wall is at radius 1, the drum lies within.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Plane = NDArray[np.floating[Any]]
Colour = tuple[float, float, float]

CLASSES = ("normal", "effusion", "bulging", "perforation", "wax")

_DRUM: dict[str, Colour] = {
    "normal": (0.74, 0.64, 0.64),
    "effusion": (0.74, 0.53, 0.28),
    "bulging": (0.80, 0.29, 0.26),
    "perforation": (0.73, 0.58, 0.56),
    "wax": (0.70, 0.60, 0.58),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ear:
    """Properties that all frames of one drawn ear have in common.

    Attributes:
        label: Class.
        severity: Degree to which the class shows, 0..1.
        seed: Seed of the textures.
        tilt: Angle by which the drum is turned, radians.
        centre: Centre of the drum, ``(u, v)``.
        radii: Radii of the drum, in ``u`` and ``v``.
        drum: Colour of the drum.
        skin: Colour of the canal.
        shadow: Depth of a shadow on the drum that may look like a hole, 0..1.
        crumbs: Number of lumps of wax (a few in any ear; many where the class is wax).
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
    severity: float
    seed: int
    tilt: float
    centre: tuple[float, float]
    radii: tuple[float, float]
    drum: Colour
    skin: Colour
    shadow: float
    crumbs: int
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
    severity = float(rng.beta(1.8, 1.2) * 0.65 + 0.35)
    healthy, ill = np.array(_DRUM["normal"]), np.array(_DRUM[label])
    drum = healthy + (ill - healthy) * severity + rng.normal(0, 0.03, 3) + rng.normal(0, 0.03)
    drum += (np.array((0.80, 0.42, 0.38)) - drum) * float(rng.beta(1, 7))  # any drum may be flushed
    skin = np.array((0.80, 0.62, 0.54)) + rng.normal(0, 0.03, 3) + rng.normal(0, 0.06)
    device = int(rng.integers(4))
    casts = ((1.0, 1.0, 1.0), (1.06, 0.96, 0.88), (0.94, 0.98, 1.10), (1.04, 0.93, 1.04))
    cast = np.array(casts[device]) * (1 + rng.normal(0, 0.02, 3))
    crumbs = int(rng.integers(1, 3)) if rng.random() < 0.2 else 0
    if label == "wax":
        crumbs = 3 + round(7 * severity)
    return Ear(
        label=label,
        severity=severity,
        seed=int(rng.integers(2**31)),
        tilt=float(rng.normal(0, 0.5)),
        centre=(float(rng.normal(0, 0.10)), float(rng.normal(0, 0.10))),
        radii=(float(rng.uniform(0.58, 0.78)), float(rng.uniform(0.62, 0.84))),
        drum=_colour(drum),
        skin=_colour(skin),
        shadow=float(rng.uniform(0.2, 0.55)) if rng.random() < 0.2 else 0.0,
        crumbs=crumbs,
        cast=_colour(cast),
        gamma=float(rng.normal(1.0, 0.08)),
        vignette=(0.95, 0.82, 1.15, 0.9)[device] + float(rng.normal(0, 0.03)),
        edge=(0.05, 0.16, 0.10, 0.03)[device],
        softness=(0.35, 0.9, 0.6, 0.2)[device] * float(rng.uniform(0.8, 1.5)),
        noise=(0.012, 0.02, 0.03, 0.016)[device],
        floor=(0.03, 0.16, 0.08, 0.02)[device],
        zoom=float(rng.uniform(0.8, 1.1)),
    )


def draw_frame(ear: Ear, height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one frame of an ear, as a hand that does not keep quite still would take it.

    Args:
        ear: Ear to draw.
        height: Height, pixels.
        width: Width, pixels.
        rng: Source of this frame's jitter and noise; the ear itself does not depend on it.

    Returns:
        Frame, uint8 ``[height, width, 3]``, RGB.
    """
    half = height / 2
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x - width / 2 + 0.5) / half, (y - half + 0.5) / half
    turn = float(rng.normal(0, 0.05))
    scale = ear.zoom * float(rng.normal(1, 0.025))
    shift = rng.normal(0, 0.03, 2)
    xs, ys = (x - float(shift[0])) / scale, (y - float(shift[1])) / scale
    u = math.cos(turn) * xs + math.sin(turn) * ys
    v = -math.sin(turn) * xs + math.cos(turn) * ys
    light = _draw_ear(ear, u.astype(np.float32), v.astype(np.float32))
    light *= float(rng.normal(1.0, 0.07))
    circle = _step((ear.vignette - np.hypot(x, y)) / ear.edge + 0.5)
    falloff = 1 - 0.22 * np.minimum(x**2 + y**2, 2.0)
    outside = _rgb((0.9, 0.85, 0.95)) * ear.floor
    light = outside + (light * falloff - outside) * circle
    light = np.clip(light * _rgb(ear.cast), 0, 1) ** ear.gamma
    image = Image.fromarray(np.ascontiguousarray((light * 255).astype(np.uint8).transpose(1, 2, 0)))
    blur = ear.softness / 100 * height * float(rng.uniform(0.7, 1.5))
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(blur)), np.float32) / 255
    grain = rng.standard_normal((height, width, 3), np.float32) + rng.standard_normal((height, width, 1), np.float32)
    soft += grain * np.float32(0.7 * ear.noise)
    pixels: NDArray[np.uint8] = np.rint(np.clip(soft, 0, 1) * 255).astype(np.uint8)
    return pixels


def _draw_ear(ear: Ear, u: Plane, v: Plane) -> Plane:
    rng = np.random.default_rng(ear.seed)
    radius = np.hypot(u, v)
    lit = 1 + 0.22 * (u * math.cos(ear.seed) + v * math.sin(ear.seed))
    texture = _texture(rng, u, v, 9)
    wall = lit * (0.55 + 0.5 * np.minimum(radius, 1.3)) * (1 + 0.16 * texture)
    image = wall * _rgb(ear.skin)
    p, q = u - ear.centre[0], v - ear.centre[1]
    p, q = math.cos(ear.tilt) * p + math.sin(ear.tilt) * q, -math.sin(ear.tilt) * p + math.cos(ear.tilt) * q
    p, q = (p / ear.radii[0]).astype(np.float32), (q / ear.radii[1]).astype(np.float32)
    r = np.hypot(p, q) * (1 + 0.05 * _texture(rng, u, v, 4))
    drum = _draw_drum(ear, rng, p, q, r, texture)
    image = _mix(image, drum, _step((1 - r) / 0.08 + 0.5))
    ring = _bump(r - 1.02, 0.05) * 0.35
    image = _mix(image, _rgb((0.62, 0.40, 0.38)), ring)
    if ear.crumbs:
        image = _draw_wax(ear, rng, image, u, v)
    spots = np.zeros_like(u)
    for _ in range(int(rng.integers(1, 5))):
        a, b = (float(value) for value in rng.normal(0, 0.45, 2))
        spots = np.maximum(spots, _bump(np.hypot(u - a, v - b), rng.uniform(0.015, 0.05)))
    return _mix(image, _rgb((1.0, 1.0, 1.0)), 0.85 * spots)


def _draw_drum(ear: Ear, rng: np.random.Generator, p: Plane, q: Plane, r: Plane, texture: Plane) -> Plane:
    bulge = ear.severity if ear.label == "bulging" else 0.0
    shade = 1.02 - (0.10 + 0.35 * bulge) * r**2 + 0.10 * bulge * _bump(np.hypot(p - 0.2, q + 0.2), 0.5)
    image = (shade * (1 + 0.10 * texture)) * _rgb(ear.drum)
    angle = np.arctan2(q, p)
    redness = 0.18 + 0.5 * bulge + 0.15 * float(rng.random())
    vessels = np.zeros_like(r)
    for _ in range(int(rng.integers(3, 7))):
        course = float(rng.uniform(-np.pi, np.pi)) + 0.25 * np.sin(5 * r + float(rng.uniform(0, 6)))
        away = np.abs((angle - course + np.pi) % (2 * np.pi) - np.pi) * r
        vessels = np.maximum(vessels, _bump(away, 0.018))
    image = _mix(image, _rgb((0.62, 0.16, 0.16)), redness * vessels * _step((r - 0.3) * 3))
    if ear.label == "effusion":
        image = _draw_fluid(ear, rng, image, p, q)
    handle = _bump(_from_segment(p, q, (-0.12, -0.85), (0.0, 0.05)), 0.05)
    seen = {"bulging": 0.75 - 0.7 * bulge, "effusion": 0.6}.get(ear.label, 0.75) * float(rng.uniform(0.5, 1))
    image = _mix(image, _rgb((0.90, 0.80, 0.70)), seen * handle)
    strength = float(rng.uniform(0.25, 0.95)) * (1 - 0.9 * bulge)
    if ear.label == "effusion":
        strength *= 1 - 0.7 * ear.severity
    toward = 0.9 + float(rng.normal(0, 0.15))
    cone = _bump((angle - toward) * np.minimum(r, 1) / 0.16, 0.7) * _step((r - 0.08) * 8) * _step((0.78 - r) * 8)
    image = _mix(image, _rgb((1.0, 0.98, 0.94)), strength * cone)
    if ear.shadow:
        image = _mix(image, _rgb((0.34, 0.20, 0.19)), ear.shadow * _patch(rng, p, q, 0.12, 0.28, 3.0))
    if ear.label == "perforation":
        image = _draw_hole(ear, rng, image, p, q)
    return image


def _draw_fluid(ear: Ear, rng: np.random.Generator, image: Plane, p: Plane, q: Plane) -> Plane:
    level = float(rng.uniform(-0.5, 0.4)) + 0.12 * p**2
    below = _step((q - level) / 0.06 + 0.5) * 0.45 * ear.severity
    image = _mix(image, _rgb((0.62, 0.38, 0.12)), below)
    image = _mix(image, _rgb((0.92, 0.82, 0.60)), 0.5 * ear.severity * _bump(q - level, 0.02))
    bubbles = np.zeros_like(p)
    for _ in range(int(rng.integers(0, 5))):
        a, b, size = (float(rng.uniform(low, high)) for low, high in ((-0.6, 0.6), (-0.5, 0.6), (0.05, 0.14)))
        bubbles = np.maximum(bubbles, _bump(np.hypot(p - a, q - b) - np.float32(size), 0.018))
    return _mix(image, _rgb((0.95, 0.88, 0.70)), 0.6 * ear.severity * bubbles)


def _draw_hole(ear: Ear, rng: np.random.Generator, image: Plane, p: Plane, q: Plane) -> Plane:
    size = 0.16 + 0.28 * ear.severity
    hole = _patch(rng, p, q, size, size * 1.15, 9.0)
    rim = np.clip(4 * hole * (1 - hole), 0, 1)
    dark = _rgb((0.30, 0.15, 0.14)) * float(rng.uniform(0.4, 1.3))
    image = _mix(image, dark, hole * (0.55 + 0.4 * ear.severity))
    return _mix(image, _rgb((0.90, 0.68, 0.62)), 0.5 * rim)


def _draw_wax(ear: Ear, rng: np.random.Generator, image: Plane, u: Plane, v: Plane) -> Plane:
    field = np.zeros_like(u)
    bearing = float(rng.uniform(-np.pi, np.pi))
    for _ in range(ear.crumbs):
        around, out = bearing + float(rng.normal(0, 0.9)), float(rng.uniform(0.35, 1.0))
        size = float(rng.uniform(0.10, 0.24)) * (1.15 if ear.label == "wax" else 0.8)
        field += _bump(np.hypot(u - out * math.cos(around), v - out * math.sin(around)), size)
    lumps = 0.5 * _texture(rng, u, v, 9) + 0.35 * _texture(rng, u, v, 20) + 0.25 * _texture(rng, u, v, 40)
    mask = _step((field * (1 + 0.25 * lumps) - 0.45) * 5 + 0.5)
    tone = _rgb((0.66, 0.45, 0.16)) * float(rng.uniform(0.5, 1.2)) + rng.normal(0, 0.03, (3, 1, 1))
    shade = 0.85 + 0.35 * lumps + 0.2 * np.minimum(field, 1.5)
    return _mix(image, (shade * tone).astype(np.float32), 0.92 * mask)


def _patch(rng: np.random.Generator, p: Plane, q: Plane, low: float, high: float, sharp: float) -> Plane:
    """Return a soft, uneven ellipse somewhere in the drum."""
    bearing, out = float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(0.2, 0.55))
    a, b = float(rng.uniform(low, high)), float(rng.uniform(low, high))
    away = np.hypot((p - out * math.cos(bearing)) / a, (q - out * math.sin(bearing)) / b)
    return _step((1 - away * (1 + 0.12 * _texture(rng, p, q, 5))) * sharp / 3 + 0.5)


def _texture(rng: np.random.Generator, u: Plane, v: Plane, cells: int) -> Plane:
    """Return smooth noise of mean 0 and deviation about 0.5 that is fixed to the ear's coordinates."""
    waves = rng.normal(0, cells * 0.45, (4, 2))
    phases = rng.uniform(0, 2 * np.pi, 4)
    total: Plane = np.zeros_like(u)
    for (a, b), phase in zip(waves, phases, strict=True):
        total += np.sin(np.float32(a) * u + np.float32(b) * v + np.float32(phase))
    total /= np.float32(2.8)
    return total


def _rgb(colour: Colour) -> Plane:
    """Return a colour as ``[3, 1, 1]``, to go with pictures ``[3, H, W]`` and planes ``[H, W]``."""
    return np.array(colour, np.float32).reshape(3, 1, 1)


def _bump(distance: Plane, width: float) -> Plane:
    near = distance / np.float32(width)
    bump: Plane = np.exp(np.float32(-0.5) * near * near)
    return bump


def _step(x: Plane) -> Plane:
    x = np.clip(x, 0, 1)
    step: Plane = x * x * (3 - 2 * x)
    return step


def _mix(image: Plane, other: Plane, weight: Plane) -> Plane:
    return image + (other - image) * np.clip(weight, 0, 1)


def _from_segment(p: Plane, q: Plane, start: tuple[float, float], end: tuple[float, float]) -> Plane:
    dp, dq = end[0] - start[0], end[1] - start[1]
    along = np.clip(((p - start[0]) * dp + (q - start[1]) * dq) / (dp**2 + dq**2), 0, 1)
    away: Plane = np.hypot(p - start[0] - along * dp, q - start[1] - along * dq)
    return away


def _colour(values: NDArray[np.float64]) -> Colour:
    r, g, b = (float(value) for value in values)
    return r, g, b
