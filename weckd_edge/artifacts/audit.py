"""Would the figures lie? What was found of leaks, shortcuts and doubtful labels in a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.artifacts.base import Rate
from weckd_edge.artifacts.verification import Estimate
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class LeakPair:
    """Two images of different splits that are alike.

    Attributes:
        held_out: Path of the validation or test image.
        other: Path of the other image.
        splits: Where the two are used, such as ``test, train``.
        same_label: Whether both carry the same label.
        similarity: 0..1; of pictures their correlation, of features the cosine of their distances from the mean.
        how: ``pixels`` (the same), ``picture`` (near duplicates) or ``features`` (nearest to a frozen network).
    """

    held_out: str
    other: str
    splits: str
    same_label: bool
    similarity: float
    how: Literal["pixels", "picture", "features"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitLeaks:
    """What one split leaks.

    Attributes:
        held_out: Images that are not for training.
        copies: Of these, how many hold the same pixels as an image of another split.
        near: Of these, how many look like an image of another split, copies among them.
        grouped: Of these, how many share a group with an image of another split.
        pairs: The worst pairs, copies first; at most 20 of each kind.
    """

    held_out: int
    copies: int
    near: int
    grouped: int
    pairs: tuple[LeakPair, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldComparison:
    """The same classifier by folds that cut groups and by folds that do not.

    Attributes:
        folds: Parts that the images are dealt into.
        repeats: How often they are dealt anew.
        images: How many were answered.
        by_image: Accuracy where images are dealt one by one.
        by_group: Accuracy where whole groups are dealt.
        optimism: The first less the second, with the wider of two intervals: a bootstrap over groups, and the corrected
            resampled t (Nadeau and Bengio 2003).
    """

    folds: int
    repeats: int
    images: int
    by_image: Estimate
    by_group: Estimate
    optimism: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskScore:
    """What is answered where a part of every picture is covered by the middle colour.

    Attributes:
        shows: ``whole``: all of it; ``surroundings``: without the centre; ``centre``: nothing else; ``shape``: the outline
            of the given region alone.
        disc: Diameter of the centred disc, in parts of the picture's side; None where the region was given for each image.
        visible: Mean part of the picture that is left, 0..1.
        accuracy: Of a linear classifier trained and tested on such pictures, by group folds.
        auc: Its area under the ROC curve, mean over the classes; None where it is not defined.
        deployed: Accuracy on the test images of the trained network, which never saw a covered picture; None without one.
    """

    shows: Literal["whole", "surroundings", "centre", "shape"]
    disc: float | None
    visible: float
    accuracy: Rate
    auc: Estimate | None
    deployed: Rate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskAudit:
    """How much of the label is told by the middle of the picture, and how much by what is around it.

    Attributes:
        images: How many were probed; a sample of whole groups where there are many.
        majority: Share of their commonest class, 0..1: what is right without looking.
        deployed_majority: Likewise of the test images that the trained network answered; None without one.
        rows: The whole picture first, then by growing discs, then the regions that were given.
    """

    images: int
    majority: float
    deployed_majority: float | None
    rows: tuple[MaskScore, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FingerprintAudit:
    """How well the label is told from one thing that should not matter by itself.

    Attributes:
        name: ``size``, ``compression``, ``bytes``, ``colour``, ``border`` or ``source``.
        features: What the classifier was given, in words.
        accuracy: By group folds.
        auc: Mean over the classes; None where it is not defined.
    """

    name: str
    features: str
    accuracy: Rate
    auc: Estimate | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceScore:
    """One source (a site, a device) left out of the training.

    Attributes:
        source: Its name.
        images: Of it.
        groups: Of it.
        labels: Classes it holds.
        majority: Share of its commonest class, 0..1.
        left_out: Accuracy on it, trained on all other sources; None where that cannot be done.
        auc: Likewise; None too where it holds one class alone.
        seen: Accuracy on the same images where others of this source are trained on, by group folds.
        note: What limits the figure, in words; empty: nothing.
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
    """Every source left out in turn.

    Attributes:
        column: What the CSV calls the source.
        sources: By name.
    """

    column: str
    sources: tuple[SourceScore, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelIssue:
    """An image whose label is doubted.

    Attributes:
        path: Of the image.
        label: As given.
        predicted_label: What it looks like.
        given_probability: Of the given label, 0..1.
        predicted_probability: Of the likelier one.
    """

    path: str
    label: str
    predicted_label: str
    given_probability: float
    predicted_probability: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelIssueAudit:
    """Images whose label a classifier that has not seen their group surely contradicts (confident learning).

    Attributes:
        images: How many were looked at.
        found: How many are doubted.
        label_issues: The most doubtful first, at most 500.
    """

    images: int
    found: int
    label_issues: tuple[LabelIssue, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataAudit:
    """All probes of one data set.

    Attributes:
        features: What the pictures were described by, in words.
        pretrained: Whether that is a network trained on other images; else a fixed description of colours and edges.
        images: Images that were probed.
        groups: Groups among them.
        labels: Class names.
        majority: Share of the commonest class, 0..1.
        published: What the split leaks that the data set came with; None where it has none.
        this_split: What this build's split leaks; None where no split was made.
        folds: Random folds against group folds; None where no folds can be made.
        masking: The masks; None likewise.
        fingerprints: By name; empty likewise.
        sources: None where the data set names no source.
        label_issues: None where no folds can be made.
        notes: What limits all this, in words.
        schema_version: Of this record.
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
