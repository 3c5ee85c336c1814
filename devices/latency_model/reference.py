"""The reference machine: time of a unit of each kind of work on one core of an AMD EPYC (AVX-512, VNNI) with OpenVINO.

``benchmarks/bench_predict.py`` fitted the prices to every network that was timed there; its results are kept, and a test
fits again and compares. Other devices are this one times a factor or two, until they are measured themselves.
"""

from __future__ import annotations

import numpy as np

from weckd_edge.devices.latency_model.features import FEATURES
from weckd_edge.devices.latency_model.fitting import Floats

NAME = "AMD EPYC, family 26 (Zen 5), one core, OpenVINO 2026.4.1"

PRICES_NS: dict[str, float] = {
    "stem float32": 0.01068,
    "stem int8": 0.006749,
    "dense float32": 0.007229,
    "dense int8": 0.001857,
    "pointwise float32": 0.008446,
    "pointwise int8": 0.001709,
    "grouped float32": 0.008015,
    "grouped int8": 0.002332,
    "product float32": 0.005642,
    "product int8": 0.008641,
    "joined int8": 0.004138,
    "depthwise float32": 0.009452,
    "depthwise int8": 0.009576,
    "pool float32": 0.1089,
    "pool int8": 0.02828,
    "copy float32": 0.0,
    "copy int8": 0.0,
    "moved float32": 0.0,
    "moved int8": 0.04397,
    "weights": 0.01985,
    "curved": 0.1963,
    "normalise": 0.0,
    "gather": 0.34,
    "layers": 1381.0,
}
"""Price of a unit of each feature, nanoseconds."""


def reference_prices() -> Floats:
    """Return the prices in the order of ``FEATURES``."""
    return np.array([PRICES_NS[name] for name in FEATURES])
