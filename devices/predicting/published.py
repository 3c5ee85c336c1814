"""Published latencies of known networks: for a device that nobody measured with this software, the only thing to go by.

A device is taken for the reference machine with two factors, one on arithmetic and one on everything else, fitted to what is
published of it. How far that is off is told by leaving published figures out and predicting them from the others.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from itertools import permutations
from typing import Any

import numpy as np

from weckd_edge.devices.predicting.counts import NetworkCounts, Precision, as_int8, counts_from_data
from weckd_edge.devices.predicting.features import COMPUTE, FEATURES, feature_matrix
from weckd_edge.devices.predicting.fitting import COVERAGE, Floats, conformal_width, fit_prices
from weckd_edge.devices.predicting.reference import reference_prices
from weckd_edge.errors import DeviceError
from weckd_edge.schema import from_data

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PULL_TOGETHER = 0.03
"""How strongly the two factors are held alike, in squared relative error of one figure."""

_COMPUTE = np.array([name in COMPUTE for name in FEATURES])


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRow:
    """What one source says of one device with one runtime: batch 1, 224 x 224 pixels.

    Attributes:
        device: A profile's id, or a name of its own where there is no profile.
        name: For people.
        runtime: Such as ``ncnn``.
        precision: Of the network; ``float32`` also stands for FP16 where a runtime chose it by itself.
        ms: Latency by network, milliseconds; names of ``published_counts``.
        source: Where it was read.
        threads: Of the processor; None: all, or not a processor.
        int8_tops_dense: Of the power mode it was measured in.
        stands_for: Devices of the same class without a figure of their own.
    """

    device: str
    name: str
    runtime: str
    precision: Precision
    ms: dict[str, float]
    source: str
    threads: int | None = None
    int8_tops_dense: float | None = None
    stands_for: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Table:
    rows: tuple[PublishedRow, ...] = field(default=())


@functools.cache
def published_rows() -> tuple[PublishedRow, ...]:
    """Return the table that comes with the package.

    Raises:
        DeviceError: A row is not what was expected, or names a network that was not counted.
    """
    text = (resources.files("weckd_edge.devices.predicting") / "published.toml").read_text(encoding="utf-8")
    rows = from_data(_Table, tomllib.loads(text), where="published.toml", error=DeviceError).rows
    for row in rows:
        for network in row.ms:
            if network not in published_counts():
                raise DeviceError(
                    f"published.toml: '{network}' of {row.name} was not counted; known: {list(published_counts())}"
                )
    return rows


@functools.cache
def published_counts() -> dict[str, NetworkCounts]:
    """Return the counts, in float32 at 224 pixels and with 1000 classes, of the networks whose latencies are published."""
    text = (resources.files("weckd_edge.devices.predicting") / "published_networks.jsonl").read_text(encoding="utf-8")
    lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    return {line["network"]: counts_from_data(line["counts"], where=line["network"]) for line in lines}


def counts_of(network: str, precision: Precision) -> NetworkCounts:
    """Return a published network's counts in a precision."""
    counts = published_counts()[network]
    return as_int8(counts) if precision == "int8" else counts


def two_parts(networks: Sequence[NetworkCounts]) -> Floats:
    """Return what networks take on the reference machine, arithmetic and all else apart: ``[N, 2]``, nanoseconds."""
    priced = feature_matrix(networks) * reference_prices()
    return np.stack([priced[:, _COMPUTE].sum(axis=1), priced[:, ~_COMPUTE].sum(axis=1)], axis=1)


def scale_to(known: Sequence[NetworkCounts], latency_ns: Sequence[float], wanted: Sequence[NetworkCounts]) -> Floats:
    """Predict from a few figures of a device, by two factors on the reference machine.

    Args:
        known: Networks whose latency is known.
        latency_ns: Those latencies.
        wanted: Networks to predict.

    Returns:
        Nanoseconds, ``[len(wanted)]``.
    """
    factors = fit_prices(two_parts(known), np.array(latency_ns, dtype=np.float64), known=np.ones(2), pull=PULL_TOGETHER)
    predicted: Floats = two_parts(wanted) @ factors
    return predicted


def predict_row(row: PublishedRow, wanted: NetworkCounts) -> float:
    """Return what a network would take where a row was measured, nanoseconds."""
    known = [counts_of(network, row.precision) for network in row.ms]
    return float(scale_to(known, [ms * 1e6 for ms in row.ms.values()], [wanted])[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A published figure that was predicted from others of its row.

    Attributes:
        row: Where it stands.
        network: Its network.
        figures: From how many others.
        predicted_ns: The prediction.
        published_ns: The figure.
    """

    row: PublishedRow
    network: str
    figures: int
    predicted_ns: float
    published_ns: float

    @property
    def error(self) -> float:
        """``log(predicted / published)``."""
        return float(np.log(self.predicted_ns / self.published_ns))


@functools.cache
def left_out_one() -> tuple[LeftOut, ...]:
    """Predict every published figure from all the others of its row, where there are others."""
    found = []
    for row in published_rows():
        for network in row.ms if len(row.ms) > 1 else ():
            found.append(_leave(row, network, tuple(other for other in row.ms if other != network)))
    return tuple(found)


@functools.cache
def _from_one() -> tuple[LeftOut, ...]:
    return tuple(_leave(row, network, (other,)) for row in published_rows() for other, network in permutations(row.ms, 2))


def _leave(row: PublishedRow, network: str, others: tuple[str, ...]) -> LeftOut:
    known = [counts_of(other, row.precision) for other in others]
    predicted = scale_to(known, [row.ms[other] * 1e6 for other in others], [counts_of(network, row.precision)])
    return LeftOut(
        row=row, network=network, figures=len(others), predicted_ns=float(predicted[0]), published_ns=row.ms[network] * 1e6
    )


@functools.cache
def transfer_width(figures: int, without_device: str | None = None) -> float:
    """Return the half width, in logarithms, of an interval around a prediction from a number of figures of a device.

    The conformal width of the errors on all published figures that were left out, those of one figure from one other where
    only one is known.

    Args:
        figures: How many are known, at least 1.
        without_device: A device whose own figures take no part, so that it can be judged.
    """
    pool = left_out_one() if figures > 1 else _from_one()
    errors = [left.error for left in pool if left.row.device != without_device and (figures == 1 or left.figures > 1)]
    width = conformal_width(np.array(errors), COVERAGE)
    if width is None:
        raise DeviceError(f"expected published figures enough for an interval, got {len(errors)}")
    return width
