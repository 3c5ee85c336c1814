"""Measure the masking audit: cover the middle, or all but the middle, and see how much is still predicted.

Where accuracy stays high with all content covered, a network reads the camera and not the ear (arXiv 2507.18842).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from weckd_edge.artifacts import DatasetIndex, FrameSpec, MaskAudit, MaskScore, Rate
from weckd_edge.config import AuditConfig
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import Progress
from weckd_edge.metrics.intervals import rate_by_group
from weckd_edge.train.audit.classifier.cross_validation import group_folds
from weckd_edge.train.audit.classifier.linear_classifier import Ridge
from weckd_edge.train.audit.classifier.scores import auc, majority, score_accuracy
from weckd_edge.train.audit.columns import read_boxes
from weckd_edge.train.audit.features import EmbeddedImages, Features, Mask
from weckd_edge.train.audit.masking.masks import disc, find_masks, regions_of_boxes, regions_of_files, unusable_masks
from weckd_edge.train.audit.masking.occlusion import DeployedNetwork, predict_occluded
from weckd_edge.train.audit.random_split_bias import FOLDS
from weckd_edge.train.audit.sample import AuditSample, number_groups, sample_groups


class Masking:
    """Masking audit of one data set: the images that are covered, the masks, and the scores under them.

    Attributes:
        covered: Whether each of the chosen images is covered ``[N]``.
        notes: Limits of the audit, in words.

    Args:
        config: Settings of discs and masks.
        boxes: Cells of a CSV with boxes, by path; empty for none.
        index: The data set.
        chosen: Images that are audited.
        seed: Seed of sample and folds.

    Raises:
        DataError: Boxes or masks cannot be used.
    """

    def __init__(
        self, config: AuditConfig, boxes: Mapping[str, str], index: DatasetIndex, chosen: AuditSample, seed: int
    ) -> None:
        self._config = config
        self._index = index
        self._chosen = chosen
        self._seed = seed
        self._files = find_masks(Path(config.masks), index.images) if config.masks else {}
        self._boxes = read_boxes(boxes) if not self._files else {}
        self.notes: list[str] = []
        self.covered = sample_groups(chosen, config.masked_images, seed)
        given = self._files.keys() | self._boxes.keys()
        if given:
            has = np.array([record.path in given for record in chosen.records])
            if not has.all():
                self.notes.append(f"{int((~has).sum())} images have no mask or box, and are left out of the masking audit")
            self.covered &= has
        self._leave_out_bad_masks(chosen.where(self.covered))
        if self._files:
            self.covered &= np.array([record.path in self._files for record in chosen.records])

    def _leave_out_bad_masks(self, chosen: AuditSample) -> None:
        bad = unusable_masks(self._files, chosen.records)
        if not bad:
            return
        first = next(iter(bad.values()))
        if len(bad) == len(chosen.records):
            raise DataError(
                f"expected masks that can be used (audit.masks), none of {len(bad)} can: {first}", code="E_DATA_MASKS"
            )
        self._files = {path: file for path, file in self._files.items() if path not in bad}
        self.notes.append(f"{len(bad)} masks cannot be used and are left out of the masking audit, such as {first}")

    def masks(self, spec: FrameSpec) -> tuple[Mask, ...]:
        """Return every mask for a frame."""
        found = []
        for part in self._config.discs:
            region = disc(spec, part)
            found += [Mask(shows=shows, disc=part, region=region) for shows in ("surroundings", "centre")]
        regions = None
        if self._files:
            regions = regions_of_files(self._files, spec)
        elif self._boxes:
            regions = regions_of_boxes(self._boxes, spec)
        if regions is not None:
            found += [Mask(shows=shows, disc=None, region=regions) for shows in ("surroundings", "centre", "shape")]
        return tuple(found)

    def measure(
        self, embedded: EmbeddedImages, masks: Sequence[Mask], deployed: DeployedNetwork | None, progress: Progress
    ) -> MaskAudit | None:
        """Predict the label from what each mask leaves visible.

        Args:
            embedded: Features of all chosen images, and of the covered ones under every mask.
            masks: Masks that the covered ones were described under.
            deployed: Trained network that is shown covered test images; None for none.
            progress: Receiver of the progress.

        Returns:
            Scores of each mask; None where fewer than two classes or groups are left.
        """
        part = self._chosen.where(self.covered)
        if part.group_count < 2 or len(np.unique(part.labels)) < 2:
            self.notes.append("too few images have a mask or box for the masking audit")
            return None
        folds = group_folds(part.labels, part.groups, min(FOLDS, part.group_count), self._seed)
        correct: list[Rate | None] = [None] * (1 + len(masks))
        base = None
        if deployed is not None:
            tested = self._tested()
            if tested.records:
                right = predict_occluded(deployed, tested.records, self.masks(deployed.input.frame), progress)
                groups = [record.group for record in tested.records]
                correct = [rate_by_group(row, groups) for row in right]
                base = majority(tested.labels)
        classes = len(self._index.labels)

        def row(shown: Mask | None, features: Features, visible: float, rate: Rate | None) -> MaskScore:
            scores = Ridge(features, part.labels, classes).out_of_fold(folds)
            return MaskScore(
                shows=shown.shows if shown else "whole",
                disc=shown.disc if shown else None,
                visible=visible,
                accuracy=score_accuracy(scores, part.labels, part.groups),
                auc=auc(scores, part.labels, part.groups),
                deployed=rate if shown is None or shown.shows != "shape" else None,
            )

        rows = [row(None, embedded.whole[self.covered], 1.0, correct[0])]
        for mask, features, visible, rate in zip(masks, embedded.masked, embedded.visible, correct[1:], strict=True):
            rows.append(row(mask, features, visible, rate))
        return MaskAudit(images=len(part.labels), majority=majority(part.labels), deployed_majority=base, rows=tuple(rows))

    def _tested(self) -> AuditSample:
        given = self._files.keys() | self._boxes.keys()
        tested = number_groups([r for r in self._index.split("test") if not given or r.path in given])
        if not tested.records:
            return tested
        sample = tested.where(sample_groups(tested, self._config.masked_images, self._seed))
        bad = unusable_masks(self._files, sample.records)
        return sample.where(np.array([record.path not in bad for record in sample.records]))
