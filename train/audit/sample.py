"""Sample the images of the audit: whole groups where there are many, and no class that one group alone holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import ImageRecord


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AuditSample:
    """Images of the audit, their labels and groups as arrays.

    Attributes:
        records: The images.
        labels: Class of each image ``[N]``.
        groups: Number of each image's group ``[N]``, from 0 without a gap.
    """

    records: tuple[ImageRecord, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]

    @property
    def group_count(self) -> int:
        """Number of groups."""
        return int(self.groups.max()) + 1 if len(self.groups) else 0

    def where(self, keep: NDArray[np.bool_]) -> AuditSample:
        """Return the images that ``keep`` ``[N]`` marks, their groups numbered anew."""
        return number_groups([record for record, kept in zip(self.records, keep, strict=True) if kept])

    def groups_of_classes(self, classes: int) -> NDArray[np.int64]:
        """Return the number of groups that hold each class ``[C]``."""
        pairs = np.unique(np.stack([self.labels, self.groups]), axis=1)
        return np.bincount(pairs[0], minlength=classes)


def number_groups(records: Sequence[ImageRecord]) -> AuditSample:
    """Number the groups of images."""
    names = [record.group for record in records]
    groups = np.unique(names, return_inverse=True)[1] if names else np.zeros(0)
    return AuditSample(
        records=tuple(records),
        labels=np.array([record.label for record in records], np.int64),
        groups=groups.astype(np.int64).reshape(-1),
    )


def sample_groups(chosen: AuditSample, maximum: int, seed: int) -> NDArray[np.bool_]:
    """Choose about ``maximum`` images in whole groups, of each class its part and at least two groups.

    Args:
        chosen: All images.
        maximum: Number of images wanted; fewer images are all taken.
        seed: Seed of the choice.

    Returns:
        Whether each image is taken ``[N]``.
    """
    total = len(chosen.labels)
    if total <= maximum:
        return np.ones(total, np.bool_)
    counts = np.zeros((chosen.group_count, int(chosen.labels.max()) + 1), np.int64)
    np.add.at(counts, (chosen.groups, chosen.labels), 1)
    of_class, size = counts.argmax(1), counts.sum(1)
    order = np.random.default_rng(seed).permutation(len(counts))
    taken = np.zeros(len(counts), np.bool_)
    for c in range(counts.shape[1]):
        own = order[of_class[order] == c]
        before = np.cumsum(size[own]) - size[own]
        kept = before < size[own].sum() * maximum / total
        kept[:2] = True
        taken[own[kept]] = True
    return taken[chosen.groups]
