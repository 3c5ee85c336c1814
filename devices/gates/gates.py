"""Gates of a build: each measured value against its limit.

A value from another machine never passes a device's gate. A bench that is INVALID passes neither latency nor energy, with
one exception: other work on the machine only adds time, so a noisy run whose slowest query is within the limit passes. A
latency gate passes or fails only where the run proves it at 99 % confidence; else the gate says how many more queries would
decide. Peak memory is that of a fresh process and does not depend on clocks: it is checked however noisy the latencies are,
unless an emulator ran the model. Accuracy and recall are judged of every model that the bundle lists and this machine ran,
as a device may put any of them in use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from weckd_edge.artifacts import Gate, LinkLatency, Measurement, Rate, Verdict, Verification
from weckd_edge.config import GateConfig
from weckd_edge.devices.bench.early_stopping import CONFIDENCE, decide_percentile, more_queries
from weckd_edge.devices.bench.load_generator.rules import MINIMUM_QUERIES
from weckd_edge.devices.bench.verdict import invalid_reasons, only_noisy
from weckd_edge.devices.profiles.profile import DeviceProfile
from weckd_edge.metrics.guessing import compare_with_guessing
from weckd_edge.metrics.intervals import images_to_decide

_ROUNDING = 1e-9


def merge_limits(config: GateConfig, profile_limits: GateConfig) -> GateConfig:
    """Return the limits that hold: the build's own, and the device profile's where the build says nothing."""
    merged = {}
    for field in fields(GateConfig):
        own = getattr(config, field.name)
        merged[field.name] = getattr(profile_limits, field.name) if own is None else own
    return GateConfig(**merged)


@dataclass(frozen=True, kw_only=True, slots=True)
class GateEvidence:
    """Evidence of a compiled model, which limits are checked against.

    Attributes:
        measurement: Bench on this machine; None where none was made.
        verification: Accuracy of the compiled model on a split; None where none was made.
        split: Name of that split for reasons: ``test``, or ``validation`` while links are still compared.
        size_bytes: Size of the files that the device loads, bytes.
        measured_on_device: Whether this machine is the device, as ``is_same_device`` tells.
        predicted: Latency expected of a device that is not this machine; never enough to pass or fail.
    """

    measurement: Measurement | None
    verification: Verification | None
    split: str = "test"
    size_bytes: int
    measured_on_device: bool
    predicted: LinkLatency | None = None


def evaluate_gates(
    limits: GateConfig, profile: DeviceProfile, evidence: GateEvidence, labels: Sequence[str] = ()
) -> tuple[Gate, ...]:
    """Judge every limit that is set; limits that are None are left out.

    Args:
        limits: The limits that hold, as ``merge_limits`` returns them.
        profile: The device they are meant for.
        evidence: Evidence of the compiled model.
        labels: Class names for reasons; empty: classes are called by their number.
    """
    gates = [*evaluate_measured(limits, profile, evidence)]
    if limits.max_size_mib is not None:
        gates.append(_at_most("max_size_mib", limits.max_size_mib, evidence.size_bytes / 2**20, "MiB"))
    verification, split = evidence.verification, evidence.split
    accuracy, drop, recall = limits.min_accuracy, limits.max_accuracy_drop, limits.min_per_class_recall
    if accuracy is not None:
        gates.append(_of_every_model(lambda found: _accuracy(accuracy, found, split), verification))
    if drop is not None:
        gates.append(_of_every_model(lambda found: _accuracy_drop(drop, found, split), verification))
    if recall is not None:
        gates.append(_of_every_model(lambda found: _recall(recall, found, labels, split), verification))
    if limits.better_than_chance is not False and verification is not None and verification.predictions:
        gates.append(_better_than_guessing(verification, labels, split))
    return tuple(gates)


def evaluate_measured(limits: GateConfig, profile: DeviceProfile, evidence: GateEvidence) -> tuple[Gate, ...]:
    """Judge latency, memory and energy, which only a bench on the device itself can pass or fail.

    Args:
        limits: The limits that hold; those of latency, memory and energy are read.
        profile: The device they are meant for.
        evidence: Evidence of the compiled model; its measurement is read.
    """
    gates: list[Gate] = []
    measurement, predicted = evidence.measurement, evidence.predicted
    rss = measurement.peak_rss_bytes if measurement else None
    for name, limit, got, unit in (
        (
            "max_latency_p90_ms",
            limits.max_latency_p90_ms,
            measurement.end_to_end.p90_ns / 1e6 if measurement else None,
            "ms",
        ),
        ("max_memory_mib", limits.max_memory_mib, rss / 2**20 if rss is not None else None, "MiB"),
        ("max_energy_mj", limits.max_energy_mj, measurement.energy_mj if measurement else None, "mJ"),
    ):
        if limit is None:
            continue
        if measurement is None or got is None:
            gates.append(_unknown(name, limit, _why_unknown(name, measurement)))
        elif not evidence.measured_on_device:
            reason = f"{got:.3g} {unit} measured on {measurement.host}, not on {profile.id}; run weckd-edge bench there"
            if name == "max_latency_p90_ms" and predicted is not None and predicted.label == "estimated":
                gates.append(_estimated_latency(limit, predicted, profile))
            else:
                gates.append(_unknown(name, limit, reason))
        elif name == "max_latency_p90_ms":
            gates.append(_latency(limit, measurement))
        elif name == "max_energy_mj":
            gates.append(_energy(limit, got, measurement))
        else:
            gates.append(_memory(limit, got, measurement))
    return tuple(gates)


def evaluate_parity(verification: Verification) -> tuple[Gate, ...]:
    """Judge whether every implementation predicts the same; the pair that comes nearest to its tolerance is named.

    Empty where no pair has a tolerance.
    """
    pairs = [(pair, pair.tolerance) for pair in verification.parity if pair.tolerance]
    if not pairs:
        return ()
    worst, limit = max(pairs, key=lambda item: item[0].p95_abs / item[1])
    reason = (
        f"{worst.b} differs from {worst.a} by {worst.p95_abs:.2g} in a probability, 95th percentile of {worst.frames} frames"
    )
    if all(pair.passed for pair, _ in pairs):
        return (Gate(name="parity", limit=limit, value=worst.p95_abs, verdict="PASS", reason=f"{reason}, within {limit:g}"),)
    hint = "; it amplifies int8 rounding: train it longer, or take a shallower one" if "int8" in worst.b else ""
    for divergence in verification.layer_divergences:
        if divergence.b == worst.b and divergence.first is not None:
            hint = f"; the first layer where they differ is {divergence.layers[divergence.first].name}{hint}"
    return (Gate(name="parity", limit=limit, value=worst.p95_abs, verdict="FAIL", reason=f"{reason}, over {limit:g}{hint}"),)


def _unknown(name: str, limit: float, reason: str) -> Gate:
    return Gate(name=name, limit=limit, value=None, verdict="INCONCLUSIVE", reason=reason)


def _estimated_latency(limit: float, predicted: LinkLatency, profile: DeviceProfile) -> Gate:
    """Hold an estimated latency against the limit: the reason says on which side it lies, and the gate stays open."""
    guess, low, high = (1e-6 * (ns or 0.0) for ns in (predicted.p90_ns, predicted.low_ns, predicted.high_ns))
    side = "within" if high <= limit else "over" if low > limit else "around"
    reason = (
        f"predicted for {profile.id}: {guess:.3g} ms, 90 % interval {low:.3g} to {high:.3g} ms, {side} {limit:g} ms; "
        "run weckd-edge bench there"
    )
    return Gate(name="max_latency_p90_ms", limit=limit, value=guess, verdict="INCONCLUSIVE", reason=reason)


def _why_unknown(name: str, measurement: Measurement | None) -> str:
    power = measurement.power if measurement else None
    if name == "max_energy_mj" and power is not None and power.reason is not None:
        return f"it could not be measured here: {power.reason}"
    return "it could not be measured here"


def _latency(limit: float, measurement: Measurement) -> Gate:
    """Judge the 90th percentile by how many queries were over the limit, which is binomial."""
    latency = measurement.end_to_end
    samples, got, limit_ns = latency.samples_ns, latency.p90_ns / 1e6, limit * 1e6
    over = sum(sample > limit_ns * (1 + _ROUNDING) for sample in samples)
    finding = f"{got:.3g} ms is {'within' if got <= limit + _ROUNDING else f'{got - limit:.3g} ms over'} {limit:g} ms"
    finding += f" ({over} of {len(samples)} queries over it)"
    found = invalid_reasons(measurement)
    if len(samples) >= MINIMUM_QUERIES and found:
        if min(samples) > limit_ns * (1 + _ROUNDING):
            reason = f"{finding}; the bench is INVALID, but even its fastest query is over"
            return Gate(name="max_latency_p90_ms", limit=limit, value=got, verdict="FAIL", reason=reason)
        if over == 0 and only_noisy(measurement) and decide_percentile(over, len(samples), 0.9) == "PASS":
            reason = f"{finding}; the bench is INVALID, as other work slowed it, but even its slowest query is within"
            return Gate(name="max_latency_p90_ms", limit=limit, value=got, verdict="PASS", reason=reason)
        reason = f"{finding}; the bench is INVALID: {'; '.join(found)}"
        return Gate(name="max_latency_p90_ms", limit=limit, value=got, verdict="INCONCLUSIVE", reason=reason)
    verdict = decide_percentile(over, len(samples), 0.9)
    if verdict == "PASS" and found:
        verdict = "INCONCLUSIVE"
    if verdict != "INCONCLUSIVE":
        return Gate(
            name="max_latency_p90_ms",
            limit=limit,
            value=got,
            verdict=verdict,
            reason=f"{finding}, at {CONFIDENCE:.0%} confidence",
        )
    more = more_queries(over, len(samples), 0.9)
    more = None if more is None else max(more, MINIMUM_QUERIES - len(samples))
    reason = f"{finding}; inconclusive at {CONFIDENCE:.0%} confidence: {_how_many_more(more, 'quer', 'y', 'ies')}"
    return Gate(name="max_latency_p90_ms", limit=limit, value=got, verdict="INCONCLUSIVE", reason=reason)


def _energy(limit: float, got: float, measurement: Measurement) -> Gate:
    """Judge energy; it is known to its resolution, which a longer run makes finer."""
    power = measurement.power
    fine = power.resolution_mj if power is not None and power.resolution_mj is not None else 0.0
    finding = f"{got:.3g} mJ a frame (known to {fine:.2g} mJ)"
    if got - fine <= limit + _ROUNDING < got + fine:
        # Over a longer run the same readings' worth of doubt is spread over more frames.
        queries = len(measurement.end_to_end.samples_ns)
        difference = abs(limit - got)
        more = math.ceil(queries * (fine / difference - 1)) + 1 if difference > fine * 1e-3 else None
        reason = f"{finding} cannot be told from {limit:g} mJ; {_how_many_more(more, 'quer', 'y', 'ies')}"
        return Gate(name="max_energy_mj", limit=limit, value=got, verdict="INCONCLUSIVE", reason=reason)
    side = f"within {limit:g} mJ" if got <= limit else f"{got - limit:.3g} mJ over {limit:g} mJ"
    found = invalid_reasons(measurement)
    if found:
        reason = f"{finding} is {side}; the bench is INVALID: {'; '.join(found)}"
        return Gate(name="max_energy_mj", limit=limit, value=got, verdict="INCONCLUSIVE", reason=reason)
    verdict: Verdict = "PASS" if got <= limit else "FAIL"
    return Gate(name="max_energy_mj", limit=limit, value=got, verdict=verdict, reason=f"{finding} is {side}")


def _memory(limit: float, got: float, measurement: Measurement) -> Gate:
    """Judge the peak of memory; of what the machine did, only an emulator changes it."""
    gate = _at_most("max_memory_mib", limit, got, "MiB")
    emulated = measurement.machine.emulated if measurement.machine is not None else None
    if emulated is None:
        return gate
    reason = f"{gate.reason}, but an emulator ran it ({emulated}), whose own memory is counted; run it on the device"
    return Gate(name=gate.name, limit=limit, value=got, verdict="INCONCLUSIVE", reason=reason)


def _how_many_more(number: int | None, stem: str, one: str, many: str) -> str:
    if number is None:
        return f"and no number of {stem}{many} would decide: it lies on the limit"
    return f"about {number:,} more {stem}{one if number == 1 else many} would decide"


def _at_most(name: str, limit: float, got: float, unit: str) -> Gate:
    if got <= limit + _ROUNDING:
        return Gate(name=name, limit=limit, value=got, verdict="PASS", reason=f"{got:.3g} {unit} is within {limit:g} {unit}")
    reason = f"{got:.3g} {unit} is {got - limit:.3g} {unit} over {limit:g} {unit}"
    return Gate(name=name, limit=limit, value=got, verdict="FAIL", reason=reason)


def _of_every_model(judge: Callable[[Verification | None], Gate], verification: Verification | None) -> Gate:
    """Judge the deployed model; where it does not fail, one that does of those that the bundle lists beside it.

    A device may put any of them in use.
    """
    gate = judge(verification)
    if verification is None or gate.verdict == "FAIL":
        return gate
    for model in verification.models:
        of_model = replace(
            verification,
            accuracy_compiled=model.accuracy,
            recall_compiled=model.recall,
            precision=model.precision,
            backend=model.backend,
        )
        found = judge(of_model)
        if found.verdict == "FAIL":
            return replace(found, reason=f"{model.backend} {model.precision}, which a device may choose: {found.reason}")
    return gate


def _accuracy(limit: float, verification: Verification | None, split: str) -> Gate:
    if verification is None:
        return _unknown("min_accuracy", limit, f"no {split} image was predicted")
    return _at_least("min_accuracy", limit, verification.accuracy_compiled, f"{split} images")


def _recall(limit: float, verification: Verification | None, labels: Sequence[str], split: str) -> Gate:
    """Judge the class that is recognised worst; a class without an image leaves the gate open."""
    if verification is None or not verification.recall_compiled:
        return _unknown("min_per_class_recall", limit, f"no {split} image was predicted")

    def name(index: int) -> str:
        return labels[index] if index < len(labels) else f"class {index}"

    known = [(rate, index) for index, rate in enumerate(verification.recall_compiled) if rate is not None]
    unseen = [name(index) for index, rate in enumerate(verification.recall_compiled) if rate is None]
    if not known:
        return _unknown("min_per_class_recall", limit, f"no {split} image was predicted")
    worst, index = min(known, key=lambda pair: (pair[0].value, pair[1]))
    gate = _at_least("min_per_class_recall", limit, worst, f"{split} images of {name(index)}")
    if unseen and gate.verdict == "PASS":
        reason = f"{gate.reason}, but the {split} split has no image of {', '.join(unseen)}"
        return Gate(name="min_per_class_recall", limit=limit, value=worst.value, verdict="INCONCLUSIVE", reason=reason)
    return gate


def _better_than_guessing(verification: Verification, labels: Sequence[str], split: str) -> Gate:
    """Judge whether the deployed model tells the classes apart better than guessing."""
    rows = verification.predictions
    found = compare_with_guessing(
        np.array([np.argmax(row.compiled) for row in rows]),
        np.array([row.label for row in rows]),
        [row.group for row in rows],
        len(rows[0].compiled),
    )
    reason = (
        f"balanced accuracy {found.balanced_accuracy:.1%} over {found.groups} groups of {split} images, where guessing "
        f"reaches {found.chance:.1%} (p = {found.p_value:.2g})"
    )
    verdict: Verdict = "PASS"
    if not found.is_better:
        verdict = "FAIL" if found.can_tell else "INCONCLUSIVE"
        reason += (
            ": no better than guessing; are the labels, their order and the preprocessing those it was trained with?"
            if found.can_tell
            else ": too few groups to tell any model from guessing; add images of further patients"
        )
    elif found.accuracy <= found.constant_accuracy:
        always = labels[found.constant] if found.constant < len(labels) else f"class {found.constant}"
        reason += (
            f"; yet its accuracy of {found.accuracy:.1%} is not above the {found.constant_accuracy:.1%} of always "
            f"predicting {always}: judge it by the sensitivity of each class"
        )
    return Gate(name="better_than_chance", limit=found.chance, value=found.balanced_accuracy, verdict=verdict, reason=reason)


def _at_least(name: str, limit: float, rate: Rate, what: str) -> Gate:
    """Judge a rate by its value; where its interval spans the limit, the reason says how many more images would decide."""
    finding = f"{rate.value:.1%} of {rate.images} {what} (95 % interval {rate.low:.1%} to {rate.high:.1%})"
    open_ = ""
    if rate.low < limit < rate.high:
        more = images_to_decide(rate, limit)
        open_ = f"; the interval spans the limit, {_how_many_more(more, 'image', '', 's')}" if more is not None else ""
    if rate.value >= limit - _ROUNDING:
        return Gate(name=name, limit=limit, value=rate.value, verdict="PASS", reason=f"{finding} reaches {limit:.1%}{open_}")
    reason = f"{finding} is {limit - rate.value:.1%} under {limit:.1%}{open_}"
    return Gate(name=name, limit=limit, value=rate.value, verdict="FAIL", reason=reason)


def _accuracy_drop(limit: float, verification: Verification | None, split: str) -> Gate:
    if verification is None:
        return Gate(
            name="max_accuracy_drop",
            limit=limit,
            value=None,
            verdict="INCONCLUSIVE",
            reason=f"no {split} image was predicted",
        )
    drop = _drop(verification.accuracy_fp32, verification.accuracy_compiled)
    how = "as many" if not drop else f"{drop:.1%} fewer" if drop > 0 else f"{-drop:.1%} more"
    finding = f"{verification.precision} predicts {how} {split} images correctly {'as' if not drop else 'than'} FP32"
    if drop <= limit + _ROUNDING:
        return Gate(
            name="max_accuracy_drop", limit=limit, value=drop, verdict="PASS", reason=f"{finding}, within {limit:.1%}"
        )
    reason = f"{finding}, {drop - limit:.1%} over {limit:.1%}"
    return Gate(name="max_accuracy_drop", limit=limit, value=drop, verdict="FAIL", reason=reason)


def _drop(before: Rate, after: Rate) -> float:
    if before.images == after.images and before.images:
        return (before.correct - after.correct) / before.images
    return before.value - after.value
