"""Numbers as people read them: few digits, always a unit, and a no-break space before it."""

from __future__ import annotations

import math

from weckd_edge.artifacts import Rate
from weckd_edge.core.words import NBSP

MINUS = "\u2212"
EN_DASH = "\u2013"


def significant(value: float, digits: int = 3) -> str:
    """Return a number as text with so many significant digits, never with an exponent: 1234, 12.3, 0.0123."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def format_difference(value: float) -> str:
    """Return a difference of probabilities as text: two digits, as a power of ten where it is tiny."""
    if value == 0 or abs(value) >= 1e-4:
        return f"{value:.2g}"
    exponent = math.floor(math.log10(abs(value)))
    raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{value / 10**exponent:.1f}·10{raised}"


def percent(fraction: float, decimals: int = 1) -> str:
    """Return a fraction 0..1 as a percentage."""
    return f"{fraction * 100:.{decimals}f}{NBSP}%"


def interval(rate: Rate) -> str:
    """Return a rate's 95 % interval as text, such as ``84.1-92.0 %``."""
    return f"{rate.low * 100:.1f}{EN_DASH}{rate.high * 100:.1f}{NBSP}%"


def points(difference: float) -> str:
    """Return a difference of two fractions in percentage points, with its sign."""
    sign = "+" if difference > 0 else MINUS if difference < 0 else "±"
    return f"{sign}{abs(difference) * 100:.1f}{NBSP}points"


def milliseconds(time_ns: float) -> str:
    """Return a time in nanoseconds as milliseconds."""
    return f"{significant(time_ns / 1e6)}{NBSP}ms"


def seconds(value: float) -> str:
    """Return a duration as text: ``0.4 s``, ``12 s``, ``3 min 20 s``."""
    if value < 10:
        return f"{value:.1f}{NBSP}s"
    whole = round(value)
    if whole < 60:
        return f"{whole}{NBSP}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min {rest}{NBSP}s"
    return f"{minutes // 60}{NBSP}h {minutes % 60}{NBSP}min"


def format_count(value: float) -> str:
    """Return a large number as text: ``950``, ``12.3 k``, ``2.22 M``, ``1.10 G``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{significant(value / size)}{NBSP}{unit}"
    return f"{value:.0f}"


def size(amount: int) -> str:
    """Return a number of bytes as text, with a binary unit."""
    if amount >= 1 << 20:
        return f"{significant(amount / (1 << 20))}{NBSP}MiB"
    if amount >= 1 << 10:
        return f"{significant(amount / (1 << 10))}{NBSP}KiB"
    return f"{amount}{NBSP}B"


"How numbers are written for people: few digits, always a unit, and a no-break space before it."
