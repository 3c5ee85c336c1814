"""Whether what was compiled still answers as the trained network did: parity, accuracy and flips on held-out frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import DatasetIndex, ImageRecord, InputContract, Parity, Prediction, Rate, Verification
from weckd_edge.devices.backends.table import open_runner
from weckd_edge.devices.frames import frame_from_file
from weckd_edge.errors import DataError
from weckd_edge.progress import Progress
from weckd_edge.stats import rate_by_group

Answers = NDArray[np.float32]
Predictor = Callable[[NDArray[np.uint8]], Answers]

FLOAT_TOLERANCE = 1e-3
"""Largest 95th percentile, over frames, of a probability's difference between two float32 implementations of a graph."""

INT8_TOLERANCE = 0.1
"""The same for two implementations of one int8 graph. A value between two steps may be rounded either way, and the network
carries that on: changing twenty pixels of a frame by one grey level moves some int8 answers as much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One implementation of the model.

    Attributes:
        backend: A name of the backend table.
        model: What it opens.
        precision: ``int8`` or ``fp32``.
        reference: Whether the graph is answered exactly as it is written; see ``open_runner``.
    """

    backend: str
    model: Path
    precision: str
    reference: bool = False

    @property
    def name(self) -> str:
        """What it is called in a report."""
        return f"{self.backend} {self.precision}" + (" as written" if self.reference else "")


def verify(
    trained: Predictor,
    exported: Sequence[Candidate],
    quantized: Candidate,
    shipped: Candidate,
    index: DatasetIndex,
    root: Path,
    contract: InputContract,
    progress: Progress,
    *,
    trained_name: str = "torch fp32",
) -> Verification:
    """Answer every test image with every implementation and compare them.

    Args:
        trained: The trained network in FP32: from a frame ``[1, H, W, 3]`` to probabilities ``[classes]``.
        exported: Implementations of the exported FP32 graph.
        quantized: The quantized graph as it is written.
        shipped: What ships; may be ``quantized`` itself, where the device builds its own.
        index: The data set.
        root: Its folder.
        contract: The frame.
        progress: Where to show it.
        trained_name: What ``trained`` is called in a report.

    Raises:
        DataError: There is no test image, or one cannot be read.
        ModelError: A backend refuses its model.
    """
    records = [record for record in index.images if record.split == "test"]
    if not records:
        raise DataError("expected test images to verify on, the index has none")
    # Where FP32 ships, it stands for the exported graph in that backend.
    exported = [c for c in exported if c.name != shipped.name or c == shipped]
    candidates = list(dict.fromkeys((*exported, quantized, shipped)))
    answers: dict[str, list[Answers]] = {trained_name: [], **{c.name: [] for c in candidates}}
    with progress.task("verify on test images", len(records)) as task, _opened(candidates) as runners:
        for record in records:
            frame = np.ascontiguousarray(frame_from_file(root / record.path, contract))
            answers[trained_name].append(trained(frame))
            for candidate, run in runners:
                answers[candidate.name].append(run(frame))
            task.advance()
    found = {name: np.stack(rows) for name, rows in answers.items()}
    pairs = [compare(trained_name, c.name, found, FLOAT_TOLERANCE) for c in exported]
    if shipped != quantized:
        pairs.append(compare(quantized.name, shipped.name, found, INT8_TOLERANCE))
    pairs.append(compare(trained_name, shipped.name, found, None))
    return _verification(records, index.labels, found[trained_name], found[shipped.name], tuple(pairs), shipped)


@contextmanager
def _opened(candidates: Sequence[Candidate]) -> Iterator[list[tuple[Candidate, Predictor]]]:
    runners = []
    try:
        for candidate in candidates:
            runners.append(open_runner(candidate.backend, candidate.model, reference=candidate.reference))
        yield [(candidate, runner.run) for candidate, runner in zip(candidates, runners, strict=True)]
    finally:
        for runner in runners:
            runner.close()


def compare(a: str, b: str, answers: dict[str, Answers], tolerance: float | None) -> Parity:
    """Compare two implementations' answers ``[N, classes]`` on the same frames."""
    one, other = answers[a].astype(np.float64), answers[b].astype(np.float64)
    noise = float(((one - other) ** 2).sum())
    per_frame = np.abs(one - other).max(axis=1)
    p95_abs = float(np.quantile(per_frame, 0.95))
    return Parity(
        a=a,
        b=b,
        frames=len(one),
        max_abs=float(per_frame.max()),
        p95_abs=p95_abs,
        sqnr_db=10 * math.log10(float((one**2).sum()) / noise) if noise else None,
        flips=int((one.argmax(axis=1) != other.argmax(axis=1)).sum()),
        tolerance=tolerance,
        passed=tolerance is None or p95_abs <= tolerance,
    )


def _verification(
    records: Sequence[ImageRecord],
    labels: Sequence[str],
    fp32: Answers,
    compiled: Answers,
    parity: tuple[Parity, ...],
    shipped: Candidate,
) -> Verification:
    truth = np.array([record.label for record in records])
    groups = [record.group for record in records]
    before, after = fp32.argmax(axis=1), compiled.argmax(axis=1)
    return Verification(
        parity=parity,
        accuracy_fp32=rate_by_group(before == truth, groups),
        accuracy_compiled=rate_by_group(after == truth, groups),
        recall_fp32=_recalls(before, truth, groups, len(labels)),
        recall_compiled=_recalls(after, truth, groups, len(labels)),
        flips=int((before != after).sum()),
        predictions=tuple(
            Prediction(
                path=record.path,
                group=record.group,
                label=record.label,
                fp32=tuple(float(p) for p in fp32[row]),
                compiled=tuple(float(p) for p in compiled[row]),
            )
            for row, record in enumerate(records)
        ),
        precision=shipped.precision,
        backend=shipped.backend,
    )


def _recalls(
    decided: NDArray[np.intp], truth: NDArray[np.intp], groups: Sequence[str], classes: int
) -> tuple[Rate | None, ...]:
    found: list[Rate | None] = []
    for label in range(classes):
        rows = np.flatnonzero(truth == label)
        found.append(rate_by_group(decided[rows] == label, [groups[int(row)] for row in rows]) if len(rows) else None)
    return tuple(found)
