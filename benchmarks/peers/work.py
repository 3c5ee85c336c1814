"""The work: for each data set, fold and number of labels one folder of ``train``, ``val`` and ``test``, for every peer.

It is dealt by weckd-edge's own index, by whole groups. The folders hold links to the images; what a split names is written
beside them with each image's group, which no peer is shown.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.artifacts import DatasetIndex, ImageRecord
from weckd_edge.config import DataConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.data.folds import Fold
from weckd_edge.train.data.index import build_index

SUBSETS = 3
"""Number of disjoint labelled subsets, each 10 % of the training images: as many as weckd-edge's chain has links."""
LABELS = {"57": 1, "171": SUBSETS, "all": None}
"""Number of labelled subsets whose images may be trained on, by its name: the numbers of labels on otoscope frames."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One piece of work.

    Attributes:
        dataset: Name of the data set.
        fold: Number of the fold that is the test split.
        folds: Number of folds.
        labels: Name of the number of labels, of ``LABELS``.
        folder: Folder of ``train``, ``val`` and ``test``.
    """

    dataset: str
    fold: int
    folds: int
    labels: str
    folder: Path

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, sorted."""
        return tuple(sorted(path.name for path in (self.folder / "test").iterdir()))

    @property
    def groups(self) -> dict[str, str]:
        """Group of each test image, by its path below ``test/``."""
        found: dict[str, str] = json.loads(groups_file(self.folder).read_text(encoding="utf-8"))
        return found

    @property
    def counts(self) -> dict[str, int]:
        """Number of images of each split."""
        return {split: len(list((self.folder / split).glob("*/*"))) for split in ("train", "val", "test")}


def groups_file(folder: Path) -> Path:
    """Return the file that holds the group of each test image of a folder of work."""
    return folder.with_name(f"{folder.name}.groups.json")


def index_of(root: Path, fold: int, folds: int, seed: int) -> DatasetIndex:
    """Return the index of a data set where one fold is the test split, with three labelled subsets."""
    table = root / "groups.csv"
    return build_index(
        table if table.is_file() else root,
        DataConfig(labelled_fraction=0.1, use_published_split=False),
        labelled_subsets=SUBSETS,
        seed=seed,
        skip_bad=False,
        progress=SilentProgress(),
        fold=Fold(number=fold, count=folds),
    )


def lay_out_fold(root: Path, fold: int, folds: int, labels: Sequence[str], seed: int, folder: Path) -> list[Work]:
    """Make the folders of a fold's pieces of work, unless they are there.

    Args:
        root: Folder of the data set.
        fold: Number of the fold.
        folds: Number of folds.
        labels: Names of the numbers of labels, of ``LABELS``.
        seed: Seed of the folds and of the split of the others.
        folder: Folder of all work.
    """
    place = folder / root.name / f"fold-{fold}-of-{folds}-seed-{seed}"
    found = [
        Work(dataset=root.name, fold=fold, folds=folds, labels=name, folder=place / f"labels-{name}") for name in labels
    ]
    missing = [work for work in found if not groups_file(work.folder).is_file()]
    if missing:
        index = index_of(root, fold, folds, seed)
        for work in missing:
            lay_out(root, index, work)
    return found


def lay_out(root: Path, index: DatasetIndex, work: Work) -> None:
    """Make the folder of one piece of work: links to the images, and beside it the file of groups, which ends it."""
    shutil.rmtree(work.folder, ignore_errors=True)
    groups: dict[str, str] = {}
    for image in index.images:
        if not is_shown(image, LABELS[work.labels]):
            continue
        label = index.labels[image.label]
        name = f"{label}/{image.path.removeprefix(f'{label}/').replace('/', '__')}"
        link = work.folder / image.split / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((root / image.path).resolve())
        if image.split == "test":
            groups[name] = image.group
    groups_file(work.folder).write_text(json.dumps(groups, indent=1, sort_keys=True), encoding="utf-8")


def is_shown(image: ImageRecord, subsets: int | None) -> bool:
    """Whether an image is part of the work: held-out images always are, training images by their labelled subset."""
    if image.split != "train" or subsets is None:
        return True
    return image.labelled_subset is not None and image.labelled_subset < subsets


def told(work: Work) -> str:
    """Return a piece of work in words."""
    counts = work.counts
    return (
        f"{work.dataset}, fold {work.fold} of {work.folds}, labels {work.labels}: "
        f"{counts['train']} training, {counts['val']} validation and {counts['test']} test images"
    )
