"""Draw one synthetic otoscope frame: canal, drum, malleus, reflex, vessels, the ear's signs, the camera.

Coordinates ``u`` (right) and ``v`` (down) are those of the ear: the canal's wall is at radius 1, the drum lies within.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from weckd_edge.train.data.synth.ear import Ear
from weckd_edge.train.data.synth.planes import Plane, bump, from_segment, mix, rgb, step, texture
from weckd_edge.train.data.synth.signs import draw_fluid, draw_lumps, draw_patch, draw_redness


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
    circle = step((ear.vignette - np.hypot(x, y)) / ear.edge + 0.5)
    falloff = 1 - 0.22 * np.minimum(x**2 + y**2, 2.0)
    outside = rgb((0.9, 0.85, 0.95)) * ear.floor
    light = outside + (light * falloff - outside) * circle
    light = np.clip(light * rgb(ear.cast), 0, 1) ** ear.gamma
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
    mottled = texture(rng, u, v, 9)
    wall = lit * (0.55 + 0.5 * np.minimum(radius, 1.3)) * (1 + 0.16 * mottled)
    image = wall * rgb(ear.skin)
    p, q = u - ear.centre[0], v - ear.centre[1]
    p, q = math.cos(ear.tilt) * p + math.sin(ear.tilt) * q, -math.sin(ear.tilt) * p + math.cos(ear.tilt) * q
    p, q = (p / ear.radii[0]).astype(np.float32), (q / ear.radii[1]).astype(np.float32)
    r = np.hypot(p, q) * (1 + 0.05 * texture(rng, u, v, 4))
    drum = _draw_drum(ear, rng, p, q, r, mottled)
    image = mix(image, drum, step((1 - r) / 0.08 + 0.5))
    ring = bump(r - 1.02, 0.05) * 0.35
    image = mix(image, rgb((0.62, 0.40, 0.38)), ring)
    if ear.lumps.strength:
        image = draw_lumps(ear.lumps, rng, image, u, v)
    spots = np.zeros_like(u)
    for _ in range(int(rng.integers(1, 5))):
        a, b = (float(value) for value in rng.normal(0, 0.45, 2))
        spots = np.maximum(spots, bump(np.hypot(u - a, v - b), rng.uniform(0.02, 0.05)))
    return mix(image, rgb((1.0, 1.0, 1.0)), 0.85 * spots)


def _draw_drum(ear: Ear, rng: np.random.Generator, p: Plane, q: Plane, r: Plane, mottled: Plane) -> Plane:
    bulge = ear.redness.strength
    shade = 1.02 - (0.10 + 0.25 * bulge) * r**2 + 0.10 * bulge * bump(np.hypot(p - 0.2, q + 0.2), 0.5)
    image = (shade * (1 + 0.10 * mottled)) * rgb(ear.drum)
    angle = np.arctan2(q, p)
    vessels = np.zeros_like(r)
    for _ in range(int(rng.integers(2, 6))):
        course = float(rng.uniform(-np.pi, np.pi)) + 0.25 * np.sin(5 * r + float(rng.uniform(0, 6)))
        away = np.abs((angle - course + np.pi) % (2 * np.pi) - np.pi) * r
        vessels = np.maximum(vessels, bump(away, 0.018))
    image = mix(image, rgb((0.62, 0.16, 0.16)), (0.18 + 0.25 * float(rng.random())) * vessels * step((r - 0.3) * 3))
    if ear.redness.strength:
        image = draw_redness(ear.redness, rng, image, p, q)
    handle = bump(from_segment(p, q, (-0.12, -0.85), (0.0, 0.05)), 0.05)
    image = mix(image, rgb((0.90, 0.80, 0.70)), (0.75 - 0.5 * bulge) * float(rng.uniform(0.5, 1)) * handle)
    strength = float(rng.uniform(0.25, 0.95)) * (1 - 0.7 * bulge) * (1 - 0.5 * ear.fluid.strength)
    toward = 0.9 + float(rng.normal(0, 0.15))
    cone = bump((angle - toward) * np.minimum(r, 1) / 0.16, 0.7) * step((r - 0.08) * 8) * step((0.78 - r) * 8)
    image = mix(image, rgb((1.0, 0.98, 0.94)), strength * cone)
    if ear.fluid.strength:
        image = draw_fluid(ear.fluid, rng, image, p, q)
    if ear.patch.strength:
        image = draw_patch(ear.patch, rng, image, p, q)
    return image
