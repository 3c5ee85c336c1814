"""Read a data set: list and decode its images, without the masks beside them; every command reads data so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.artifacts import BadFile, DataNote
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import Progress
from weckd_edge.train.data.content import MIN_SIDE, is_tiny
from weckd_edge.train.data.dicom_groups import make_header_groups, number_groups
from weckd_edge.train.data.listing import data_root, list_data
from weckd_edge.train.data.listing.masks import pair_masks
from weckd_edge.train.data.listing.notes import counted, note, some_names
from weckd_edge.train.data.scan import ScannedImage, picture_notes, scan
from weckd_edge.train.data.scan_store import ScanStore

_DEFAULT = DataConfig()


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """Data set after it was read.

    Attributes:
        root: Folder that paths are relative to.
        images: Readable images, sorted by path.
        bad_files: Files that cannot be read, or have no label or several, sorted by path.
        labels: Every class that is named, sorted, also those of unreadable images alone.
        notes: Decisions, and possible faults.
    """

    root: Path
    images: tuple[ScannedImage, ...]
    bad_files: tuple[BadFile, ...]
    labels: tuple[str, ...]
    notes: tuple[DataNote, ...]


def read_data(path: Path, progress: Progress, config: DataConfig = _DEFAULT, store: ScanStore | None = None) -> DataSet:
    """List and decode a data set, in a layout of ``list_data``.

    A mask is left out, with a note, where both its name and its pixels tell: it is called as an image beside it is, and has
    two grey levels, which that image has not.

    Args:
        path: A folder or a CSV, in a layout of ``list_data``.
        progress: Receiver of the progress.
        config: Settings, of which the columns and the attribute of DICOM are used.
        store: Store of read images, which keeps their thumbnails; None where nothing of them is needed later.

    Raises:
        ConfigError: Columns are named for a folder, or no image has the attribute of DICOM that should group images.
        DataError: Nothing is there, or it is not laid out as a data set.
    """
    root = data_root(path)
    listing = list_data(path, config)
    if store is not None and store.shards:
        _note_shards(root, store, progress)
    header = make_header_groups(config.dicom_group) if config.dicom_group is not None else None
    found = scan(root, listing.images, progress, header.read if header else None, store)
    named = pair_masks(image.path for image in listing.images)
    flat = {image.listed.path for image in found.images if image.two_levels}
    masks = {mask for mask, image in named.items() if mask in flat and image not in flat}
    images = tuple(image for image in found.images if image.listed.path not in masks)
    images, group_notes = number_groups(path, images, header.keyword) if header else (images, [])
    labels = sorted({image.label for image in listing.images if image.path not in masks})
    if len(labels) == 1:
        raise DataError(
            f"{path}: expected images of at least two classes, got only '{labels[0]}' beside {counted(len(masks), 'mask')}",
            code="E_DATA_FEW_CLASSES",
        )
    return DataSet(
        root=root,
        images=images,
        bad_files=tuple(sorted((*listing.bad_files, *found.bad_files), key=lambda file: file.path)),
        labels=tuple(labels),
        notes=(
            *listing.notes,
            *group_notes,
            *_mask_notes(named, masks, flat, images),
            *_tiny_notes(images),
            *picture_notes(images),
        ),
    )


def _note_shards(root: Path, store: ScanStore, progress: Progress) -> None:
    shards, held = counted(store.shards, "shard"), store.count_in_shards(root)
    if held:
        progress.note(f"{store.place.parent}: {shards}, with what was read of {counted(held, 'image')}")
    else:
        progress.warn(
            f"{store.place.parent}: {shards}, with no image of {root.resolve()}: another folder was read, or this one by "
            "another path; its images are read anew"
        )


def _mask_notes(named: dict[str, str], masks: set[str], flat: set[str], images: Sequence[ScannedImage]) -> list[DataNote]:
    notes = []
    if masks:
        first = min(masks)
        notes.append(
            note(
                "W_MASKS_LEFT_OUT",
                f"{counted(len(masks), 'file')} look like masks of the images beside them, by name and by two grey levels, "
                f"and are left out, such as {first} of {named[first]}; if they are images, rename them",
            )
        )
    here = {image.listed.path for image in images}
    pairs = {mask: image for mask, image in named.items() if mask in here and image in here}
    # Where two files differ in their ending alone, neither is a mask by its name.
    called = sorted(mask for mask, image in pairs.items() if mask.rpartition(".")[0] != image.rpartition(".")[0])
    if called:
        notes.append(
            note(
                "W_NAMED_LIKE_MASKS",
                f"named like masks of images beside them, {counted(len(called), 'file')}: {some_names(called)}; "
                "used as images, as they do not look like masks",
            )
        )
    rest = sorted(flat & here)
    if rest and 10 * len(rest) < 9 * len(here):
        notes.append(
            note(
                "W_TWO_GREY_LEVELS",
                f"{counted(len(rest), 'image')} of {len(here):,} have one or two grey levels, as masks and empty pictures "
                f"do, and are used as images: {some_names(rest)}",
            )
        )
    return notes


def _tiny_notes(images: Sequence[ScannedImage]) -> list[DataNote]:
    tiny = [image.listed.path for image in images if is_tiny(image.width, image.height)]
    if not tiny:
        return []
    return [
        note(
            "W_TINY_IMAGES",
            f"{counted(len(tiny), 'image')} with a side under {MIN_SIDE} pixels show nothing and are used all the same: "
            f"{some_names(tiny)}",
        )
    ]
