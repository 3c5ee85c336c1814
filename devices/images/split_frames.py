"""Images of one split as camera frames, decoded once for everything that a build does with them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import SCHEMA_VERSION, DatasetIndex, FileRef, FrameSpec, ImageRecord, Split
from weckd_edge.core.errors import DataError
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Workspace, file_ref
from weckd_edge.devices.images.frames import frame_from_file

Frame = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameFile:
    """File of decoded images.

    Attributes:
        file: The file: uint8 ``[N, H, W, 3]`` as ``.npy``, in the order of the index.
        schema_version: Version of this record's fields.
    """

    file: FileRef
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SplitFrames:
    """Decoded images of one split.

    Attributes:
        split: The split.
        records: Records of the images, in order.
        frames: uint8 ``[N, H, W, 3]``, in the same order; they are read from disk as they are touched.
    """

    split: Split
    records: tuple[ImageRecord, ...]
    frames: Frame

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Frame]:
        """Yield each frame ``[1, H, W, 3]``, contiguous."""
        return (self.frame(row) for row in range(len(self)))

    def frame(self, row: int) -> Frame:
        """Return one frame ``[1, H, W, 3]``, contiguous."""
        frame: Frame = np.ascontiguousarray(self.frames[row : row + 1])
        return frame

    @property
    def labels(self) -> NDArray[np.int64]:
        """True label indices of the images, ``[N]``."""
        return np.array([record.label for record in self.records], np.int64)

    @property
    def groups(self) -> list[str]:
        """Group of each image, in order."""
        return [record.group for record in self.records]

    def of(self, path: str) -> Frame:
        """Return the frame of one image ``[H, W, 3]``.

        Raises:
            KeyError: The image is not of this split.
        """
        frame: Frame = self.frame(self.rows([path])[0])[0]
        return frame

    def rows(self, paths: Iterable[str]) -> list[int]:
        """Return the row of each image by its path.

        Raises:
            KeyError: An image is not of this split.
        """
        row_of = {record.path: row for row, record in enumerate(self.records)}
        return [row_of[path] for path in paths]

    def take(self, rows: Sequence[int]) -> SplitFrames:
        """Return a few of the images, in the order of ``rows``; their frames are held in memory."""
        return SplitFrames(
            split=self.split, records=tuple(self.records[row] for row in rows), frames=self.frames[list(rows)]
        )

    def required(self, purpose: str) -> SplitFrames:
        """Return these images, and refuse an empty split.

        Raises:
            DataError: There is no image; the message names the purpose.
        """
        if not self.records:
            raise DataError(f"expected {_NAMES[self.split]} images {purpose}, the index has none", code="E_DATA_NO_IMAGES")
        return self


_NAMES = {"train": "training", "val": "validation", "test": "test"}


def decode_split(
    workspace: Workspace, index: DatasetIndex, split: Split, root: Path, spec: FrameSpec, progress: Progress
) -> SplitFrames:
    """Return the images of a split as camera frames, from the store where an earlier step or run has decoded them.

    Args:
        workspace: The store.
        index: The data set.
        split: The split.
        root: The data set's folder.
        spec: Size of the frame.
        progress: Shows the decoding.

    Raises:
        DataError: An image cannot be read.
        StoreError: There is no space for the frames.
    """
    records = index.split(split)
    height, width = spec.height, spec.width
    if not records:
        return SplitFrames(split=split, records=(), frames=np.zeros((0, height, width, 3), np.uint8))
    stage = workspace.stage(
        f"frames-{split}",
        FrameFile,
        key_of(
            {"images": [record.pixels_sha256 for record in records], "frame": [height, width]},
            "weckd_edge.devices.images.frames",
        ),
        lambda folder: _write_frames([root / record.path for record in records], spec, split, folder, progress),
    )
    frames: Frame = np.load(stage.folder / stage.artifact.file.path, mmap_mode="r", allow_pickle=False)
    return SplitFrames(split=split, records=records, frames=frames)


def frames_of(paths: Sequence[Path], spec: FrameSpec, ahead: int = 16) -> Iterator[Frame]:
    """Yield each image as a camera frame ``[1, height, width, 3]``, decoded in threads, in order."""
    with ThreadPoolExecutor(4) as pool:
        for start in range(0, len(paths), ahead):
            yield from pool.map(lambda path: frame_from_file(path, spec), paths[start : start + ahead])


def reserve(path: Path) -> None:
    """Reserve the disk space of a file that is going to be written through memory.

    Writing to a mapped file on a full disk kills the process without a word; asking for the space first does not.
    """
    with path.open("rb+") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _write_frames(paths: Sequence[Path], spec: FrameSpec, split: Split, folder: Path, progress: Progress) -> FrameFile:
    path = folder / "frames.npy"
    shape = (len(paths), spec.height, spec.width, 3)
    frames = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    reserve(path)
    with progress.task(f"decode {_NAMES[split]} images", len(paths)) as task:
        for row, frame in enumerate(frames_of(paths, spec)):
            frames[row] = frame[0]
            task.advance()
    frames.flush()
    del frames
    return FrameFile(file=file_ref(folder, path))
