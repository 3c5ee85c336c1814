"""Comparison of two bundles' predictions on their common test images, with paired intervals by groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import DatasetIndex, Labels, Prediction, ResultChange
from weckd_edge.metrics import compare_predictions
from weckd_edge.metrics.counts import Bools, Predictions, group_numbers
from weckd_edge.report.diff.bundle_pair import BundleSide
from weckd_edge.report.diff.dataset import JointGroups

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Pair:
    """One common test image: both predictions, its label, its joint group."""

    old: Prediction
    new: Prediction
    label: str
    group: str
    tied: bool


def compare_results(old: BundleSide, new: BundleSide) -> tuple[ResultChange | None, str]:
    """Return the comparison of the predictions; or None with the reason why there is none.

    Raises:
        MissingDependency: scipy is not installed.
    """
    if old.dataset is None or new.dataset is None or old.verification is None or new.verification is None:
        return None, "results: the images or the predictions of one bundle cannot be read"
    before, after = _tested(old.dataset, old.verification.predictions), _tested(new.dataset, new.verification.predictions)
    common = sorted(before.keys() & after.keys())
    labels = _labels(old.dataset.labels, new.dataset.labels)
    known = set(old.dataset.labels) & set(new.dataset.labels)
    groups = JointGroups(old.dataset, new.dataset)
    trained = groups.with_split(old="train", new="train")
    pairs, relabelled, foreign = [], 0, 0
    for key in common:
        was, now = before[key], after[key]
        label = new.dataset.labels.name(now.label)
        if label not in known or old.dataset.labels.name(was.label) not in known:
            foreign += 1
        elif old.dataset.labels.name(was.label) != label:
            relabelled += 1
        else:
            joint = groups.of_new(now.group)
            pairs.append(_Pair(was, now, label, " ".join(joint), joint in trained))
    if not pairs:
        return None, "results: the bundles have no test image with the same label in common"
    predictions = [
        _to_predictions(pairs, [getattr(pair, side) for pair in pairs], own, labels)
        for side, own in (("old", old.dataset.labels), ("new", new.dataset.labels))
    ]
    decided = [_decided_images(side, labels, of_it) for side, of_it in zip((old, new), predictions, strict=True)]
    found = compare_predictions(*predictions, decided=(decided[0], decided[1]), labels=labels, seed=new.dataset.seed)
    return ResultChange(
        labels=labels,
        images=len(pairs),
        groups=predictions[1].groups,
        relabelled=relabelled,
        foreign=foreign,
        tied=sum(pair.tied for pair in pairs),
        old=found.before,
        new=found.after,
        difference=found.difference,
        specificity=found.specificity,
        flips=found.flips,
        old_coverage=found.before_coverage,
        new_coverage=found.after_coverage,
        coverage_difference=found.coverage_difference,
        notes=tuple(_notes(old, new, pairs)),
    ), ""


def _tested(index: DatasetIndex, predictions: Sequence[Prediction]) -> dict[str, Prediction]:
    """Return the predictions by the digest of the image; of copies the first counts."""
    digests = {image.path: image.pixels_sha256 for image in index.images}
    found: dict[str, Prediction] = {}
    for prediction in predictions:
        if prediction.path in digests:
            found.setdefault(digests[prediction.path], prediction)
    return found


def _labels(old: Labels, new: Labels) -> Labels:
    return Labels((*new, *(label for label in old if label not in new)))


def _to_predictions(pairs: Sequence[_Pair], given: Sequence[Prediction], own: Labels, labels: Labels) -> Predictions:
    """Return predictions in the order of all labels; a label that a bundle does not know gets probability 0."""
    probabilities: Floats = np.zeros((len(pairs), len(labels)))
    probabilities[:, labels.indices(own)] = [prediction.compiled for prediction in given]
    truth = np.array(labels.indices(pair.label for pair in pairs), dtype=np.intp)
    return Predictions(truth, probabilities, group_numbers([pair.group for pair in pairs]))


def _decided_images(side: BundleSide, labels: Labels, predictions: Predictions) -> Bools:
    point: Mapping[str, Any] = side.manifest.get("operating_point") or {}
    below = point.get("confidence_threshold", 0.0)
    refused = labels.indices(label for label in point.get("non_gradeable_labels") or () if label in labels)
    return predictions.decided_by(below if isinstance(below, (int, float)) else 0.0, refused)


def _notes(old: BundleSide, new: BundleSide, pairs: Sequence[_Pair]) -> list[str]:
    notes = ["every image counts with its most probable class, without thresholds and input guards, except for coverage"]
    if old.dataset and new.dataset and set(old.dataset.labels) != set(new.dataset.labels):
        gone = sorted(set(old.dataset.labels) - set(new.dataset.labels))
        come = sorted(set(new.dataset.labels) - set(old.dataset.labels))
        notes.append(
            f"the labels differ (only old: {', '.join(gone) or 'none'}; only new: {', '.join(come) or 'none'}): images of "
            "the labels of both are compared, and a decision for a label that only one bundle knows counts as wrong"
        )
    if any(pair.tied for pair in pairs):
        notes.append(
            f"{sum(pair.tied for pair in pairs)} of these images share a group with a training image of one of the two, "
            "which favours that bundle"
        )
    return notes
