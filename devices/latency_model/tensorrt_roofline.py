"""Estimate for TensorRT in int8 on Orin modules, from the arithmetic peak of a power mode and two published figures.

The model is ``latency = layers * price + 2 * MACs / (part of the peak * peak)``. MLPerf's ResNet-50 on AGX Orin and Orin NX
gives the two unknowns. Layers that are bound by memory, as depthwise ones, have no price of their own, for want of any
figure.
"""

from __future__ import annotations

import functools

import numpy as np

from weckd_edge.devices.latency_model.counts import NetworkCounts
from weckd_edge.devices.latency_model.published import transfer_width
from weckd_edge.devices.latency_model.published_rows import counts_of, published_rows
from weckd_edge.devices.profiles.profile import DeviceProfile, PowerMode


def highest_mode(profile: DeviceProfile) -> PowerMode | None:
    """Return the power mode with the highest known peak; None where no peak is known."""
    known = [mode for mode in profile.power_modes if mode.int8_tops_dense]
    return max(known, key=lambda mode: mode.int8_tops_dense or 0.0, default=None)


def roofline_ns(counts: NetworkCounts, int8_tops_dense: float) -> float:
    """Estimate the latency of an int8 network, nanoseconds.

    Args:
        counts: Counts of the network.
        int8_tops_dense: Peak of the power mode, TOPS, over 0.
    """
    layer_ns, part = fit_roofline()
    return _layers(counts) * layer_ns + _peak_ns(counts, int8_tops_dense) / part


def roofline_width() -> float:
    """Return the half width of an estimate's interval, in logarithms: that of scaling a device from one published figure."""
    return transfer_width(1)


@functools.cache
def fit_roofline() -> tuple[float, float]:
    """Return the price of a layer, nanoseconds, and the part of the peak that convolutions reach."""
    rows = [row for row in published_rows() if row.runtime == "tensorrt" and row.int8_tops_dense is not None]
    known = [
        (counts_of(network, "int8"), row.int8_tops_dense or 0.0, ms * 1e6) for row in rows for network, ms in row.ms.items()
    ]
    work = np.array([[_layers(counts), _peak_ns(counts, tops)] for counts, tops, _ in known])
    layer_ns, slowdown = np.linalg.lstsq(work, np.array([latency for *_, latency in known]), rcond=None)[0]
    return float(layer_ns), float(1 / slowdown)


def _layers(counts: NetworkCounts) -> float:
    return float(sum(layer.times for layer in counts.layers))


def _peak_ns(counts: NetworkCounts, tops: float) -> float:
    return 2 * counts.macs / (tops * 1e12) * 1e9
