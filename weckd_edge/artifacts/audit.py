"""The data audit: leaks between splits, shortcuts and doubtful labels of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.artifacts.base import Estimate, Rate
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class LeakPair:
    """Two images of different splits that show the same, or nearly the same.

    Attributes:
        held_out: Path of the validation or test image.
        other: Path of the other image.
        splits: Splits of the two images, such as ``test, train``.
        same_label: Whether both carry the same label.
        similarity: Similarity, 0..1: the correlation of pictures, or the cosine of features about their mean.
        how: How the pair was found: ``pixels`` (equal pixels), ``picture`` (near duplicates) or ``features`` (nearest
            neighbours by a frozen network).
    """

    held_out: str
    other: str
    splits: str
    same_label: bool
    similarity: float
    how: Literal["pixels", "picture", "features"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitLeaks:
    """Images of a split's held-out parts that training has as good as seen.

    Attributes:
        held_out: Number of images that are not for training.
        copies: Number of held-out images with the same pixels as an image of another split.
        near: Number of held-out images that look like an image of another split, copies included.
        grouped: Number of held-out images that share a group with an image of another split.
        pairs: Most similar pairs, copies first; at most 20 of each kind.
    """

    held_out: int
    copies: int
    near: int
    grouped: int
    pairs: tuple[LeakPair, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldComparison:
    """Cross-validated accuracy of one classifier with random folds and with group folds.

    Attributes:
        folds: Number of folds.
        repeats: Number of times that the folds are drawn.
        images: Number of images with a prediction.
        by_image: Accuracy with random folds, which may split a group, 0..1.
        by_group: Accuracy with group folds, which never split a group, 0..1.
        optimism: ``by_image`` minus ``by_group``; its interval is the wider of two: a bootstrap over groups, and the
            corrected resampled t (Nadeau and Bengio 2003).
    """

    folds: int
    repeats: int
    images: int
    by_image: Estimate
    by_group: Estimate
    optimism: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskScore:
    """How well the label is predicted when a part of every image is covered with middle grey.

    Attributes:
        shows: What stays visible: ``whole`` (all of it), ``surroundings`` (all but the centre), ``centre`` (the centre
            alone) or ``shape`` (the outline of the given region alone).
        disc: Diameter of the centred disc as a fraction of the image's side; None where each image has its own region.
        visible: Mean fraction of the image that stays visible, 0..1.
        accuracy: Accuracy of a linear classifier trained and tested on such images, by group folds.
        auc: AUC of that classifier, mean over the classes, 0..1; None where it is not defined.
        deployed: Accuracy of the trained network on the covered test images, though it never saw a covered image; None
            without a network.
    """

    shows: Literal["whole", "surroundings", "centre", "shape"]
    disc: float | None
    visible: float
    accuracy: Rate
    auc: Estimate | None
    deployed: Rate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskAudit:
    """How much of the label the centre of an image tells, and how much its surroundings.

    Attributes:
        images: Number of audited images; a sample of whole groups where there are many.
        majority: Fraction of the most common class among them, 0..1: the accuracy of always predicting it.
        deployed_majority: Fraction of the most common class among the test images that the trained network saw, 0..1; None
            without a network.
        rows: One entry for each mask: the whole image, then growing discs, then the given regions.
    """

    images: int
    majority: float
    deployed_majority: float | None
    rows: tuple[MaskScore, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FingerprintAudit:
    """How well the label is predicted from one property that should not matter by itself.

    Attributes:
        name: The property: ``size``, ``compression``, ``bytes``, ``colour``, ``border`` or ``source``.
        features: Inputs of the classifier, in words.
        accuracy: Accuracy by group folds.
        auc: AUC, mean over the classes, 0..1; None where it is not defined.
    """

    name: str
    features: str
    accuracy: Rate
    auc: Estimate | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceScore:
    """Results on one source of images (a site, a device) when training leaves it out.

    Attributes:
        source: Name of the source.
        images: Number of its images.
        groups: Number of its independent groups.
        labels: Classes that it holds.
        majority: Fraction of its most common class, 0..1.
        left_out: Accuracy on it when training uses all other sources; None where that cannot be done.
        auc: AUC on it when training uses all other sources, 0..1; None where it cannot be measured, or where the source
            holds one class.
        seen: Accuracy on the same images when training also uses other groups of this source, by group folds.
        note: Why the result is limited, in words; empty where nothing limits it.
    """

    source: str
    images: int
    groups: int
    labels: tuple[str, ...]
    majority: float
    left_out: Rate | None
    auc: Estimate | None
    seen: Rate | None
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceAudit:
    """Results on each source of images when training leaves it out.

    Attributes:
        column: CSV column that names the source.
        sources: One entry for each source, sorted by name.
    """

    column: str
    sources: tuple[SourceScore, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelIssue:
    """An image whose label may be wrong.

    Attributes:
        path: Path of the image.
        label: Label as given.
        predicted_label: Label that the classifier predicts.
        given_probability: Predicted probability of the given label, 0..1.
        predicted_probability: Predicted probability of the predicted label, 0..1.
    """

    path: str
    label: str
    predicted_label: str
    given_probability: float
    predicted_probability: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelIssueAudit:
    """Images whose label is confidently contradicted by a classifier that has not seen their group (confident learning).

    Attributes:
        images: Number of images that were checked.
        found: Number of images whose label may be wrong.
        label_issues: The most doubtful images first; at most 500.
    """

    images: int
    found: int
    label_issues: tuple[LabelIssue, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataAudit:
    """The file ``evidence/audit.json``: every check of the data audit.

    Attributes:
        features: What the images were embedded with, in words.
        pretrained: Whether the embedding is a network pretrained on other images; otherwise it is a fixed description of
            colours and edges.
        images: Number of audited images.
        groups: Number of independent groups among them.
        labels: Class names, in label order.
        majority: Fraction of the most common class, 0..1.
        published: Leaks of the split that the data set came with; None where it came with none.
        this_split: Leaks of this build's split; None where no split was made.
        folds: Random folds against group folds; None where no folds can be made.
        masking: Accuracy with parts of the image covered; None where no folds can be made.
        fingerprints: Predictions from properties that should not matter, sorted by name; empty where no folds can be made.
        sources: Results by source; None where the data set names no source.
        label_issues: Labels that may be wrong; None where no folds can be made.
        notes: Limits of this audit, in words.
        schema_version: Schema version of this record.
    """

    features: str
    pretrained: bool
    images: int
    groups: int
    labels: tuple[str, ...]
    majority: float
    published: SplitLeaks | None
    this_split: SplitLeaks | None
    folds: FoldComparison | None
    masking: MaskAudit | None
    fingerprints: tuple[FingerprintAudit, ...]
    sources: SourceAudit | None
    label_issues: LabelIssueAudit | None
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION
