"""A separate folder or CSV of calibration images is read, and checked against the data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from weckd_edge.artifacts import HELD_OUT, DatasetIndex
from weckd_edge.config import BuildConfig, DataConfig
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import Progress
from weckd_edge.pipeline.networks import CalibrationSet

if TYPE_CHECKING:
    from weckd_edge.train.data.reading import DataSet

FEWEST_IMAGES = 32
"""Smallest number of calibration images; ``quantize.images`` where that is less."""


def read_calibration(
    path: Path, index: DatasetIndex, config: BuildConfig, progress: Progress, *, skip_bad: bool = False
) -> CalibrationSet:
    """Read a separate calibration folder or CSV.

    Args:
        path: A folder of ``<label>/<image>`` or a CSV.
        index: The data set.
        config: The build's settings; ``[quantize]`` says how many images are wanted.
        progress: Receiver of notes.
        skip_bad: Leave out files that cannot be read, and say how many.

    Returns:
        The images, all for calibration, and the folder they lie in.

    Raises:
        DataError: The folder cannot be read, holds too few images or other classes, or images of the validation or test
            split.
    """
    from weckd_edge.train.data.reading import read_data

    found = read_data(path, progress, config.data if path.is_file() else DataConfig())
    _check_classes(path, found, index)
    _check_bad_files(path, found, progress, skip_bad=skip_bad)
    for note in found.notes:
        progress.warn(f"calibration: {note.text}")
    _check_held_out(found, index)
    images = [
        image.record(label=index.labels.index(image.listed.label), group=image.pixels_sha256, split="train")
        for image in {image.pixels_sha256: image for image in found.images}.values()
    ]
    fewest = min(FEWEST_IMAGES, config.quantize.images)
    if len(images) < fewest:
        raise DataError(
            f"calibration: {path} holds {len(images)} different images, expected at least {fewest}; add some, or leave "
            "--calibrate-on out to take training images",
            code="E_DATA_CALIBRATION",
        )
    progress.note(f"calibration images: {len(images)} of {path.name}, none of them held out")
    found_index = DatasetIndex(
        name=found.root.resolve().name, labels=index.labels, images=tuple(images), synthetic=index.synthetic
    )
    return CalibrationSet(index=found_index, root=found.root)


def _check_classes(path: Path, found: DataSet, index: DatasetIndex) -> None:
    classes = set(found.labels)
    if classes != set(index.labels):
        odd = sorted(classes ^ set(index.labels))
        raise DataError(
            f"calibration: {path} holds the classes {', '.join(sorted(classes))}, expected those of the data set "
            f"({', '.join(index.labels)}); '{odd[0]}' is in one alone",
            code="E_DATA_CALIBRATION",
        )


def _check_bad_files(path: Path, found: DataSet, progress: Progress, *, skip_bad: bool) -> None:
    if not found.bad_files:
        return
    first = found.bad_files[0]
    text = f"calibration: {len(found.bad_files)} files of {path} cannot be used (such as {first.path}: {first.reason})"
    if not skip_bad:
        raise DataError(f"{text}; repair or remove them, or give --skip-bad to leave them out", code="E_DATA_BAD_IMAGES")
    progress.warn(f"{text}; they are left out")


def _check_held_out(found: DataSet, index: DatasetIndex) -> None:
    held_out = {record.pixels_sha256: record for record in index.split(*HELD_OUT)}
    for image in found.images:
        copied = held_out.get(image.pixels_sha256)
        if copied is not None:
            raise DataError(
                f"calibration: {image.listed.path} has the very pixels of the {copied.split} image {copied.path}; "
                "metrics would look better than they are, leave it out",
                code="E_DATA_CALIBRATION_SPLIT",
            )
