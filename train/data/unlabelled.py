"""Read a folder of unlabelled frames for distillation, without any that would leak held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.artifacts import BadFile, UnlabelledImage
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import digest_of
from weckd_edge.train.data.duplicates.ties import find_alike
from weckd_edge.train.data.listing import ListedImage, stamp, walk_files
from weckd_edge.train.data.scan import ScannedImage, picture_notes, scan
from weckd_edge.train.data.scan_store import ScanStore


@dataclass(frozen=True, kw_only=True, slots=True)
class UnlabelledFolder:
    """Frames of a folder of unlabelled images.

    Attributes:
        images: Usable frames, sorted by path.
        bad_files: Files that cannot be read.
        left_out: Number of frames that copy a labelled or another unlabelled one, or look like a held-out one.
    """

    images: tuple[UnlabelledImage, ...]
    bad_files: tuple[BadFile, ...]
    left_out: int


def list_unlabelled(folder: Path) -> tuple[ListedImage, ...]:
    """List every file below a folder, hidden ones left out, sorted by path.

    Raises:
        DataError: The folder does not exist, or holds nothing.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder}: expected a folder of unlabelled frames (data.unlabelled), found none", code="E_DATA_UNLABELLED"
        )
    found = tuple(ListedImage(path=file.relative_to(folder).as_posix(), label="") for file in walk_files(folder))
    if not found:
        raise DataError(
            f"{folder}: expected unlabelled frames (data.unlabelled), the folder is empty", code="E_DATA_UNLABELLED"
        )
    return found


def unlabelled_fingerprint(folder: Path) -> str:
    """Return a digest that changes when a file is added, removed, renamed or written (by its size and time)."""
    return digest_of([stamp(folder, image.path) for image in list_unlabelled(folder)])


def read_unlabelled(
    folder: Path,
    labelled: Sequence[ScannedImage],
    held_out: Sequence[ScannedImage],
    distance: int | None,
    progress: Progress,
    store: ScanStore,
) -> UnlabelledFolder:
    """Read a folder of unlabelled frames and leave out those that would leak.

    Args:
        folder: Folder with frames at any depth.
        labelled: Every labelled image.
        held_out: Validation and test images among them; no frame that resembles one is kept.
        distance: Largest Hamming distance of the hashes of near duplicates, of 64; None looks for exact copies alone.
        progress: Receiver of the progress.
        store: Store of read images, which has the labelled ones.

    Raises:
        DataError: The folder does not exist, or holds nothing.
    """
    found = scan(folder, list_unlabelled(folder), progress, store=store)
    for note in picture_notes(found.images):
        progress.warn(f"unlabelled frames: {note.text}")
    seen = {image.pixels_sha256 for image in labelled}
    fresh = []
    for image in found.images:
        if image.pixels_sha256 not in seen:
            seen.add(image.pixels_sha256)
            fresh.append(image)
    kept = fresh
    if distance is not None:
        alike = find_alike(held_out, fresh, distance, store).tolist()
        kept = [image for image, is_like in zip(fresh, alike, strict=True) if not is_like]
    return UnlabelledFolder(
        images=tuple(
            UnlabelledImage(path=image.listed.path, sha256=image.sha256, pixels_sha256=image.pixels_sha256) for image in kept
        ),
        bad_files=found.bad_files,
        left_out=len(found.images) - len(kept),
    )
