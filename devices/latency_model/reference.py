"""The reference machine: time of a unit of each kind of work on one core of an AMD EPYC (AVX-512, VNNI), by runtime.

``benchmarks/bench_predict.py`` fitted the prices to every network that was timed there; its results are kept, and a test
fits again and compares. Other devices are this one times a factor or two, until they are measured themselves.
"""

from __future__ import annotations

from typing import Literal

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


ONNXRUNTIME_PRICES_NS: dict[str, float] = {
    "copy float32": 0.0,
    "copy int8": 0.0,
    "curved": 0.5334,
    "dense float32": 0.01683,
    "dense int8": 0.003218,
    "depthwise float32": 0.009152,
    "depthwise int8": 0.03812,
    "gather": 7.738,
    "grouped float32": 0.01455,
    "grouped int8": 0.01885,
    "joined int8": 0.001149,
    "layers": 838.2,
    "moved float32": 0.01402,
    "moved int8": 0.1251,
    "normalise": 1.156,
    "pointwise float32": 0.01856,
    "pointwise int8": 0.003147,
    "pool float32": 0.2047,
    "pool int8": 0.08902,
    "product float32": 0.01431,
    "product int8": 0.02191,
    "stem float32": 0.01586,
    "stem int8": 0.03639,
    "weights": 0.02265,
}
"""Price of a unit of each feature in ONNX Runtime on that machine, nanoseconds, of int8 graphs in the processor's form."""

Runtime = Literal["openvino", "onnxruntime"]
"""Runtime whose prices on the reference machine are known."""


def runtime_of(backend: str) -> Runtime:
    """Return the runtime of the reference machine that a backend's measurements are compared with."""
    return "onnxruntime" if backend == "onnxruntime" else "openvino"


def reference_prices(runtime: Runtime = "openvino") -> Floats:
    """Return the prices in the order of ``FEATURES``.

    Args:
        runtime: Runtime on the reference machine.
    """
    prices = ONNXRUNTIME_PRICES_NS if runtime == "onnxruntime" else PRICES_NS
    return np.array([prices[name] for name in FEATURES])
