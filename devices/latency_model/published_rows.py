"""Rows of published latencies that estimates are made from: of devices with a profile, and of others from a table.

A profile keeps each figure as its source states it. Here those of one setting become one row, under the names of the counted
networks. Figures of other networks, sizes, batches or statistics than an estimate can use are left out.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from weckd_edge.core.errors import DeviceError, did_you_mean
from weckd_edge.core.serialization import from_data
from weckd_edge.devices.latency_model.counts import NetworkCounts, Precision, as_int8, counts_from_data
from weckd_edge.devices.profiles.profile import DeviceProfile, list_profiles, profile_names
from weckd_edge.devices.profiles.records import PublishedLatency

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NETWORKS = {
    "mobilenet": "mobilenetv1",
    "mobilenet-v2": "mobilenetv2",
    "mobilenet_v2": "mobilenetv2",
    "mobilenet_v3": "mobilenetv3_large",
    "pp_resnet50": "resnet50",
    "resnet-50": "resnet50",
}
"""Names of networks in their sources, and the counted network that each is taken for."""

SIZE = 224
"""Side of the networks' input, pixels."""

_CENTRE = ("median", "mean", "unknown")
"""Statistics that may be taken for a median, the nearest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRow:
    """Latencies that one source publishes of one device with one runtime: batch 1, 224 x 224 pixels.

    Attributes:
        device: Id of the device's profile, or a name of its own where it has none, or where a build runs on another part.
        name: Name of the device for people.
        runtime: Name of the runtime without its version, such as ``ncnn``.
        precision: Precision of the networks; ``float32`` also stands for FP16 where a runtime computes so.
        ms: Latency by network, milliseconds; the names are those of ``published_counts``.
        source: Name of the source.
        threads: Number of processor threads; None: all, or not a processor.
        int8_tops_dense: Peak of the power mode that it was measured in, TOPS.
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
    stands_for: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rows: tuple[PublishedRow, ...] = ()


@functools.cache
def published_counts() -> dict[str, NetworkCounts]:
    """Return the counts of the networks with published latencies: float32, 224 pixels, 1000 classes."""
    text = (resources.files("weckd_edge.devices.latency_model") / "published_networks.jsonl").read_text(encoding="utf-8")
    lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    return {line["network"]: counts_from_data(line["counts"], where=line["network"]) for line in lines}


def counts_of(network: str, precision: Precision) -> NetworkCounts:
    """Return a published network's counts in a precision."""
    counts = published_counts()[network]
    return as_int8(counts) if precision == "int8" else counts


@functools.cache
def published_rows() -> tuple[PublishedRow, ...]:
    """Return the published rows of every device: of those with a profile first, then of the others.

    Raises:
        DeviceError: A row of the table is not what was expected, names a network that was not counted, or is of a device
            with a profile; or a device that stands for others has no profile.
    """
    return (*(row for profile in list_profiles() for row in rows_of(profile)), *_table().rows)


def rows_of(profile: DeviceProfile) -> tuple[PublishedRow, ...]:
    """Return a profile's published latencies as rows, one a setting, in their order there.

    Raises:
        DeviceError: A figure names a power mode that the profile does not have.
    """
    usable = [published for published in profile.published if _is_usable(published)]
    settings = dict.fromkeys(_setting(published) for published in usable)
    return tuple(
        _row(profile, [published for published in usable if _setting(published) == setting]) for setting in settings
    )


def _is_usable(published: PublishedLatency) -> bool:
    fits = (
        published.latency_ms is not None
        and published.input_size == SIZE
        and published.batch == 1
        and published.statistic in _CENTRE
    )
    return fits and _network(published) in published_counts()


def _network(published: PublishedLatency) -> str:
    return NETWORKS.get(published.model, published.model)


def _precision(published: PublishedLatency) -> Precision:
    return "int8" if published.precision == "int8" else "float32"


def _setting(published: PublishedLatency) -> tuple[object, ...]:
    """Return the setting that the figures of one row share; FP16 that was asked for is another setting than FP32."""
    requested = published.precision == "fp16"
    what = (published.measured_on, published.part, published.processor, published.power_mode, published.threads)
    return (published.source, published.runtime, _precision(published), requested, *what)


def _row(profile: DeviceProfile, latencies: Sequence[PublishedLatency]) -> PublishedRow:
    first = latencies[0]
    ms: dict[str, float] = {}
    for published in sorted(latencies, key=lambda published: _CENTRE.index(published.statistic)):
        ms.setdefault(_network(published), published.latency_ms or 0.0)
    board = first.measured_on or profile.name
    runs_builds = first.part is None and first.processor == ("gpu" if profile.target == "jetson" else "cpu")
    where = board if runs_builds else f"{board}, {first.part or first.processor.upper()}"
    is_itself = runs_builds and first.measured_on is None
    kin = _table().stands_for.get(profile.id, ()) if is_itself else ()
    return PublishedRow(
        device=profile.id if is_itself else where,
        name=f"{where}, FP16" if first.precision == "fp16" else where,
        runtime=re.sub(r"[^a-z0-9]+", "-", re.sub(r" [\d.]+$", "", first.runtime).lower()),
        precision=_precision(first),
        ms={_network(published): ms[_network(published)] for published in latencies},
        source=first.source,
        threads=first.threads,
        int8_tops_dense=_tops(profile, first.power_mode),
        stands_for=(profile.id,) if runs_builds and first.measured_on is not None else kin,
    )


def _tops(profile: DeviceProfile, power_mode: str | None) -> float | None:
    if power_mode is None:
        return None
    modes = {mode.name: mode.int8_tops_dense for mode in profile.power_modes}
    if power_mode not in modes:
        raise DeviceError(
            f"{profile.id}: published: no power mode '{power_mode}'{did_you_mean(power_mode, modes)}; "
            "add it to power_modes, or leave it out",
            code="E_DEVICE_PUBLISHED",
        )
    return modes[power_mode]


@functools.cache
def _table() -> _Table:
    text = (resources.files("weckd_edge.devices.latency_model") / "published.toml").read_text(encoding="utf-8")
    table = from_data(_Table, tomllib.loads(text), where="published.toml", error=DeviceError)
    for row in table.rows:
        if row.device in profile_names():
            raise DeviceError(
                f"published.toml: {row.device} has a profile; put its latencies there", code="E_DEVICE_PUBLISHED"
            )
        for network in row.ms:
            if network not in published_counts():
                raise DeviceError(
                    f"published.toml: '{network}' of {row.name} was not counted; known: {list(published_counts())}",
                    code="E_DEVICE_PUBLISHED",
                )
    for device in (*table.stands_for, *(kin for many in table.stands_for.values() for kin in many)):
        if device not in profile_names():
            raise DeviceError(
                f"published.toml: stands_for: no profile is called so{did_you_mean(device, profile_names())}",
                code="E_DEVICE_PUBLISHED",
            )
    return table
