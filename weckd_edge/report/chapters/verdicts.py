"""Gates, links, chain and data set in sentences and tables, for the report and the model card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from weckd_edge.artifacts import (
    ChainRecord,
    DatasetIndex,
    Gate,
    InputSpec,
    Link,
    LinkEvaluation,
    LinkLatency,
    Manifest,
    OutsideTeaching,
    Prediction,
    Rate,
    crop_box,
)
from weckd_edge.bundle.verdict import GATE_NAMES
from weckd_edge.core.words import plural
from weckd_edge.report.numbers import interval, milliseconds, percent, points, significant

DISCLAIMER = (
    "This document reports measurements. It makes no claim of clinical performance or of regulatory compliance: no "
    "authority has reviewed, cleared or approved it, and results on held-out images of one data set say nothing about other "
    "cameras, sites or patients. Do not use the bundle for diagnosis on the basis of this document."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class GateRow:
    """One gate, in words."""

    title: str
    limit: str
    value: str
    verdict: str
    margin: str
    reason: str


def gate_rows(gates: Sequence[Gate]) -> list[GateRow]:
    """Return every gate in words: limit, value, and the margin to the limit."""
    rows = []
    for gate in gates:
        title, direction, unit = GATE_NAMES.get(gate.name, (gate.name, "limit", ""))
        scale = 100 if unit in ("%", "points") else 1
        suffix = f"\u00a0{unit}" if unit else ""
        margin = "\u2013"
        if gate.value is not None and gate.verdict != "INCONCLUSIVE":
            gap = significant(abs(gate.value - gate.limit) * scale, 2)
            unit_of_gap = "\u00a0points" if unit == "%" else suffix
            margin = f"{gap}{unit_of_gap} to spare" if gate.verdict == "PASS" else f"missed by {gap}{unit_of_gap}"
        rows.append(
            GateRow(
                title=title,
                limit=f"{direction} {gate.limit * scale:g}{suffix}",
                value="not measured" if gate.value is None else f"{significant(gate.value * scale)}{suffix}",
                verdict=gate.verdict,
                margin=margin,
                reason=gate.reason,
            )
        )
    return rows


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRow:
    """One link of the selection, in words."""

    name: str
    form: str
    bytes: int
    accuracy: str
    time: str
    known: str
    verdict: str
    why: str


def evaluation_row(link: LinkEvaluation) -> EvaluationRow:
    """Return a link of the selection in words."""
    verdicts = {gate.verdict for gate in link.gates}
    verdict = "FAIL" if "FAIL" in verdicts else "INCONCLUSIVE" if "INCONCLUSIVE" in verdicts else "PASS"
    return EvaluationRow(
        name=link.name,
        form=f"{link.method}, {link.backend}"
        if link.method.startswith(link.precision)
        else f"{link.precision} {link.method}",
        bytes=link.bytes,
        accuracy=accuracy_text(link.val_accuracy),
        time=latency_text(link.latency, link.build_machine_p90_ns),
        known=f"{link.latency.label}: {link.latency.reason}",
        verdict=verdict,
        why="; ".join(gate.reason for gate in link.gates if gate.verdict == "FAIL"),
    )


def latency_text(latency: LinkLatency, build_machine_p90_ns: int) -> str:
    """Return a link's latency in words, with its interval if it is estimated."""
    if latency.p90_ns is None:
        return f"{milliseconds(build_machine_p90_ns)} on the build machine"
    if latency.low_ns is None or latency.high_ns is None:
        return milliseconds(latency.p90_ns)
    return f"{milliseconds(latency.p90_ns)} ({milliseconds(latency.low_ns)} to {milliseconds(latency.high_ns)})"


def chain_sentence(chain: ChainRecord) -> str:
    """Return a sentence on whether the chain helped; for an imported model, its import notes."""
    if chain.import_notes:
        return " ".join(chain.import_notes)
    baseline, last = chain.baseline, chain.links[-1]
    if baseline is None:
        return "Not known: the build trained no baseline (the same network without a teacher)."
    if chain.ends_in_baseline:
        return f"No. {last.name} is the baseline, the same network trained alone, as validation images show it to be better."
    ours, alone = last.test_accuracy, baseline.test_accuracy
    gap = ours.value - alone.value
    difference = ours.low > alone.high or alone.low > ours.high
    if abs(gap) < 5e-4:
        finding = "No difference"
    elif not difference:
        finding = "Inconclusive" if gap > 0 else "Not on this test split, though inconclusive"
    else:
        finding = "Yes, on this test split" if gap > 0 else "No"
    overlap = "do not overlap" if difference else "overlap, so the difference may be chance"
    return (
        f"{finding}. Test accuracy is {percent(ours.value)} for {last.name}, the last link of the chain, and "
        f"{percent(alone.value)} for the baseline, the same network trained alone: a difference of {points(gap)}. The two "
        f"95\u00a0% intervals {overlap}. The chain used {plural(chain.labels_used, 'label')} in all, the baseline "
        f"{plural(baseline.labels_used, 'label')}, {_steps_of(chain, baseline)}. This is one seed; weckd-edge study "
        "compares several."
    )


def outside_sentence(outside: OutsideTeaching | None) -> str:
    """Return which teachers from outside there were, how they predict, and whether the links learned from them."""
    if outside is None:
        return ""
    heads = {
        "own": "its own classifier",
        "ridge": "a classifier fitted here on its features",
        "fine-tune": "all its weights fine-tuned here",
    }
    named = "; ".join(f"{one.name} at {one.input.size_text} px with {heads[one.head]}" for one in outside.teachers)
    fitted = ""
    if outside.out_of_fold_accuracy is not None:
        fitted = (
            f" Labels used for that: {outside.labels_used}; each of these images is predicted without its group, in "
            f"{plural(outside.folds, 'fold')}, {percent(outside.out_of_fold_accuracy.value)} of them rightly."
        )
    return f"{named}.{fitted} {outside.reason}"


def _steps_of(chain: ChainRecord, baseline: Link) -> str:
    """Return how long the baseline was trained compared with the chain's links; early stopping may have ended one sooner."""
    outside = chain.outside
    tuned = outside is not None and outside.used and any(one.head == "fine-tune" for one in outside.teachers)
    more = ", those of the teachers not counted" if tuned else ""
    epochs = [link.epochs for link in chain.links if link.epochs is not None]
    if baseline.epochs is None or len(epochs) < len(chain.links) or sum(epochs) == baseline.epochs:
        return f"with the same number of gradient steps{more}"
    return f"trained for {plural(baseline.epochs, 'epoch')} instead of {sum(epochs)}{more}"


def confusion(
    predictions: Sequence[Prediction],
    classes: int,
    confidence_threshold: float,
    non_gradeable_labels: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> tuple[list[list[int]], list[int]]:
    """Count decisions by true class and predicted class.

    Args:
        predictions: Predictions of the test images.
        classes: Number of classes.
        confidence_threshold: Smallest largest-class probability that gives a decision, 0..1.
        non_gradeable_labels: Classes, out of ``labels``, whose prediction gives no decision.
        labels: Class names; needed where there are non-gradeable labels.

    Returns:
        Counts ``[true][decided]`` and, for each true class, the number of images without a decision.
    """
    refused = {labels.index(label) for label in non_gradeable_labels}
    counts = [[0] * classes for _ in range(classes)]
    abstained = [0] * classes
    for prediction in predictions:
        best = max(prediction.compiled)
        decided = prediction.compiled.index(best)
        if best < confidence_threshold or decided in refused:
            abstained[prediction.label] += 1
        else:
            counts[prediction.label][decided] += 1
    return counts, abstained


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFacts:
    """Numbers about the data set.

    Attributes:
        splits: Name and number of images of each use; every labelled subset is one.
        rows: Name of each class, and its number of images in train, val and test.
        groups: Number of groups.
        exact_copies: Number of images with the pixels of an earlier one, those left out of the splits among them.
        cut_groups: Number of groups in more than one split; anything but 0 is a leak.
    """

    splits: tuple[tuple[str, int], ...]
    rows: tuple[tuple[str, int, int, int], ...]
    groups: int
    exact_copies: int
    cut_groups: int


def data_facts(index: DatasetIndex) -> DataFacts:
    """Return the numbers about a data set from its index."""
    uses = Counter((image.split, image.labelled_subset if image.split == "train" else None) for image in index.images)
    fractions = sorted(fraction for split, fraction in uses if split == "train" and fraction is not None)
    splits = [(f"train, labelled subset {fraction + 1}", uses["train", fraction]) for fraction in fractions]
    splits += [("train, label not used", uses["train", None]), ("val", uses["val", None]), ("test", uses["test", None])]
    per_label = Counter((image.label, image.split) for image in index.images)
    where: dict[str, set[str]] = {}
    for image in index.images:
        where.setdefault(image.group, set()).add(image.split)
    return DataFacts(
        splits=tuple(splits),
        rows=tuple(
            (label, per_label[k, "train"], per_label[k, "val"], per_label[k, "test"]) for k, label in enumerate(index.labels)
        ),
        groups=len(where),
        exact_copies=index.exact_copies + len(index.images) - len({image.pixels_sha256 for image in index.images}),
        cut_groups=sum(len(splits_of) > 1 for splits_of in where.values()),
    )


def data_warnings(index: DatasetIndex) -> tuple[str, ...]:
    """Return warnings about the data set, a sentence each."""
    return tuple(f"Data: {note.text}." for note in index.notes if note.is_warning)


def loaded_bytes(manifest: Manifest) -> int:
    """Return the size of what the device loads, bytes: the first model, or the graph from which it builds an engine."""
    if manifest.models and manifest.models[0].kind == "model":
        return sum(ref.bytes for ref in manifest.models[0].files)
    return manifest.onnx.bytes


def frame_text(spec: InputSpec) -> str:
    """Return a description of the camera frame."""
    frame, size = spec.frame, f"{spec.network.width} x {spec.network.height} pixels"
    _, _, height, width = crop_box(frame)
    used = "all of it" if (height, width) == (frame.height, frame.width) else f"its centred {width} x {height} pixels"
    made = f"the network is shown {used}, resized to {size} ({frame.resize})"
    if frame.scaled_size not in (None, spec.network.size):
        scaled = f"{frame.scaled_size[1]} x {frame.scaled_size[0]}"
        made = f"the network is shown the middle {size} of it, scaled to {scaled} ({frame.resize})"
    return f"uint8 RGB, {frame.width} x {frame.height} pixels; {made}"


def accuracy_text(rate: Rate) -> str:
    """Return a rate as text, with its interval and counts."""
    return (
        f"{percent(rate.value)} (95\u00a0% interval {interval(rate)}; {plural(rate.images, 'image')}, "
        f"{plural(rate.groups, 'group')})"
    )


def taught_by(link: Link, chain: ChainRecord) -> str:
    """Return what taught a link, or the baseline: the link before; of the last link the teachers from outside, too."""
    if chain.import_notes:
        return "not known"
    found = [other.name for other in chain.links if other.weights.sha256 == link.parent]
    if link == chain.links[-1] and not chain.ends_in_baseline and chain.outside is not None and chain.outside.used:
        found.append("teachers from outside")
    return " and ".join(found) or "no teacher"
