"""Estimate of the latency of a network on a device that is not attached: a figure with an interval, or "unknown".

What is known of the device decides how: its own measurements of other networks; else a few of them, or published figures, by
which the reference machine is scaled; else, for a Jetson, the arithmetic peak of its power mode. An estimate never stands
for a measurement: no gate passes by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from weckd_edge.core.errors import ConfigError, ModelError
from weckd_edge.devices.latency_model.counts import NetworkCounts
from weckd_edge.devices.latency_model.features import feature_matrix, features
from weckd_edge.devices.latency_model.fitting import conformal_width, fit_prices, group_errors
from weckd_edge.devices.latency_model.measurements import TimedNetwork, settings_of
from weckd_edge.devices.latency_model.published import estimate_row, scale_to, transfer_width
from weckd_edge.devices.latency_model.published_rows import PublishedRow, published_rows, rows_of
from weckd_edge.devices.latency_model.reference import Runtime, reference_prices, runtime_of
from weckd_edge.devices.latency_model.tensorrt_roofline import highest_mode, roofline_ns, roofline_width
from weckd_edge.devices.profiles.profile import DeviceProfile

Label = Literal["measured", "estimated", "unknown"]
"""Kind of a latency: of this very network, estimated from others, or not known."""

ENOUGH = 20
"""Fewest measured networks of a precision that prices are fitted to; fewer only scale the reference machine."""

REACH = 2.0
"""Factor by which an estimate may be slower or faster than any measured network before its interval is doubled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyEstimate:
    """Estimated latency of a network on a device.

    Attributes:
        label: ``measured``: this very network was timed there; ``estimated`` from other networks; ``unknown``.
        latency_ns: Median latency, nanoseconds; None where unknown.
        low_ns: Lower end of an interval that holds the median with 90 % probability, as far as new networks are like the
            measured ones; None where unknown.
        high_ns: Upper end of that interval; None where unknown.
        reason: Basis of the estimate in words, and what would improve it.
    """

    label: Label
    latency_ns: int | None
    low_ns: int | None
    high_ns: int | None
    reason: str


def estimate_latency(
    counts: NetworkCounts,
    profile: DeviceProfile,
    measurements: Sequence[TimedNetwork] = (),
    *,
    backend: str | None = None,
    threads: int | None = None,
    power_mode: str | None = None,
    published: Sequence[PublishedRow] | None = None,
) -> LatencyEstimate:
    """Estimate a network's latency on a device.

    Args:
        counts: Counts of the network in the precision it would run in.
        profile: The device.
        measurements: Measurements of any devices; those of this device are used.
        backend: Backend whose measurements are taken; None takes the backend and threads with the most measurements.
        threads: Number of threads of the measurements that are taken; None takes the backend and threads with the most.
        power_mode: Power mode of a Jetson; None takes the one with the highest peak.
        published: Published rows to use in place of the profile's and the package's own.

    Raises:
        ConfigError: The device has no power mode of that name.
    """
    if power_mode is not None and power_mode not in [mode.name for mode in profile.power_modes]:
        known = ", ".join(mode.name for mode in profile.power_modes) or "none"
        raise ConfigError(f"{profile.id} has no power mode '{power_mode}'; known: {known}", code="E_CONFIG_CHOICE")
    here = [timed for timed in measurements if timed.device == profile.id]
    usable = [t for t in here if backend in (None, t.backend) and threads in (None, t.threads)]
    if usable:
        setting = settings_of(usable)[0]
        return _from_measurements(counts, profile, [timed for timed in usable if timed.setting == setting])
    left = f"{len(here)} measurements of it are by another backend or number of threads; " if here else ""
    given = [
        row
        for row in (_known_rows(profile) if published is None else published)
        if profile.id in (row.device, *row.stands_for) and threads in (None, row.threads)
    ]
    rows, runtime = _rows_of_runtime(given, profile, backend)
    if power_mode is None and any(row.runtime != "tensorrt" for row in rows):
        return _from_published(counts, profile, rows, runtime)
    peak = "no peak of its arithmetic"
    mode = highest_mode(profile) if power_mode is None else next(m for m in profile.power_modes if m.name == power_mode)
    if profile.target == "jetson" and backend in (None, "tensorrt") and mode is not None and mode.int8_tops_dense:
        if counts.precision == "int8":
            return _from_peak(counts, mode.name, mode.int8_tops_dense)
        peak = "the peak of its power modes is known for int8 alone"
    if rows:
        return _from_published(counts, profile, rows, runtime)
    return _unknown(
        f"{left}no measurement of {profile.id}, no published latency of a known network on it, {peak}; "
        f"run 'weckd-edge estimate --calibrate FILE' on the device, then give the file with --measurements"
    )


def _rows_of_runtime(
    given: Sequence[PublishedRow], profile: DeviceProfile, backend: str | None
) -> tuple[list[PublishedRow], Runtime]:
    """Return the rows that speak for a backend, and the runtime of the reference machine that they are turned into.

    The reference machine tells how ONNX Runtime and OpenVINO compare on x86; on Arm nobody has measured that.
    """
    rows = [row for row in given if backend in (None, row.runtime)]
    if profile.target == "jetson":
        return [row for row in rows if row.runtime == "tensorrt"], "openvino"
    if backend == "onnxruntime" and profile.architecture == "x86_64" and not rows:
        return [row for row in given if row.runtime == "openvino"], "onnxruntime"
    return rows, "openvino"


def _known_rows(profile: DeviceProfile) -> tuple[PublishedRow, ...]:
    """Return the rows of a profile, which may be a file of the user's own, and the rows of other devices."""
    own = rows_of(profile)
    return (*own, *(row for row in published_rows() if row.device != profile.id and row not in own))


def _from_measurements(counts: NetworkCounts, profile: DeviceProfile, measured: list[TimedNetwork]) -> LatencyEstimate:
    digest = counts.sha256
    for timed in measured:
        if timed.counts.sha256 == digest:
            spread = max(timed.noise, 0.01)
            return _interval(
                "measured",
                timed.latency_ns,
                math.log1p(spread),
                f"{timed.network} has just these layers and was timed on {timed.host} ({_how(timed)}); interval: its noise",
            )
    runtime = runtime_of(measured[0].backend)
    alike = [timed for timed in measured if timed.precision == counts.precision]
    where = f"{measured[0].host} ({_how(measured[0])})"
    stands = f", which stands for {profile.id}" if profile.is_generic else ""
    times = np.array([timed.latency_ns for timed in measured], dtype=np.float64)
    families = [timed.family for timed in measured]
    if len(alike) < ENOUGH or len(set(families)) < 3:
        if not alike:
            return _unknown(
                f"{len(measured)} networks were timed on {where}, none in {counts.precision}; "
                "run 'weckd-edge estimate --calibrate FILE' there"
            )
        known = [timed.counts for timed in alike]
        latencies_ns = [timed.latency_ns for timed in alike]
        guess = float(scale_to(known, latencies_ns, [counts], measured_in=runtime, runtime=runtime)[0])
        return _interval(
            "estimated",
            guess,
            transfer_width(len(alike)),
            f"the reference machine scaled to {len(alike)} networks timed on {where}{stands}; "
            f"{ENOUGH} or more in {counts.precision} would give an interval of their own",
        )
    work = feature_matrix([timed.counts for timed in measured])
    prices = fit_prices(work, times, known=reference_prices(runtime))
    errors = group_errors(work, times, families, known=reference_prices(runtime))
    same = np.array([timed.precision == counts.precision for timed in measured])
    width = conformal_width(errors[same])
    if width is None:  # cannot be with ENOUGH errors and this coverage
        raise ModelError(
            f"expected {ENOUGH} errors or more for an interval, got {int(same.sum())}", code="E_MODEL_MEASUREMENTS"
        )
    guess = float(features(counts) @ prices)
    low, high = times[same].min() / REACH, times[same].max() * REACH
    outside = not low <= guess <= high
    note = f"; beyond what was measured ({low / 1e6:.2f} to {high / 1e6:.1f} ms), interval doubled" if outside else ""
    return _interval(
        "estimated",
        guess,
        width * (2 if outside else 1),
        f"fitted to {len(measured)} networks timed on {where}{stands}, {int(same.sum())} of them in {counts.precision}; "
        f"interval from families left out{note}",
    )


def _from_published(
    counts: NetworkCounts, profile: DeviceProfile, rows: Sequence[PublishedRow], runtime: Runtime
) -> LatencyEstimate:
    best = max(
        rows, key=lambda row: (row.precision == counts.precision, row.device == profile.id, len(row.ms), row.threads or 0)
    )
    latencies = len(best.ms)
    width = transfer_width(latencies)
    reservations = []
    if best.device != profile.id:
        reservations.append(f"{best.name} stands for it")
    if best.precision != counts.precision:
        reservations.append(f"they are of {best.precision} networks")
    if best.int8_tops_dense is None and best.runtime == "tensorrt":
        reservations.append("its peak is not known")
    if runtime != best.runtime and runtime == "onnxruntime":
        reservations.append("OpenVINO's latencies stand for ONNX Runtime's, as the two compare on the reference machine")
    width *= 1 + 0.5 * len(reservations)
    threads = "" if best.threads is None else f", {best.threads} thread(s)"
    words = f"; interval widened: {'; '.join(reservations)}" if reservations else ""
    return _interval(
        "estimated",
        estimate_row(best, counts, runtime),
        width,
        f"the reference machine scaled to {latencies} published latencies of {best.name} ({best.runtime}{threads}; "
        f"{best.source}){words}; measure on the device for a better one",
    )


def _from_peak(counts: NetworkCounts, mode: str, tops: float) -> LatencyEstimate:
    return _interval(
        "estimated",
        roofline_ns(counts, tops),
        roofline_width(),
        f"from the {tops:g} dense int8 TOPS of power mode {mode} and a price a layer, both settled by two published "
        "ResNet-50 latencies of Orin modules with TensorRT 8.5; its error on other networks is not known",
    )


def _interval(label: Label, latency_ns: float, width: float, reason: str) -> LatencyEstimate:
    middle = max(1.0, latency_ns)
    return LatencyEstimate(
        label=label,
        latency_ns=round(middle),
        low_ns=math.floor(middle * math.exp(-width)),
        high_ns=math.ceil(middle * math.exp(width)),
        reason=reason,
    )


def _unknown(reason: str) -> LatencyEstimate:
    return LatencyEstimate(label="unknown", latency_ns=None, low_ns=None, high_ns=None, reason=reason)


def _how(timed: TimedNetwork) -> str:
    return f"{timed.backend} {timed.backend_version}, {timed.threads} thread(s)"
