"""Every bar a build must clear, against what was reached. A figure of another machine never clears a device's bar."""

from __future__ import annotations

from dataclasses import fields

from weckd_edge.artifacts import Gate, Measurement, Rate, Verification
from weckd_edge.config import GateConfig
from weckd_edge.devices.profile import DeviceProfile

_ROUNDING = 1e-9


def merge_bars(config: GateConfig, profile_bars: GateConfig) -> GateConfig:
    """Return the bars that hold: the build's own, and the device profile's where the build says nothing."""
    merged = {}
    for field in fields(GateConfig):
        own = getattr(config, field.name)
        merged[field.name] = getattr(profile_bars, field.name) if own is None else own
    return GateConfig(**merged)


def judge(
    bars: GateConfig,
    profile: DeviceProfile,
    measurement: Measurement | None,
    verification: Verification | None,
    size_bytes: int,
    measured_here_counts: bool,
) -> tuple[Gate, ...]:
    """Judge every bar that is set; bars that are None are left out.

    Args:
        bars: The bars that hold; see ``merge_bars``.
        profile: The device they are meant for.
        measurement: The bench on this machine; None where none was made.
        verification: Accuracy of the compiled artefact; None where none was made.
        size_bytes: Of what the device loads.
        measured_here_counts: Whether this machine is that device; see ``detect.is_same_device``.
    """
    gates: list[Gate] = []
    latency_ms = measurement.frame_to_answer.p90_ns / 1e6 if measurement else None
    rss = measurement.peak_rss_bytes if measurement else None
    memory_mib = rss / 2**20 if rss is not None else None
    host = measurement.host if measurement else "this machine"
    for name, bar, got, unit in (
        ("latency_p90_ms", bars.latency_p90_ms, latency_ms, "ms"),
        ("memory_mib", bars.memory_mib, memory_mib, "MiB"),
    ):
        if bar is not None:
            gates.append(_measured(name, bar, got, unit, host, profile, measured_here_counts))
    if bars.size_mib is not None:
        gates.append(_at_most("size_mib", bars.size_mib, size_bytes / 2**20, "MiB"))
    if bars.accuracy is not None:
        gates.append(_accuracy(bars.accuracy, verification))
    if bars.accuracy_drop is not None:
        gates.append(_accuracy_drop(bars.accuracy_drop, verification))
    return tuple(gates)


def judge_parity(verification: Verification) -> tuple[Gate, ...]:
    """Judge whether every implementation gave the same answers; the pair that comes nearest to its tolerance is named.

    Empty where no pair has a tolerance.
    """
    pairs = [(pair, pair.tolerance) for pair in verification.parity if pair.tolerance]
    if not pairs:
        return ()
    worst, bar = max(pairs, key=lambda item: item[0].p95_abs / item[1])
    told = (
        f"{worst.b} differs from {worst.a} by {worst.p95_abs:.2g} in a probability, 95th percentile of {worst.frames} frames"
    )
    if all(pair.passed for pair, _ in pairs):
        return (Gate(name="parity", bar=bar, got=worst.p95_abs, verdict="PASS", reason=f"{told}, within {bar:g}"),)
    hint = "; it amplifies int8 rounding: train it longer, or take a shallower one" if "int8" in worst.b else ""
    for parting in verification.partings:
        if parting.b == worst.b and parting.first is not None:
            hint = f"; the first layer where they part is {parting.layers[parting.first].name}{hint}"
    return (Gate(name="parity", bar=bar, got=worst.p95_abs, verdict="FAIL", reason=f"{told}, over {bar:g}{hint}"),)


def _measured(name: str, bar: float, got: float | None, unit: str, host: str, profile: DeviceProfile, counts: bool) -> Gate:
    if got is None:
        return Gate(name=name, bar=bar, got=None, verdict="INCONCLUSIVE", reason="it could not be measured here")
    if not counts:
        reason = f"{got:.3g} {unit} measured on {host}, not on {profile.id}; run weckd-edge bench there"
        return Gate(name=name, bar=bar, got=None, verdict="INCONCLUSIVE", reason=reason)
    return _at_most(name, bar, got, unit)


def _at_most(name: str, bar: float, got: float, unit: str) -> Gate:
    if got <= bar + _ROUNDING:
        return Gate(name=name, bar=bar, got=got, verdict="PASS", reason=f"{got:.3g} {unit} is within {bar:g} {unit}")
    reason = f"{got:.3g} {unit} is {got - bar:.3g} {unit} over {bar:g} {unit}"
    return Gate(name=name, bar=bar, got=got, verdict="FAIL", reason=reason)


def _accuracy(bar: float, verification: Verification | None) -> Gate:
    if verification is None:
        return Gate(name="accuracy", bar=bar, got=None, verdict="INCONCLUSIVE", reason="no test image was answered")
    rate = verification.accuracy_compiled
    told = f"{rate.value:.1%} of {rate.images} test images (95 % interval {rate.low:.1%} to {rate.high:.1%})"
    if rate.value >= bar - _ROUNDING:
        return Gate(name="accuracy", bar=bar, got=rate.value, verdict="PASS", reason=f"{told} reaches {bar:.1%}")
    reason = f"{told} is {bar - rate.value:.1%} under {bar:.1%}"
    return Gate(name="accuracy", bar=bar, got=rate.value, verdict="FAIL", reason=reason)


def _accuracy_drop(bar: float, verification: Verification | None) -> Gate:
    if verification is None:
        return Gate(name="accuracy_drop", bar=bar, got=None, verdict="INCONCLUSIVE", reason="no test image was answered")
    drop = _drop(verification.accuracy_fp32, verification.accuracy_compiled)
    how = "as many" if not drop else f"{drop:.1%} fewer" if drop > 0 else f"{-drop:.1%} more"
    told = f"{verification.precision} answers {how} test images correctly {'as' if not drop else 'than'} FP32"
    if drop <= bar + _ROUNDING:
        return Gate(name="accuracy_drop", bar=bar, got=drop, verdict="PASS", reason=f"{told}, within {bar:.1%}")
    reason = f"{told}, {drop - bar:.1%} over {bar:.1%}"
    return Gate(name="accuracy_drop", bar=bar, got=drop, verdict="FAIL", reason=reason)


def _drop(before: Rate, after: Rate) -> float:
    if before.images == after.images and before.images:
        return (before.correct - after.correct) / before.images
    return before.value - after.value
