"""The data set: which image is used where, by digest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from weckd_edge.artifacts.base import Split
from weckd_edge.artifacts.labels import Labels
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribute:
    """What a further column of the data CSV says of an image, such as site or age.

    Attributes:
        column: The column's name, lower case.
        value: As it is written; empty where the cell is.
    """

    column: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRecord:
    """One labelled image.

    Attributes:
        path: Relative to the data set's root, POSIX.
        label: Index into ``DatasetIndex.labels``.
        group: What a split must never cut: a patient, an exam, or a cluster of near-identical frames.
        split: Where the image is used.
        labelled_subset: Index of its labelled subset (training images only); None: its label is not used in training.
        sha256: Digest of the file.
        pixels_sha256: Digest of size and decoded RGB pixels: equal for copies, whatever the file around them.
        width: Pixels, after the EXIF orientation is applied.
        height: Pixels, after the EXIF orientation is applied.
        published_split: The split the data set came with, if its folders or its CSV name one.
        attributes: What the CSV's further columns say of it, by column; empty without any.
    """

    path: str
    label: int
    group: str
    split: Split
    labelled_subset: int | None
    sha256: str
    pixels_sha256: str
    width: int
    height: int
    published_split: str | None = None
    attributes: tuple[Attribute, ...] = ()

    def identity(self, *, files: bool = False) -> list[str | int | None]:
        """Return what a result that is made from the image depends on, for the key it is kept under: no path and no name.

        Args:
            files: Whether it depends on the digest of the file itself, not of its pixels alone.
        """
        return [
            self.pixels_sha256,
            self.label,
            self.group,
            self.split,
            self.labelled_subset,
            *([self.sha256] if files else []),
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class UnlabelledImage:
    """One frame without a label, which only teachers comment on.

    Attributes:
        path: Relative to the folder of unlabelled frames, POSIX.
        sha256: Digest of the file.
        pixels_sha256: Digest of size and decoded RGB pixels.
    """

    path: str
    sha256: str
    pixels_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BadFile:
    """A file that is named as data and cannot be used, with the reason in words."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DataNote:
    """What is worth saying of a data set as it came.

    Attributes:
        code: Stable, for scripts: ``I_`` before what was decided, ``W_`` before what may be wrong.
        text: For people, one line.
    """

    code: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetIndex:
    """Which images there are and how each is used.

    Attributes:
        name: The data set's folder name, for reports.
        labels: Class names, sorted, or in the order of an imported network's outputs; ``ImageRecord.label`` indexes them.
        images: Sorted by path.
        bad_files: Files that were skipped.
        synthetic: True for synthetic images; every report that uses them says so.
        seed: Seed of the split and the shares.
        near_duplicate_groups: Number of groups of more than one image that near-duplicate search found.
        exact_copies: Images left out because an earlier path holds the same pixels under the same label.
        unlabelled: Frames of the folder of unlabelled ones, sorted by path.
        unlabelled_left_out: Frames of that folder that copy another image or resemble a held-out one.
        named_groups: How many of the images had a group named by the user; None in an index that did not count them.
        notes: What was decided where the layout left a choice, and what may be wrong with the data set.
        schema_version: Of this record.
    """

    name: str
    labels: Labels
    images: tuple[ImageRecord, ...]
    bad_files: tuple[BadFile, ...] = ()
    synthetic: bool = False
    seed: int = 0
    near_duplicate_groups: int = 0
    exact_copies: int = 0
    unlabelled: tuple[UnlabelledImage, ...] = ()
    unlabelled_left_out: int = 0
    named_groups: int | None = None
    notes: tuple[DataNote, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", Labels(self.labels))

    def label_of(self, image: ImageRecord) -> str:
        """Return the name of an image's class."""
        return self.labels.name(image.label)

    def with_order(self, names: Iterable[str]) -> DatasetIndex:
        """Return the same data set with its classes in the order of a network's outputs.

        Raises:
            ConfigError: They are not the same classes.
        """
        labels = self.labels.with_order(names)
        place = labels.indices(self.labels)
        return replace(self, labels=labels, images=tuple(replace(one, label=place[one.label]) for one in self.images))

    def split(self, *names: Split) -> tuple[ImageRecord, ...]:
        """Return the images of a split, or of several, sorted by path."""
        return tuple(image for image in self.images if image.split in names)

    def identity(self, *names: Split, files: bool = False) -> list[list[str | int | None]]:
        """Return the identities of the images of a split, of several, or of all where none is named."""
        return [image.identity(files=files) for image in (self.split(*names) if names else self.images)]
