"""Make the index of a data set: which image of a folder or a CSV is used where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from weckd_edge.artifacts import SPLITS, BadFile, DataNote, DatasetIndex, ImageRecord, Labels, PublishedLeaks
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import ConfigError, DataError, did_you_mean
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Stage, Workspace
from weckd_edge.train.data.duplicates.groups import Grouping, group_images
from weckd_edge.train.data.duplicates.ties import find_ties
from weckd_edge.train.data.folds import Fold
from weckd_edge.train.data.listing import data_root, fingerprint
from weckd_edge.train.data.published import count_leaks, keeps_published, leak_notes
from weckd_edge.train.data.reading import DataSet, read_data
from weckd_edge.train.data.scan import ScannedImage
from weckd_edge.train.data.scan_store import ScanStore, open_scan_store, scan_folder
from weckd_edge.train.data.split import Placement, SplitItem, split_fold, split_images
from weckd_edge.train.data.synth.phantoms import is_phantom
from weckd_edge.train.data.unlabelled import UnlabelledFolder, read_unlabelled, unlabelled_fingerprint

if TYPE_CHECKING:
    from weckd_edge.config import BuildConfig

__all__ = ["build_index", "cached_index", "data_root", "index_for_test"]

_SHOWN = 10


def build_index(  # noqa: PLR0913 - one call says everything, by keyword
    path: Path,
    config: DataConfig,
    *,
    labelled_subsets: int,
    seed: int,
    skip_bad: bool,
    progress: Progress,
    fold: Fold | None = None,
    cache: Path | ScanStore | None = None,
) -> DatasetIndex:
    """Read, group and split a data set, and cut labelled subsets from its training images.

    Of images with the same pixels and label only the first path is kept (where the published split is kept, the first
    in each part of it), and the others are counted in ``exact_copies``.

    Args:
        path: A folder or a CSV, in a layout of ``list_data``.
        config: Fractions, distances and columns.
        labelled_subsets: Number of disjoint labelled subsets to cut from the training images.
        seed: Seed of the split.
        skip_bad: Whether files that cannot be used are left out and recorded, instead of refusing the data set.
        progress: Receiver of the progress.
        fold: Fold that is the test split; None draws a test split of ``config.test_fraction``.
        cache: Folder that keeps what was read of each image, for a later run; None keeps nothing; or a store that is open.

    Raises:
        ConfigError: A fold is asked for, and the data set came with a split that is kept.
        DataError: The data cannot be used; one line says why.
        StoreError: The cache cannot be used.
    """
    with open_scan_store(cache, progress) as store:
        read = _read_images(path, config, store, progress, skip_bad=skip_bad)
        items = _split_items(read.images, read.groups)
        if fold is None:
            places = split_images(items, config, labelled_subsets=labelled_subsets, seed=seed, published=read.kept)
        else:
            _refuse_published_folds(path, kept=read.kept)
            places = split_fold(items, config, fold, labelled_subsets=labelled_subsets, seed=seed)
            progress.note(f"fold {fold.number} of {fold.count} is the test split")
        splits = [place.split for place in places]
        unlabelled = _read_unlabelled(read.images, splits, config, progress, store, skip_bad=skip_bad)
    index = replace(
        read.index(places, read.labels),
        seed=seed,
        bad_files=tuple(sorted((*read.bad, *unlabelled.bad_files), key=lambda file: file.path)),
        unlabelled=unlabelled.images,
        unlabelled_left_out=unlabelled.left_out,
    )
    _report(index, config, read.grouping.separate_ties, progress, published=read.kept or fold is not None)
    return index


def index_for_test(
    path: Path, config: DataConfig, labels: Labels, *, skip_bad: bool, progress: Progress, cache: Path | None = None
) -> DatasetIndex:
    """Read and group a data set whose images are all held out: a network with these classes was trained without it.

    Args:
        path: A folder or a CSV, in a layout of ``list_data``.
        config: Distances and columns.
        labels: Classes of the network, in the order of its outputs; the images need not be of all of them.
        skip_bad: Whether files that cannot be used are left out and recorded, instead of refusing the data set.
        progress: Receiver of the progress.
        cache: Folder that keeps what was read of each image, for a later run; None keeps nothing.

    Raises:
        DataError: The data cannot be used, or an image is of another class; one line says why.
        StoreError: The cache cannot be used.
    """
    with open_scan_store(cache, progress) as store:
        read = _read_images(path, config, store, progress, skip_bad=skip_bad, keep_published=False)
    others = [name for name in read.labels if name not in labels]
    if others:
        raise DataError(
            f"{path}: expected images of the network's classes ({', '.join(labels)}), found '{others[0]}'"
            f"{did_you_mean(others[0], labels)}",
            code="E_DATA_OTHER_CLASSES",
        )
    index = read.index([Placement(split="test", labelled_subset=None)] * len(read.images), labels)
    for one in index.notes:
        (progress.warn if one.is_warning else progress.note)(one.text)
    return index


@dataclass(frozen=True, kw_only=True, slots=True)
class _ReadImages:
    """A data set that was read and grouped, before it is split."""

    root: Path
    labels: Labels
    bad: tuple[BadFile, ...]
    images: list[ScannedImage]
    groups: list[str]
    copies: int
    grouping: Grouping
    leaks: PublishedLeaks | None
    kept: bool
    notes: tuple[DataNote, ...]

    def index(self, places: Sequence[Placement], labels: Labels) -> DatasetIndex:
        """Return the index of the images in these places."""
        return DatasetIndex(
            name=self.root.resolve().name,
            labels=labels,
            images=_records(self.images, _split_items(self.images, self.groups), places, labels),
            bad_files=self.bad,
            synthetic=is_phantom(self.root),
            near_duplicate_groups=self.grouping.near_duplicate_groups,
            exact_copies=self.copies,
            named_groups=sum(image.listed.group is not None for image in self.images),
            notes=self.notes,
            published_leaks=self.leaks,
        )


def _read_images(
    path: Path, config: DataConfig, store: ScanStore, progress: Progress, *, skip_bad: bool, keep_published: bool = True
) -> _ReadImages:
    found = read_data(path, progress, config, store)
    labels = Labels(found.labels)
    bad, usable = _usable_images(path, found, labels, skip_bad=skip_bad)
    kept = False
    notes: tuple[DataNote, ...] = ()
    if keep_published:
        named = [image.listed.published_split for image in usable]
        kept, notes = keeps_published([image.listed.label for image in usable], named, config)
    # Copies that are left out below still tell which groups are one: those that name the same picture.
    grouping = group_images(usable, find_ties(usable, config.near_duplicate_distance, store))
    leaks = count_leaks(usable, grouping.groups)
    images = _first_of_copies(usable, per_split=kept)
    group_of = {image.listed.path: group for image, group in zip(usable, grouping.groups, strict=True)}
    return _ReadImages(
        root=found.root,
        labels=labels,
        bad=tuple(sorted(bad, key=lambda file: file.path)),
        images=images,
        groups=[group_of[image.listed.path] for image in images],
        copies=len(usable) - len(images),
        grouping=grouping,
        leaks=leaks if keep_published else None,
        kept=kept,
        notes=(*found.notes, *notes, *(leak_notes(leaks) if kept else ())),
    )


def _records(
    images: Sequence[ScannedImage], items: Sequence[SplitItem], places: Sequence[Placement], labels: Labels
) -> tuple[ImageRecord, ...]:
    return tuple(
        image.record(label=labels.index(item.label), group=item.group, split=place.split, subset=place.labelled_subset)
        for image, item, place in zip(images, items, places, strict=True)
    )


def _split_items(images: Sequence[ScannedImage], groups: Sequence[str]) -> list[SplitItem]:
    return [
        SplitItem(label=image.listed.label, group=group, published_split=image.listed.published_split)
        for image, group in zip(images, groups, strict=True)
    ]


def _usable_images(
    path: Path, found: DataSet, labels: Labels, *, skip_bad: bool
) -> tuple[list[BadFile], list[ScannedImage]]:
    """Return the files that cannot be used, and the images that can.

    Raises:
        DataError: A file cannot be used and none may be left out, or a class would lose all of its images.
    """
    bad = [*found.bad_files, *find_contradictions(found.images)]
    if bad and not skip_bad:
        raise DataError(_describe_bad(path, bad), code="E_DATA_BAD_IMAGES")
    dropped = {file.path for file in bad}
    usable = [image for image in found.images if image.listed.path not in dropped]
    _refuse_lost_classes(path, labels, usable, len(bad))
    return bad, usable


def _refuse_published_folds(path: Path, *, kept: bool) -> None:
    if kept:
        raise ConfigError(
            f"--folds deals all images of {path} to new test splits, and the data set came with a split that is kept; give "
            "--no-published-split to deal anew, or leave --folds out",
            code="E_CONFIG_CONFLICT",
        )


def _read_unlabelled(
    images: Sequence[ScannedImage],
    splits: Sequence[str],
    config: DataConfig,
    progress: Progress,
    store: ScanStore,
    *,
    skip_bad: bool,
) -> UnlabelledFolder:
    if config.unlabelled is None:
        return UnlabelledFolder(images=(), bad_files=(), left_out=0)
    folder = Path(config.unlabelled)
    held_out = [image for image, split in zip(images, splits, strict=True) if split != "train"]
    found = read_unlabelled(folder, images, held_out, config.near_duplicate_distance, progress, store)
    if found.bad_files and not skip_bad:
        raise DataError(_describe_bad(folder, found.bad_files), code="E_DATA_BAD_IMAGES")
    return found


def cached_index(
    workspace: Workspace,
    path: Path,
    config: BuildConfig,
    *,
    skip_bad: bool,
    progress: Progress,
    fold: Fold | None = None,
    cache: Path | None = None,
) -> Stage[DatasetIndex]:
    """Return the index of a data set for a configuration's chain and seed, as a stage of a workspace.

    It is made anew where a file's name, size or time has changed. What was read of each image is kept in ``cache``, or in
    the workspace.

    Raises:
        DataError: The data cannot be used; one line says why.
    """
    inputs = {
        "files": fingerprint(path, config.data),
        "unlabelled": unlabelled_fingerprint(Path(config.data.unlabelled)) if config.data.unlabelled else None,
        "data": config.data,
        "labelled_subsets": len(config.link),
        "seed": config.seed,
        "skip_bad": skip_bad,
        "fold": fold,
    }
    return workspace.stage(
        "data",
        DatasetIndex,
        key_of(inputs, "weckd_edge.train.data.index"),
        lambda folder: build_index(
            path,
            config.data,
            labelled_subsets=len(config.link),
            seed=config.seed,
            skip_bad=skip_bad,
            progress=progress,
            fold=fold,
            cache=cache or scan_folder(workspace),
        ),
    )


def find_contradictions(images: Sequence[ScannedImage]) -> tuple[BadFile, ...]:
    """Return every image whose pixels also appear under another label."""
    first: dict[str, ScannedImage] = {}
    several: dict[str, dict[str, str]] = {}  # the first path of each label, of pixels that have more than one
    for image in images:
        one, label = first.setdefault(image.pixels_sha256, image).listed, image.listed.label
        if one.label != label:
            several.setdefault(image.pixels_sha256, {one.label: one.path}).setdefault(label, image.listed.path)
    bad = []
    for image in images:
        for label, path in several.get(image.pixels_sha256, {}).items():
            if label != image.listed.label:
                bad.append(BadFile(path=image.listed.path, reason=f"the same image has another label in {path}"))
                break
    return tuple(bad)


def _describe_bad(path: Path, bad: Sequence[BadFile]) -> str:
    ordered = sorted(bad, key=lambda file: file.path)
    shown = "; ".join(f"{file.path}: {file.reason}" for file in ordered[:_SHOWN])
    more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    files = "1 file" if len(bad) == 1 else f"{len(bad)} files"
    return f"{path}: {files} cannot be used ({shown}{more}); repair or remove them, or give --skip-bad to leave them out"


def _refuse_lost_classes(path: Path, labels: Sequence[str], usable: Sequence[ScannedImage], bad: int) -> None:
    lost = sorted(set(labels) - {image.listed.label for image in usable})
    if lost:
        raise DataError(
            f"{path}: expected usable images of every class, none of class '{lost[0]}' is left without the "
            f"{bad} bad files; repair or replace them",
            code="E_DATA_EMPTY_CLASS",
        )


def _first_of_copies(images: Sequence[ScannedImage], *, per_split: bool) -> list[ScannedImage]:
    first: dict[tuple[str, str | None], ScannedImage] = {}
    for image in images:
        first.setdefault((image.pixels_sha256, image.listed.published_split if per_split else None), image)
    return list(first.values())


def _report(index: DatasetIndex, config: DataConfig, separate_ties: int, progress: Progress, *, published: bool) -> None:
    splits: Counter[str] = Counter(record.split for record in index.images)
    shared = Counter(record.labelled_subset for record in index.images if record.labelled_subset is not None)
    groups = len({record.group for record in index.images})
    parts = ", ".join(f"{name} {splits[name]}" for name in SPLITS)
    progress.note(f"{len(index.images)} images in {groups} groups: {parts}; labelled subsets {sorted(shared.values())}")
    for one in index.notes:
        (progress.warn if one.is_warning else progress.note)(one.text)
    if index.bad_files:
        progress.warn(f"{len(index.bad_files)} files were left out because they cannot be used")
    if config.unlabelled is not None:
        progress.note(
            f"{len(index.unlabelled)} unlabelled frames; {index.unlabelled_left_out} left out: they copy another image or "
            "resemble a held-out one"
        )
    if separate_ties:
        progress.note(f"{separate_ties} pairs look alike but lie in groups that stay apart (see docs/how-to/data.md)")
    total = len(index.images)
    for name, wanted in (("test", config.test_fraction), ("val", config.val_fraction)):
        got = splits[name] / total
        if abs(got - wanted) > 0.05 and not published:
            progress.note(f"the {name} split holds {got:.0%} of the images, not {wanted:.0%}, as groups are never cut")
