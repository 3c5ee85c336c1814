"""Choose golden frames: a few real frames with the predictions they must give, for the self-test at boot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from weckd_edge.artifacts import GoldenFrames, GoldenSet, GoldenTest
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

_MAX_CANDIDATES = 96


def make_golden(
    images: SplitFrames,
    count: int,
    deployed: Implementation,
    others: Sequence[Implementation],
    predict: Predict,
    folder: Path,
) -> GoldenSet:
    """Write ``frames.npy`` and ``expected.npy``: validation frames on which implementations agree best.

    On such frames a small tolerance tells a broken device from a value that was rounded the other way.

    Args:
        images: The validation images.
        count: Number of frames.
        deployed: Implementation whose predictions are expected.
        others: Other implementations of the same graph: those that a bundle's reader may run instead.
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
    expected = predict(deployed, some)
    deviation = np.max([np.abs(expected - predict(other, some)).max(axis=1) for other in others], axis=0)
    steady = sorted(range(len(records)), key=lambda k: (float(deviation[k]), records[k].sha256))
    chosen = [records.index(record) for record in round_robin([records[k] for k in steady])[:count]]
    for name, array in ((FRAMES_FILE, frames[chosen]), (EXPECTED_FILE, expected[chosen])):
        write_array(folder / name, array)
    tolerance = min(max(MIN_TOLERANCE, TOLERANCE_FACTOR * float(deviation[chosen].max())), MAX_TOLERANCE)
    expected_ref = file_ref(folder, folder / EXPECTED_FILE)
    tolerances = {
        "openvino": tolerance,
        "onnxruntime": tolerance,
        "tensorrt": max(MIN_TENSORRT_TOLERANCE, tolerance),
    }
    return GoldenSet(
        golden=GoldenFrames(
            frames=file_ref(folder, folder / FRAMES_FILE),
            reference=f"{deployed.name} ({library_version(deployed.backend)})",
        ),
        tests=tuple(
            GoldenTest(backend=backend, precision=deployed.precision, expected=expected_ref, tolerance=allowed)
            for backend, allowed in tolerances.items()
        ),
    )
