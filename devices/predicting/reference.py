"""The reference machine: what a unit of each kind of work takes on one core of an AMD EPYC with AVX-512 and VNNI, OpenVINO.

Fitted by ``benchmarks/bench_predict.py`` to every network that was timed there; its results are kept, and a test fits again
and compares. Other devices are this one times a factor or two, until they are measured themselves.
"""

from __future__ import annotations

import numpy as np

from weckd_edge.devices.predicting.features import FEATURES
from weckd_edge.devices.predicting.fitting import Floats

NAME = "AMD EPYC, family 26 (Zen 5), one core, OpenVINO 2026.4.1"

PRICES_NS: dict[str, float] = {
    "stem float32": 0.009962,
    "stem int8": 0.007486,
    "dense float32": 0.007414,
    "dense int8": 0.001974,
    "pointwise float32": 0.009182,
    "pointwise int8": 0.001601,
    "grouped float32": 0.008307,
    "grouped int8": 0.002311,
    "product float32": 0.0,
    "joined int8": 0.0,
    "product int8": 0.08688,
    "depthwise float32": 0.01119,
    "depthwise int8": 0.01027,
    "pool float32": 0.1141,
    "pool int8": 0.009991,
    "copy float32": 0.002088,
    "copy int8": 0.03881,
    "moved float32": 0.0,
    "moved int8": 0.0488,
    "weights": 0.02206,
    "curved": 0.1966,
    "normalise": 0.0,
    "gather": 0.36,
    "layers": 1363.0,
}
"""Nanoseconds a unit, by feature; see ``features``."""


def reference_prices() -> Floats:
    """Return the prices in the order of ``FEATURES``."""
    return np.array([PRICES_NS[name] for name in FEATURES])
