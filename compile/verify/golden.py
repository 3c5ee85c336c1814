"""Choose golden frames: a few real frames with the predictions they must give, for the self-test at boot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weckd_edge.artifacts import GoldenFrames, GoldenSet, GoldenTest, Precision
from weckd_edge.bundle.manifest_rules import MAX_TOLERANCE
from weckd_edge.compile.verify.implementations import Implementation, Predict
from weckd_edge.core.sampling import round_robin
from weckd_edge.core.store import file_ref, write_array
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.backends.table import library_version

FRAMES_FILE = "frames.npy"
EXPECTED_FILE = "expected.npy"

TOLERANCE_FACTOR = 4.0
"""Factor of a self-test's tolerance over the largest difference of implementations on the host, on the same frames."""

MIN_TOLERANCE = 0.02
"""Least tolerance of a self-test, of a probability."""

MIN_TENSORRT_TOLERANCE = 0.1
"""Least tolerance of a self-test on TensorRT, which may compute between int8 layers in float16; not measured yet."""

MIN_HALF_TOLERANCE = 0.1
"""Least tolerance of a self-test of a model that computes in float16, which the host may not do; not measured yet."""

_MAX_CANDIDATES = 96


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenGraph:
    """A graph, the models that run it, and how it is run here.

    Attributes:
        tests: Backend, precision and least tolerance of each model that is tested.
        implementations: How the graph is run on this machine; the first gives the predictions that are expected.
    """

    tests: Sequence[tuple[str, Precision, float]]
    implementations: Sequence[Implementation]


def make_golden(images: SplitFrames, count: int, graphs: Sequence[GoldenGraph], predict: Predict, folder: Path) -> GoldenSet:
    """Write ``frames.npy`` and what each graph must give: validation frames on which its implementations agree best.

    On such frames a small tolerance tells a broken device from a value that was rounded the other way.

    Args:
        images: The validation images.
        count: Number of frames.
        graphs: The graphs of a bundle, the deployed one first.
        predict: Returns what an implementation predicts of some of the images.
        folder: Folder to write to; exists.

    Raises:
        DataError: There is no validation image.
        ModelError: A backend refuses its model.
    """
    images.required("for the self-test")
    ordered = round_robin(sorted(images.records, key=lambda r: r.sha256))[:_MAX_CANDIDATES]
    some = images.take(images.rows(record.path for record in ordered))
    records, frames = some.records, some.frames
    expected, deviations = [], []
    for graph in graphs:
        first, *others = (predict(implementation, some) for implementation in graph.implementations)
        expected.append(first)
        deviations.append(np.max([np.abs(first - other).max(axis=1) for other in (first, *others)], axis=0))
    furthest = np.max(deviations, axis=0)
    steady = sorted(range(len(records)), key=lambda k: (float(furthest[k]), records[k].sha256))
    chosen = [records.index(record) for record in round_robin([records[k] for k in steady])[:count]]
    write_array(folder / FRAMES_FILE, frames[chosen])
    tests: list[GoldenTest] = []
    for graph, probabilities, deviation in zip(graphs, expected, deviations, strict=True):
        path = folder / (f"expected-{'-'.join(graph.tests[0][:2])}.npy" if tests else EXPECTED_FILE)
        write_array(path, probabilities[chosen])
        tolerance = TOLERANCE_FACTOR * float(deviation[chosen].max())
        tests += [
            GoldenTest(
                backend=backend,
                precision=precision,
                expected=file_ref(folder, path),
                tolerance=min(max(least, tolerance), MAX_TOLERANCE),
            )
            for backend, precision, least in graph.tests
        ]
    deployed = graphs[0].implementations[0]
    return GoldenSet(
        golden=GoldenFrames(
            frames=file_ref(folder, folder / FRAMES_FILE),
            reference=f"{deployed.name} ({library_version(deployed.backend)})",
        ),
        tests=tuple(tests),
    )
