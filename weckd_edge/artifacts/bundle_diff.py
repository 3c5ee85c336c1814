"""Differences between two bundles: data, model, settings, thresholds, results."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts.base import Estimate
from weckd_edge.artifacts.metrics import Flips, Metric, MetricDifferences, Metrics
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedBundle:
    """One of two bundles that are compared.

    Attributes:
        name: Name from its manifest.
        version: Version of its content, from its manifest; 0: it has none.
        software: Version of weckd-edge that built it; ``unknown`` where it is not recorded.
        manifest_sha256: SHA-256 of its manifest, hexadecimal.
        synthetic: Whether its images are synthetic.
    """

    name: str
    version: int
    software: str
    manifest_sha256: str
    synthetic: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedField:
    """One value that differs between the two bundles.

    Attributes:
        what: Name of the value.
        old: Value in the old bundle; None where it has none.
        new: Value in the new bundle; None where it has none.
    """

    what: str
    old: str | None
    new: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageChange:
    """One image, identified by the digest of its pixels, that the two data sets use differently.

    Attributes:
        path: Path in the new data set; of a removed image, in the old one.
        old_label: Label in the old data set; None where it lacks the image.
        new_label: Label in the new data set; None where it lacks the image.
        old_split: Split in the old data set; None where it lacks the image.
        new_split: Split in the new data set; None where it lacks the image, ``unlabelled`` where it became an unlabelled
            image.
    """

    path: str
    old_label: str | None
    new_label: str | None
    old_split: str | None
    new_split: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DataChange:
    """Differences between two data sets, image by image.

    Attributes:
        old_images: Number of labelled images of the old data set.
        new_images: Number of labelled images of the new data set.
        common: Number of images that both have.
        old_groups: Number of groups of the old data set.
        new_groups: Number of groups of the new data set.
        added: Images that only the new data set has.
        removed: Images that only the old data set has.
        moved: Common images that are in another split.
        relabelled: Common images with another label.
        renamed: Number of common images with another path.
        regrouped: Number of common images that are grouped with other common images than before.
        entered_training: Old test images that are training or unlabelled images of the new data set: a leak between
            versions, where the old results guided the changes.
        entered_validation: Old test images that are validation images of the new data set.
        grouped_with_training: Number of the remaining old test images that share a group with a training image of the new
            data set.
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
    """Predictions of both bundles, as deployed, on the test images that they have in common.

    Attributes:
        labels: Class names; label numbers in the metrics are indices into them.
        images: Number of test images of both bundles with the same label in both.
        groups: Number of independent groups among them; images that either version groups count as one group.
        relabelled: Number of further common test images that are left out because their label changed.
        foreign: Number of further common test images that are left out because one bundle does not know their label.
        tied: Number of the compared images that share a group with a training image of either version.
        old: Metrics of the old bundle, with a decision on every image.
        new: Metrics of the new bundle, with a decision on every image.
        difference: New minus old, with paired intervals.
        specificity: New minus old specificity of each class, in label order; None where there are too few images or groups.
        flips: Decisions that changed, with McNemar's exact test.
        old_coverage: Fraction of images that the old bundle decides, by threshold and non-gradeable labels, without its
            input guard.
        new_coverage: Fraction of images that the new bundle decides, by threshold and non-gradeable labels, without its
            input guard.
        coverage_difference: New minus old coverage; None where there are too few images or groups.
        notes: Limits of the comparison, in words.
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
    """Differences between two bundles, as ``weckd-edge report --baseline`` finds them.

    Attributes:
        old: The bundle that is the reference.
        new: The bundle that is compared with it.
        data: Differences of the data sets; None where they cannot be compared, with the reason in ``unknown``.
        model: Differences of chain, sizes, precision and digests.
        settings: Differences of the build settings.
        thresholds: Differences of operating point, input guard, limits and verdicts.
        software: Differences of the software versions that built the bundles.
        own_results: Differences of each bundle's metrics on its own test images, which need not be the same images.
        results: Differences on the common test images; None where there are none, or where they cannot be compared.
        unknown: What could not be compared, with the reason.
        schema_version: Schema version of this record.
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
