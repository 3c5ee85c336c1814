"""Golden frames: a few real frames with the answers they must give, for the self-test at boot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from weckd_edge.artifacts import DatasetIndex, GoldenFrames, ImageRecord, InputContract
from weckd_edge.compile.verify import INT8_TOLERANCE, Candidate
from weckd_edge.devices.backends.table import open_runner
from weckd_edge.devices.frames import frame_from_file
from weckd_edge.errors import DataError
from weckd_edge.store import file_ref

FRAMES_FILE = "frames.npy"
EXPECTED_FILE = "expected.npy"

TENSORRT_TOLERANCE = 0.1
"""TensorRT runs what lies between the int8 layers in float16 on JetPack 5 and 6.2; not yet measured on a Jetson."""


def choose_golden(index: DatasetIndex, count: int) -> tuple[ImageRecord, ...]:
    """Choose validation images, one of each class in turn, in the order of their digests."""
    by_class: dict[int, list[ImageRecord]] = {}
    for record in sorted(index.images, key=lambda r: r.sha256):
        if record.split == "val":
            by_class.setdefault(record.label, []).append(record)
    order = sorted((k, label) for label, records in by_class.items() for k in range(len(records)))
    return tuple(by_class[label][k] for k, label in order[:count])


def make_golden(
    index: DatasetIndex, root: Path, contract: InputContract, count: int, shipped: Candidate, folder: Path
) -> GoldenFrames:
    """Write ``frames.npy`` and ``expected.npy``.

    Args:
        index: The data set; its validation images are used.
        root: Its folder.
        contract: The frame.
        count: How many frames.
        shipped: Whose answers are expected.
        folder: Where to write; exists.

    Raises:
        DataError: There is no validation image, or one cannot be read.
        ModelError: The backend refuses its model.
    """
    chosen: Sequence[ImageRecord] = choose_golden(index, count)
    if not chosen:
        raise DataError("expected validation images for the self-test, the index has none")
    frames = np.concatenate([frame_from_file(root / record.path, contract) for record in chosen])
    runner = open_runner(shipped.backend, shipped.model, reference=shipped.reference)
    try:
        expected = np.stack([runner.run(np.ascontiguousarray(frame[None])) for frame in frames])
        version = runner.version
    finally:
        runner.close()
    for name, array in ((FRAMES_FILE, frames), (EXPECTED_FILE, expected)):
        np.save(folder / name, array, allow_pickle=False)
    return GoldenFrames(
        frames=file_ref(folder, folder / FRAMES_FILE),
        expected=file_ref(folder, folder / EXPECTED_FILE),
        reference=f"{shipped.name} ({version})",
        tolerance={"openvino": INT8_TOLERANCE, "onnxruntime": INT8_TOLERANCE, "tensorrt": TENSORRT_TOLERANCE},
    )
