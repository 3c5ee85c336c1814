"""A folder of frames that nobody has labelled: more for a teacher to show, and never a way around the split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.artifacts import BadFile, UnlabelledImage
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import digest_of
from weckd_edge.train.data.duplicates import find_ties
from weckd_edge.train.data.listing import ListedImage, stamp, walk_files
from weckd_edge.train.data.scan import ScannedImage, picture_notes, scan


@dataclass(frozen=True, kw_only=True, slots=True)
class UnlabelledFolder:
    """What a folder of unlabelled frames gave.

    Attributes:
        images: Usable ones, sorted by path.
        bad_files: What cannot be read.
        left_out: Frames that copy a labelled or another unlabelled one, or look like a held-out one.
    """

    images: tuple[UnlabelledImage, ...]
    bad_files: tuple[BadFile, ...]
    left_out: int


def list_unlabelled(folder: Path) -> tuple[ListedImage, ...]:
    """List every file below a folder, hidden ones left out, sorted by path.

    Raises:
        DataError: There is no such folder, or nothing in it.
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
) -> UnlabelledFolder:
    """Read a folder of unlabelled frames and leave out what would leak.

    Args:
        folder: Any depth of folders.
        labelled: Every labelled image.
        held_out: Those of them that are validation or test images: no frame that resembles one is kept.
        distance: See ``DataConfig.near_duplicate_distance``.
        progress: Where the reading is shown.

    Raises:
        DataError: There is no such folder, or nothing in it.
    """
    found = scan(folder, list_unlabelled(folder), progress)
    for note in picture_notes(found.images):
        progress.warn(f"unlabelled frames: {note.text}")
    seen = {image.pixels_sha256 for image in labelled}
    fresh = []
    for image in found.images:
        if image.pixels_sha256 not in seen:
            seen.add(image.pixels_sha256)
            fresh.append(image)
    border = len(held_out)
    ties = find_ties([*held_out, *fresh], distance) if distance is not None else ()
    alike = {tie.b - border for tie in ties if tie.a < border <= tie.b}
    kept = [image for position, image in enumerate(fresh) if position not in alike]
    return UnlabelledFolder(
        images=tuple(
            UnlabelledImage(path=image.listed.path, sha256=image.sha256, pixels_sha256=image.pixels_sha256) for image in kept
        ),
        bad_files=found.bad_files,
        left_out=len(found.images) - len(kept),
    )
