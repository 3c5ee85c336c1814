"""Settings ``[data]``: the data set, its splits and its labelled subsets."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.config.base import check_setting, path_field


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Data set, splits and labelled subsets.

    Attributes:
        labelled_fraction: Fraction of the training images in one labelled subset, over 0 and at most 1. Every link has a
            subset of its own, so the fractions of all links together are at most 1. None divides all training images among
            the links in equal parts.
        test_fraction: Fraction of all images in the test split, in whole groups, over 0 and under 0.5.
        val_fraction: Fraction of all images in the validation split, in whole groups, over 0 and under 0.5.
        near_duplicate_distance: Largest Hamming distance of two 64-bit perceptual hashes, 0 to 16, at which two images are
            compared as near duplicates; None finds exact copies only. On otoscopy_chile, 10 finds 83 % of the pairs of
            frames that its own clusters keep together, and 98 % of the pairs found are right (6: 69 % and 100 %).
        unlabelled: Folder of unlabelled images, relative to the configuration file. Links with a teacher see them where the
            strategy ends in ``+unlabelled``, the last link alone behind ``+teachers``. Copies, and images that resemble a
            held-out one, are left out.
        use_published_split: Keep the test split (and the validation split) that the data set came with, as folders or as a
            CSV column; the report shows its leaks. False makes a new split by whole groups. None keeps the published split
            where every image has a split and each split has every class; otherwise it makes a new one and says why.
        path_column: CSV column with the paths of the images; None finds it.
        label_column: CSV column with the class; None finds it.
        group_column: CSV column with the groups that no split may separate (a patient, an examination); None takes
            ``group``.
        split_column: CSV column with the published split; None takes ``split`` or ``published_split``.
        exam_column: CSV column with the examination that a frame belongs to, within its group where it has one; None takes
            ``exam``. Without one, each group is an examination.
        time_column: CSV column with a frame's time in its examination, seconds; None takes ``time_s``. Without one, frames
            follow each other in the order of their paths, and their times are not known.
        dicom_group: Attribute of the images' DICOM headers whose value no split may separate, by its keyword, such as
            ``PatientID``. Its groups are numbered, and no value is kept. A group of the CSV comes first. None reads none.
    """

    labelled_fraction: float | None = None
    test_fraction: float = 0.2
    val_fraction: float = 0.1
    near_duplicate_distance: int | None = 10
    unlabelled: str | None = path_field(default=None)
    use_published_split: bool | None = None
    path_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    split_column: str | None = None
    exam_column: str | None = None
    time_column: str | None = None
    dicom_group: str | None = None

    def __post_init__(self) -> None:
        check_setting(
            self.labelled_fraction is None or 0 < self.labelled_fraction <= 1,
            f"labelled_fraction = {self.labelled_fraction}: expected a part of the training images, over 0 and at most 1",
        )
        for name in ("test_fraction", "val_fraction"):
            value = getattr(self, name)
            check_setting(0 < value < 0.5, f"{name} = {value}: expected over 0 and under 0.5")
        distance = self.near_duplicate_distance
        check_setting(distance is None or 0 <= distance <= 16, f"near_duplicate_distance = {distance}: expected 0 to 16")
        keyword = self.dicom_group
        check_setting(
            keyword is None or (keyword.isascii() and keyword.isalnum()),
            f"dicom_group = '{keyword}': expected the keyword of a DICOM attribute, such as PatientID",
            code="E_CONFIG_VALUE",
        )
        named = [name for name in self._columns() if name is not None]
        check_setting(
            all(name.strip() for name in named), "expected the name of a column, got an empty text", code="E_CONFIG_VALUE"
        )
        twice = [name for name in named if sum(name.strip().lower() == other.strip().lower() for other in named) > 1]
        check_setting(
            not twice,
            f"the column '{''.join(twice[:1])}' is named for two things; a column says one",
            code="E_CONFIG_CONFLICT",
        )

    @property
    def names_columns(self) -> bool:
        """Whether a column of a CSV is named."""
        return any(name is not None for name in self._columns())

    def _columns(self) -> tuple[str | None, ...]:
        return (
            self.path_column,
            self.label_column,
            self.group_column,
            self.split_column,
            self.exam_column,
            self.time_column,
        )

    def fraction_of_a_subset(self, labelled_subsets: int) -> float:
        """Return the fraction of the training images in each of so many labelled subsets, at least one."""
        return 1 / labelled_subsets if self.labelled_fraction is None else self.labelled_fraction
