"""Draw the signs of an ear. A look-alike has the same mean colour as the genuine sign, without its fine structure.

Fine structures are a few hundredths of the drum's radius wide: at 96 pixels a network sees them, at 48 they run together.
"""

from __future__ import annotations

import math

import numpy as np

from weckd_edge.train.data.synth.ear import Sign
from weckd_edge.train.data.synth.planes import Plane, bump, mix, net, rgb, scattered, step, texture


def draw_fluid(sign: Sign, rng: np.random.Generator, image: Plane, p: Plane, q: Plane) -> Plane:
    """Draw fluid up to a level, with bubbles (rings); in a look-alike, with specks of as much light."""
    level = float(rng.uniform(-0.7, 0.1)) + 0.12 * p**2
    below = step((q - level) / 0.06 + 0.5)
    image = mix(image, rgb((0.62, 0.38, 0.12)), 0.35 * sign.strength * below)
    away, there = scattered(rng, p, q, side=0.17, reach=0.065, part=0.35 + 0.45 * sign.strength)
    rings = bump(away - np.float32(0.042), 0.013)
    specks = bump(away, 0.024)
    if not sign.genuine:
        rings = specks * (rings.sum() / specks.sum())
    return mix(image, rgb((0.98, 0.92, 0.74)), 0.75 * rings * there * (0.25 + 0.75 * below))


def draw_redness(sign: Sign, rng: np.random.Generator, image: Plane, p: Plane, q: Plane) -> Plane:
    """Draw a net of fine vessels; in a look-alike, a flush of as much red."""
    lines = net(rng, p, q, spacing=0.09, width=0.012)
    shade = 1 + 0.5 * texture(rng, p, q, 3)
    if not sign.genuine:
        lines = lines.mean() * np.ones_like(p)
    return mix(image, rgb((0.55, 0.08, 0.10)), (0.45 + 0.4 * sign.strength) * lines * shade)


def draw_patch(sign: Sign, rng: np.random.Generator, image: Plane, p: Plane, q: Plane) -> Plane:
    """Draw a hole with a sharp, bright rim; in a look-alike, a shadow with a halo of as much light."""
    bearing, out = float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(0.2, 0.5))
    size = 0.14 + 0.20 * sign.strength
    a, b = (size * float(rng.uniform(0.85, 1.15)) for _ in range(2))
    away = np.hypot((p - out * math.cos(bearing)) / a, (q - out * math.sin(bearing)) / b)
    away = away * (1 + 0.10 * texture(rng, p, q, 5))
    dark = rgb((0.30, 0.15, 0.14)) * float(rng.uniform(0.6, 1.4))
    image = mix(image, dark, (0.55 + 0.3 * sign.strength) * step((1 - away) * 3 + 0.5))
    rim, halo = bump((away - 1.15) * size, 0.014), bump((away - 1.15) * size, 0.05)
    if not sign.genuine:
        rim = halo * (rim.sum() / halo.sum())
    return mix(image, rgb((0.98, 0.86, 0.78)), 0.8 * rim)


def draw_lumps(sign: Sign, rng: np.random.Generator, image: Plane, u: Plane, v: Plane) -> Plane:
    """Draw lumps of wax with fibres; in a look-alike, smooth crumbs."""
    field = np.zeros_like(u)
    bearing = float(rng.uniform(-np.pi, np.pi))
    for _ in range(2 + round(4 * sign.strength)):
        around, out = bearing + float(rng.normal(0, 0.9)), float(rng.uniform(0.35, 0.9))
        field += bump(np.hypot(u - out * math.cos(around), v - out * math.sin(around)), float(rng.uniform(0.10, 0.22)))
    mottled = texture(rng, u, v, 7)
    mask = step((field * (1 + 0.12 * mottled) - 0.45) * 5 + 0.5)
    fibres = np.sin(
        np.float32(np.pi / 0.036) * (u * math.cos(bearing) + v * math.sin(bearing)) + 2.5 * texture(rng, u, v, 5)
    )
    tone = rgb((0.66, 0.45, 0.16)) * float(rng.uniform(0.6, 1.2)) + rng.normal(0, 0.03, (3, 1, 1))
    shade = 0.85 + 0.15 * mottled + 0.2 * np.minimum(field, 1.5) + (0.28 * fibres if sign.genuine else 0.0)
    return mix(image, (shade * tone).astype(np.float32), 0.92 * mask)
