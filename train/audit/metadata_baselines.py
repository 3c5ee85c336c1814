"""Predict the label from what should not tell it: the file around a picture, its size, its mean colour, its border."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weckd_edge.artifacts import FingerprintAudit, ImageRecord
from weckd_edge.core.progress import Progress
from weckd_edge.devices.images.decoding import decoded_image, open_image, read_image_file
from weckd_edge.train.audit.classifier.linear_classifier import Ridge
from weckd_edge.train.audit.classifier.scores import auc, score_accuracy

RINGS = 6
WAVES = 192
_SMALL = 64


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FileTrace:
    """Trace that a camera or program leaves in every image.

    Attributes:
        name: Name of the trace, such as ``size``.
        features: Features of the trace in words.
        values: Values of each image ``[N, D]``.
    """

    name: str
    features: str
    values: NDArray[np.float32]


def read_traces(root: Path, records: Sequence[ImageRecord], progress: Progress) -> tuple[FileTrace, ...]:
    """Read the traces in the files of images.

    Args:
        root: The data set's folder.
        records: Images, all readable.
        progress: Receiver of the progress.
    """
    found = []
    with ThreadPoolExecutor(4) as pool, progress.task("read traces of cameras", len(records)) as task:
        for traces in pool.map(lambda record: _traces(root / record.path), records):
            found.append(traces)
            task.advance()
    return tuple(
        FileTrace(name=name, features=words, values=np.stack([traces[n] for traces in found]).astype(np.float32))
        for n, (name, words) in enumerate(_NAMES)
    )


_NAMES = (
    ("size", "width, height, aspect"),
    ("compression", "file format, JPEG quantisation tables, subsampling"),
    ("bytes", "file size, bytes a pixel"),
    ("colour", "mean and spread of each colour over the picture"),
    ("border", "colour of the corners and of the outermost rings, where a lens darkens"),
)


def _traces(path: Path) -> tuple[list[float], ...]:
    data = read_image_file(path)
    with decoded_image(data) as found:
        pixels = found.pixels
        height, width = pixels.shape[:2]
        small = np.asarray(Image.fromarray(pixels).resize((_SMALL, _SMALL), Image.Resampling.BOX)).astype(np.float64) / 255
    area = height * width
    return (
        [math.log(width), math.log(height), math.log(width / height)],
        _compression(data),
        [math.log(len(data)), math.log(len(data) / area)],
        [*small.mean((0, 1)), *small.std((0, 1))],
        _border(small),
    )


def _compression(data: bytes) -> list[float]:
    with open_image(data) as image:
        tables: dict[int, list[int]] = getattr(image, "quantization", None) or {}
        kinds = [float(image.format == kind) for kind in ("JPEG", "PNG", "BMP", "TIFF", "WEBP")]
        modes = [float(image.mode == mode) for mode in ("RGB", "L", "P", "RGBA")]
        first = [math.log(step) for step in tables.get(0, [1] * 64)]
        second = [math.log(step) for step in tables.get(1, [1] * 64)]
        sampling = [float(part) for layer in getattr(image, "layer", [])[:3] for part in layer[1:3]]
        progressive = float(bool(image.info.get("progressive")))
    return [*kinds, *modes, progressive, *(sampling + [0.0] * 6)[:6], *first, *second]


def _border(small: NDArray[np.float64]) -> list[float]:
    axis = (np.arange(_SMALL) + 0.5) / _SMALL * 2 - 1
    radius = np.hypot(axis[:, None], axis[None, :])
    edges = np.linspace(0.9, math.sqrt(2), RINGS + 1)
    found: list[float] = []
    for inner, outer in itertools.pairwise(edges):
        ring = small[(radius >= inner) & (radius < outer)]
        found += [*ring.mean(0), float(ring.mean(1).std())]
    return found


def audit_fingerprint(
    trace: FileTrace, labels: NDArray[np.int64], groups: NDArray[np.int64], folds: NDArray[np.int64], classes: int
) -> FingerprintAudit:
    """Predict the label from one trace, by a ridge regression on it and on random waves of it.

    The waves (Rahimi and Recht 2007) let the classifier find values, such as one camera's size, that are neither the least
    nor the largest.

    Args:
        trace: Trace that the classifier sees.
        labels: Class of each image ``[N]``.
        groups: Number of each image's group ``[N]``.
        folds: Fold of each image, in whole groups ``[N]``.
        classes: Number of classes.
    """
    values = trace.values - trace.values.mean(0)
    spread = values.std(0)
    values = values[:, spread > 1e-6] / spread[spread > 1e-6]
    random = np.random.default_rng(0)
    directions = random.normal(size=(values.shape[1], WAVES)) / math.sqrt(max(values.shape[1], 1))
    shift = random.uniform(0, 2 * math.pi, WAVES)
    waves = np.cos(values @ directions * random.choice((1.0, 4.0), WAVES) + shift)
    features = np.concatenate([values, waves], axis=1).astype(np.float32)
    scores = Ridge(features, labels, classes).out_of_fold(folds)
    return FingerprintAudit(
        name=trace.name,
        features=trace.features,
        accuracy=score_accuracy(scores, labels, groups),
        auc=auc(scores, labels, groups),
    )


def source_trace(column: str, sources: Sequence[str]) -> FileTrace:
    """Return the source itself as a trace, which tells how far each class comes from sources of its own."""
    names = sorted(set(sources))
    values = np.array([[float(source == name) for name in names] for source in sources], np.float32)
    return FileTrace(name="source", features=f"the column '{column}' alone", values=values)
