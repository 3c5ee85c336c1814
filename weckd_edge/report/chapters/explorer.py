"""Predictions of the test images as the page's scripts read them: columns of small integers, up to 10,000 images."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from weckd_edge.artifacts import Manifest, Prediction

SCALE = 10_000
"""Number of steps between probability 0 and 1; probabilities are rounded down to one, so that thresholds stay exact."""
MAX_BYTES = 1_500_000
"""Largest size of the data with file names, bytes; more leaves the names out, twice as much leaves all of it out."""
FIRST_ROWS = 25


def explorer_data(predictions: Sequence[Prediction], manifest: Manifest) -> dict[str, Any] | None:
    """Return the label and predictions of every test image; None where there are too many for a page.

    Args:
        predictions: Predictions of the test images.
        manifest: Class names and operating point.
    """
    if not predictions:
        return None
    point = manifest.operating_point
    refused = {manifest.labels.index(label) for label in point.non_gradeable_labels}
    decided = [likeliest(p.compiled) for p in predictions]
    parts = [p.path.rpartition("/") for p in predictions]
    folders = sorted({head + slash for head, slash, _ in parts})
    number = {folder: at for at, folder in enumerate(folders)}
    groups = {group: at for at, group in enumerate(sorted({p.group for p in predictions}))}
    taught = [p.teacher for p in predictions]
    found: dict[str, Any] = {
        "labels": list(manifest.labels),
        "truth": [p.label for p in predictions],
        "decided": decided,
        "undecided": [
            at for at, p in enumerate(predictions) if max(p.compiled) < point.confidence_threshold or decided[at] in refused
        ],
        "fp32": [likeliest(p.fp32) for p in predictions],
        "teacher": [likeliest(prediction) for prediction in taught if prediction is not None]
        if None not in taught
        else None,
        "member": [groups[p.group] for p in predictions],
        "groups": len(groups),
        "refused": sorted(refused),
        "scale": SCALE,
        "below": math.ceil(point.confidence_threshold * SCALE - 1e-9),
        "probabilities": [min(SCALE, math.floor(value * SCALE)) for p in predictions for value in p.compiled],
        "folders": folders,
        "folder": [number[head + slash] for head, slash, _ in parts],
        "names": [name for _, _, name in parts],
    }
    if _bytes(found) > MAX_BYTES:
        found.update(folders=[], folder=[], names=None)
    return found if _bytes(found) <= 2 * MAX_BYTES * 0.9 else None


def first_rows(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return the images that are listed before a script runs: wrong predictions first, most confident on top."""

    def doubt(prediction: Prediction) -> tuple[bool, int]:
        wrong = likeliest(prediction.compiled) != prediction.label
        return (not wrong, -math.floor(max(prediction.compiled) * SCALE))

    return sorted(predictions, key=doubt)[:FIRST_ROWS]


def likeliest(probabilities: Sequence[float]) -> int:
    """Return the label index of the largest probability, the first of several."""
    return probabilities.index(max(probabilities))


def _bytes(found: dict[str, Any]) -> int:
    return len(json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode())
