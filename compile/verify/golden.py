"""Golden frames: a few real frames with the predictions they must give, for the self-test at boot."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from weckd_edge.artifacts import DatasetIndex, GoldenFrames, InputContract
from weckd_edge.bundle.manifest_rules import MAX_TOLERANCE
from weckd_edge.compile.verify.parity import Candidate, Probabilities
from weckd_edge.core.errors import DataError
from weckd_edge.core.sampling import round_robin
from weckd_edge.core.store import file_ref, write_atomic
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.runtime.backends.table import open_runner

FRAMES_FILE = "frames.npy"
EXPECTED_FILE = "expected.npy"

TOLERANCE_FACTOR = 4.0
MIN_TOLERANCE = 0.02
"""What a self-test allows is this many times what implementations on the host differ by on the same frames, and at least
this much of a probability."""

MIN_TENSORRT_TOLERANCE = 0.1
"""TensorRT runs what lies between the int8 layers in float16 where it may; its difference was not measured yet."""

_MAX_CANDIDATES = 96


def make_golden(
    index: DatasetIndex,
    root: Path,
    contract: InputContract,
    count: int,
    deployed: Candidate,
    others: Sequence[Candidate],
    folder: Path,
) -> GoldenFrames:
    """Write ``frames.npy`` and ``expected.npy``: validation frames on which implementations agree best.

    On such frames a small tolerance tells a broken device from a value that was rounded the other way.

    Args:
        index: The data set; its validation images are used.
        root: Its folder.
        contract: The frame.
        count: How many frames.
        deployed: Whose answers are expected.
        others: Other implementations of the same graph: those that a bundle's reader may run instead.
        folder: Where to write; exists.

    Raises:
        DataError: There is no validation image, or one cannot be read.
        ModelError: A backend refuses its model.
    """
    records = round_robin(sorted((r for r in index.images if r.split == "val"), key=lambda r: r.sha256))[:_MAX_CANDIDATES]
    if not records:
        raise DataError("expected validation images for the self-test, the index has none")
    frames = np.concatenate([frame_from_file(root / record.path, contract) for record in records])
    expected, version = _run_frames(deployed, frames)
    deviation = np.max([np.abs(expected - _run_frames(other, frames)[0]).max(axis=1) for other in others], axis=0)
    steady = sorted(range(len(records)), key=lambda k: (float(deviation[k]), records[k].sha256))
    chosen = [records.index(record) for record in round_robin([records[k] for k in steady])[:count]]
    for name, array in ((FRAMES_FILE, frames[chosen]), (EXPECTED_FILE, expected[chosen])):
        written = io.BytesIO()  # NumPy's own writer leaves out why it could not write
        np.save(written, array, allow_pickle=False)
        write_atomic(folder / name, written.getvalue())
    tolerance = min(max(MIN_TOLERANCE, TOLERANCE_FACTOR * float(deviation[chosen].max())), MAX_TOLERANCE)
    return GoldenFrames(
        frames=file_ref(folder, folder / FRAMES_FILE),
        expected=file_ref(folder, folder / EXPECTED_FILE),
        reference=f"{deployed.name} ({version})",
        tolerance={
            "openvino": tolerance,
            "onnxruntime": tolerance,
            "tensorrt": max(MIN_TENSORRT_TOLERANCE, tolerance),
        },
    )


def _run_frames(candidate: Candidate, frames: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> tuple[Probabilities, str]:
    runner = open_runner(candidate.backend, candidate.model, reference=candidate.reference)
    try:
        return np.stack([runner.run(np.ascontiguousarray(frame[None])) for frame in frames]), runner.version
    finally:
        runner.close()
