"""What changed between two bundles: data, model, thresholds, results."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts.metrics import Flips, Metric, MetricDifferences, Metrics
from weckd_edge.artifacts.verification import Estimate
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedBundle:
    """One of the two bundles.

    Attributes:
        name: As its manifest has it.
        version: See ``Manifest``; 0: it has none.
        software: Version of this software that built it; ``unknown`` where it does not say.
        manifest_sha256: See ``Manifest``.
        synthetic: Whether its images were drawn.
    """

    name: str
    version: int
    software: str
    manifest_sha256: str
    synthetic: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedField:
    """One thing that is not the same in both.

    Attributes:
        what: Its name.
        old: Its value in the old bundle; None where that has none.
        new: Its value in the new bundle; None where that has none.
    """

    what: str
    old: str | None
    new: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageChange:
    """One image, known by the digest of its pixels, that is not used alike in both.

    Attributes:
        path: In the new data set; of a removed one, in the old.
        old_label: None where the old data set lacks it.
        new_label: None where the new data set lacks it.
        old_split: Likewise.
        new_split: Likewise; ``unlabelled`` where it became a frame without a label.
    """

    path: str
    old_label: str | None
    new_label: str | None
    old_split: str | None
    new_split: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DataChange:
    """The two data sets, image by image.

    Attributes:
        old_images: Labelled images of the old one.
        new_images: Of the new one.
        common: Images of both.
        old_groups: Groups of the old one.
        new_groups: Of the new one.
        added: Images that only the new one has.
        removed: Images that only the old one has.
        moved: Images of both that are used in another split.
        relabelled: Images of both with another label.
        renamed: How many images of both have another path.
        regrouped: Of the images of both, how many are grouped with other images of both.
        entered_training: Test images of the old one that are training images, or frames without a label, of the new one: a
            leak between versions, where the old figures guided what was changed.
        entered_validation: Test images of the old one that are validation images of the new one.
        grouped_with_training: Of the remaining old test images, how many share a group with a training image of the new one.
    """

    old_images: int
    new_images: int
    common: int
    old_groups: int
    new_groups: int
    added: tuple[ImageChange, ...]
    removed: tuple[ImageChange, ...]
    moved: tuple[ImageChange, ...]
    relabelled: tuple[ImageChange, ...]
    renamed: int
    regrouped: int
    entered_training: tuple[ImageChange, ...]
    entered_validation: tuple[ImageChange, ...]
    grouped_with_training: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultChange:
    """Both bundles' answers to the same test images, as deployed.

    Attributes:
        labels: Class names, to which label numbers in the figures refer.
        images: Test images of both, with the same label in both.
        groups: Independent groups among them: what either version groups counts as one.
        relabelled: Further common test images that are left out, as their label changed.
        foreign: Further common test images that are left out, as one of the two does not know their label.
        tied: Of the images, how many share a group with a training image of either version.
        old: Figures of the old bundle, every image decided.
        new: Figures of the new bundle.
        difference: New less old.
        specificity: New less old, for each class in label order; None where there are too few images or groups.
        flips: Decisions that changed, with McNemar's exact test.
        old_coverage: Share of images that the old bundle answers, by threshold and refused labels, without its frame guard.
        new_coverage: Likewise.
        coverage_difference: New less old; None where there are too few images or groups.
        notes: What the figures cannot tell.
    """

    labels: tuple[str, ...]
    images: int
    groups: int
    relabelled: int
    foreign: int
    tied: int
    old: Metrics
    new: Metrics
    difference: MetricDifferences
    specificity: tuple[Estimate | None, ...]
    flips: Flips
    old_coverage: Metric
    new_coverage: Metric
    coverage_difference: Estimate | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleDiff:
    """What changed from one bundle to another.

    Attributes:
        old: The one that is compared with.
        new: The one that is looked at.
        data: None where it cannot be compared; ``unknown`` says why.
        model: Chain, sizes, precision, digests.
        settings: Of the build.
        thresholds: Operating point, frame guard, limits and their verdicts.
        software: Versions of what built them.
        own_results: Figures of each on its own test images, which need not be the same.
        results: On the test images of both; None where there are none, or where it cannot be compared.
        unknown: What could not be compared, and why.
        schema_version: Of this record.
    """

    old: ComparedBundle
    new: ComparedBundle
    data: DataChange | None
    model: tuple[ChangedField, ...]
    settings: tuple[ChangedField, ...]
    thresholds: tuple[ChangedField, ...]
    software: tuple[ChangedField, ...]
    own_results: tuple[ChangedField, ...]
    results: ResultChange | None
    unknown: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION
