"""Estimates from published latencies of known networks, for a device that nobody measured with this software.

A device is taken for the reference machine with two factors, one on arithmetic and one on everything else, fitted to its
published figures. Leaving figures out and estimating them from the others shows how far that is off.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.latency_model.counts import NetworkCounts
from weckd_edge.devices.latency_model.features import COMPUTE, FEATURES, feature_matrix
from weckd_edge.devices.latency_model.fitting import COVERAGE, Floats, conformal_width, fit_prices
from weckd_edge.devices.latency_model.published_rows import PublishedRow, counts_of, published_rows
from weckd_edge.devices.latency_model.reference import Runtime, reference_prices

PULL_TOGETHER = 0.03
"""Weight that pulls the two factors towards each other, in squared relative error of one figure."""

_COMPUTE = np.array([name in COMPUTE for name in FEATURES])


def two_parts(networks: Sequence[NetworkCounts], runtime: Runtime = "openvino") -> Floats:
    """Return the time of networks on the reference machine as arithmetic and all else: ``[N, 2]``, nanoseconds.

    Args:
        networks: Counts of the networks.
        runtime: Runtime on the reference machine.
    """
    priced = feature_matrix(networks) * reference_prices(runtime)
    return np.stack([priced[:, _COMPUTE].sum(axis=1), priced[:, ~_COMPUTE].sum(axis=1)], axis=1)


def scale_to(
    known: Sequence[NetworkCounts],
    latency_ns: Sequence[float],
    wanted: Sequence[NetworkCounts],
    *,
    measured_in: Runtime = "openvino",
    runtime: Runtime = "openvino",
) -> Floats:
    """Estimate latencies from a few figures of a device, by two factors on the reference machine.

    Args:
        known: Networks whose latency on the device is known.
        latency_ns: Latencies of those networks, nanoseconds.
        wanted: Networks to estimate.
        measured_in: Runtime of the reference machine that the known latencies are compared with.
        runtime: Runtime of the reference machine that the estimates come from.

    Returns:
        Latencies ``[len(wanted)]``, nanoseconds.
    """
    factors = fit_prices(
        two_parts(known, measured_in), np.array(latency_ns, dtype=np.float64), known=np.ones(2), pull=PULL_TOGETHER
    )
    predicted: Floats = two_parts(wanted, runtime) @ factors
    return predicted


def estimate_row(row: PublishedRow, wanted: NetworkCounts, runtime: Runtime = "openvino") -> float:
    """Estimate the latency of a network where a row was measured, nanoseconds.

    Args:
        row: The row.
        wanted: Counts of the network.
        runtime: Runtime that it is estimated for, where the row is of OpenVINO.
    """
    known = [counts_of(network, row.precision) for network in row.ms]
    return float(scale_to(known, [ms * 1e6 for ms in row.ms.values()], [wanted], runtime=runtime)[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A published figure that was estimated from others of its row.

    Attributes:
        row: Row of the figure.
        network: Network of the figure.
        figures: Number of other figures that it was estimated from.
        predicted_ns: Estimated latency, nanoseconds.
        published_ns: Published latency, nanoseconds.
    """

    row: PublishedRow
    network: str
    figures: int
    predicted_ns: float
    published_ns: float

    @property
    def error(self) -> float:
        """Error of the estimate: ``log(predicted / published)``."""
        return float(np.log(self.predicted_ns / self.published_ns))


@functools.cache
def leave_one_out() -> tuple[LeftOut, ...]:
    """Estimate every published figure from all the others of its row, where there are others."""
    found = []
    for row in published_rows():
        for network in row.ms if len(row.ms) > 1 else ():
            found.append(_leave_row_out(row, network, tuple(other for other in row.ms if other != network)))
    return tuple(found)


@functools.cache
def _from_one() -> tuple[LeftOut, ...]:
    return tuple(
        _leave_row_out(row, network, (other,)) for row in published_rows() for other, network in permutations(row.ms, 2)
    )


def _leave_row_out(row: PublishedRow, network: str, others: tuple[str, ...]) -> LeftOut:
    known = [counts_of(other, row.precision) for other in others]
    predicted = scale_to(known, [row.ms[other] * 1e6 for other in others], [counts_of(network, row.precision)])
    return LeftOut(
        row=row, network=network, figures=len(others), predicted_ns=float(predicted[0]), published_ns=row.ms[network] * 1e6
    )


@functools.cache
def transfer_width(latencies: int, without_device: str | None = None) -> float:
    """Return the half width, in logarithms, of an interval around an estimate from a number of figures of a device.

    It is the conformal width of the errors on all published figures that were left out; where one figure is known, of the
    errors of estimates from one other figure.

    Args:
        latencies: Number of known figures, at least 1.
        without_device: Device whose own figures take no part, so that it can be judged; None leaves none out.
    """
    pool = leave_one_out() if latencies > 1 else _from_one()
    errors = [left.error for left in pool if left.row.device != without_device and (latencies == 1 or left.figures > 1)]
    width = conformal_width(np.array(errors), COVERAGE)
    if width is None:
        raise DeviceError(
            f"expected enough published latencies for an interval, got {len(errors)}", code="E_DEVICE_PUBLISHED"
        )
    return width
