"""The data set: every image by digest, and the split that uses it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from weckd_edge.artifacts.base import Split
from weckd_edge.artifacts.labels import Labels
from weckd_edge.core.store import SCHEMA_VERSION

UNNAMED = "auto-"
"""Start of the name of a group that the user has not named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribute:
    """The value of a further column of the data CSV for one image, such as site or age.

    Attributes:
        column: The column's name, lower case.
        value: Text of the cell; empty where the cell is empty.
    """

    column: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRecord:
    """One labelled image.

    Attributes:
        path: Path relative to the data set's root, with forward slashes.
        label: Index into ``DatasetIndex.labels``.
        group: What no split may separate: a patient, an examination, or a cluster of near-identical frames.
        split: Split that uses the image.
        labelled_subset: Index of its labelled subset (training images only); None: its label is not used in training.
        sha256: SHA-256 of the file, hexadecimal; of a DICOM file, of its pixels as they are stored.
        pixels_sha256: SHA-256 of size and decoded RGB pixels, hexadecimal: equal for copies, whatever the file format.
        width: Width after the EXIF orientation is applied, pixels.
        height: Height after the EXIF orientation is applied, pixels.
        published_split: Split that the data set's folders or CSV name; None where they name none.
        attributes: Values of the CSV's further columns, sorted by column; empty without any.
        exam: Examination that the user named, which lies in one group; None: the group is the examination.
        time_s: Time of the frame in its examination, seconds; None where it is not known.
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
    exam: str | None = None
    time_s: float | None = None

    @property
    def examination(self) -> str:
        """Name of the examination that the image is a frame of."""
        return self.exam or self.group

    def identity(self, *, files: bool = False) -> list[str | int | None]:
        """Return what results made from this image depend on, for their keys in the store: neither path nor class name.

        Args:
            files: Whether the result depends on the file's digest as well, not on the pixels alone.
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
    """One image without a label, which only teachers predict.

    Attributes:
        path: Path relative to the folder of unlabelled images, with forward slashes.
        sha256: SHA-256 of the file, hexadecimal; of a DICOM file, of its pixels as they are stored.
        pixels_sha256: SHA-256 of size and decoded RGB pixels, hexadecimal.
    """

    path: str
    sha256: str
    pixels_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BadFile:
    """A file that the data set names and that cannot be used, with the reason in words."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DataNote:
    """A decision or a warning about a data set as it was read.

    Attributes:
        code: Stable code for scripts: ``I_`` marks a decision, ``W_`` something that may be wrong.
        text: One line for people.
    """

    code: str
    text: str

    @property
    def is_warning(self) -> bool:
        """Whether it says that something may be wrong."""
        return self.code.startswith("W_")


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedLeaks:
    """Leaks of the split that a data set came with, whether or not it is kept; counted with all copies.

    Attributes:
        test_images: Number of its test images: of its validation images, where it names no others.
        copies: Number of them with the pixels of one of its training images.
        grouped: Number of them in one group with one of its training images, copies among them.
        val_copies: Number of them with the pixels of one of its validation images, on which thresholds are found; 0 where
            its validation images are the test images.
        val_grouped: Number of them in one group with one of its validation images, copies among them.
    """

    test_images: int
    copies: int
    grouped: int
    val_copies: int = 0
    val_grouped: int = 0

    @property
    def found(self) -> bool:
        """Whether there is a leak."""
        return bool(self.copies or self.grouped or self.val_copies or self.val_grouped)


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetIndex:
    """The file ``evidence/dataset_index.json``: every image of the data set, by digest, and how it is used.

    Attributes:
        name: Name of the data set's folder, for reports.
        labels: Class names, sorted or in the order of an imported model's outputs; ``ImageRecord.label`` is an index into
            them.
        images: Labelled images, sorted by path.
        bad_files: Files that were skipped, with the reason.
        synthetic: Whether the images are synthetic; every report that uses them says so.
        seed: Seed of the split and of the labelled subsets.
        near_duplicate_groups: Number of groups of two or more images that the search for near duplicates found.
        exact_copies: Number of images left out because an earlier path holds the same pixels under the same label.
        unlabelled: Unlabelled images, sorted by path.
        unlabelled_left_out: Number of unlabelled images left out because they copy another image or resemble a held-out one.
        named_groups: Number of images whose group the user named; None in an index that did not count them.
        notes: Decisions where the layout left a choice, and warnings about the data set.
        published_leaks: Leaks of the split that the data set came with; None where it came with none, and in an index that
            did not count them.
        schema_version: Schema version of this record.
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
    published_leaks: PublishedLeaks | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", Labels(self.labels))

    def label_of(self, image: ImageRecord) -> str:
        """Return the name of an image's class."""
        return self.labels.name(image.label)

    def with_order(self, names: Iterable[str]) -> DatasetIndex:
        """Return the same data set with its classes in the order of a network's outputs.

        Raises:
            ConfigError: The names are not the same classes.
        """
        labels = self.labels.with_order(names)
        place = labels.indices(self.labels)
        return replace(self, labels=labels, images=tuple(replace(one, label=place[one.label]) for one in self.images))

    def split(self, *names: Split) -> tuple[ImageRecord, ...]:
        """Return the images of one split or of several, sorted by path."""
        return tuple(image for image in self.images if image.split in names)

    def identity(self, *names: Split, files: bool = False) -> list[list[str | int | None]]:
        """Return the identities of the images of the named splits, or of all images where none is named."""
        return [image.identity(files=files) for image in (self.split(*names) if names else self.images)]
