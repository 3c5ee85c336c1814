"""Soft labels of the teachers from outside, for every training image, computed once and kept.

An image has one soft label, which is that of each of its random views in training. Where a classifier was fitted on an
image's label, its soft label comes from one that was fitted without the image's group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.artifacts import SCHEMA_VERSION, FileRef, Rate
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Stage, Workspace, file_ref, write_array
from weckd_edge.metrics.intervals import rate_by_group
from weckd_edge.train.distill.distributed import shared_stage
from weckd_edge.train.distill.outside.heads import Floats, LabelledImages, fit_by_folds
from weckd_edge.train.distill.outside.teacher import OutsideTeacher
from weckd_edge.train.distill.outside.teacher_outputs import ImageFiles, TeacherViews, teacher_outputs
from weckd_edge.train.distill.training_cost import metered

if TYPE_CHECKING:
    from weckd_edge.config import BuildConfig

CODE = "weckd_edge.train.distill.outside.soft_labels"

SMALLEST = 1e-6
"""Least probability of a soft label, so that its logarithm is finite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftLabels:
    """Soft labels of all teachers from outside together: the mean of their probabilities.

    Teachers whose classifier is fitted here are one member of this mean: one regression reads the features of all of them.
    Each teacher with a classifier of its own is one more member.

    Attributes:
        training: float32 ``[N, classes]`` as ``.npy``, log-probabilities of the index's training images in order, then of
            the unlabelled ones.
        validation: float32 ``[V, classes]`` as ``.npy``, probabilities of the validation images in order.
        folds: Number of folds that a classifier was fitted without, one each; 0 where none was fitted.
        views: Number of views of an image that a teacher's output is the mean over.
        labels_used: Number of labels that classifiers were fitted on.
        out_of_fold: Accuracy on these labelled images, each predicted without its group; None where none was fitted.
        schema_version: Version of this record's fields.
    """

    training: FileRef
    validation: FileRef
    folds: int
    views: int
    labels_used: int
    out_of_fold: Rate | None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TaughtImages:
    """Images that soft labels are made for, and the labels that may be used for it.

    Attributes:
        training: Training images, then unlabelled ones.
        validation: Validation images.
        labelled: Training images whose label may be used.
        labels: Class names.
    """

    training: ImageFiles
    validation: ImageFiles
    labelled: LabelledImages
    labels: tuple[str, ...]

    def identity(self) -> object:
        """Return what soft labels depend on, for keys."""
        used = [[int(row), int(label)] for row, label in zip(self.labelled.rows, self.labelled.labels, strict=True)]
        files = [[list(files.digests), files.spec] for files in (self.training, self.validation)]
        return [files, used, list(self.labelled.groups), self.labels]


def soft_labels_once(
    workspace: Workspace,
    teachers: Sequence[OutsideTeacher],
    images: TaughtImages,
    config: BuildConfig,
    progress: Progress,
) -> Stage[SoftLabels]:
    """Return the soft labels of the teachers, from the store where an earlier run has made them.

    Args:
        workspace: The store.
        teachers: The teachers.
        images: Images to predict, and labels to use.
        config: Settings of the build: its seed, folds and views.
        progress: Receiver of the progress.

    Raises:
        ConfigError: There is no teacher.
        ModelError: A teacher cannot be run, or its own classifier has other classes.
        DataError: A class has too few groups of labelled images to leave one out.
    """
    if not teachers:
        raise ConfigError(
            "a strategy that ends in '+teachers' learns from the networks of distill.teachers; expected one or more, found "
            "none: name some, or leave '+teachers' out",
            code="E_CONFIG_CONFLICT",
        )
    views = TeacherViews(count=config.distill.teacher_views, strength=config.train.augment, seed=config.seed)
    inputs = {
        "teachers": [[one.identity, one.input, one.head_for(images.labels)] for one in teachers],
        "images": images.identity(),
        "views": views,
        "folds": config.distill.teacher_folds,
    }

    def make(folder: Path) -> SoftLabels:
        with metered(folder):
            return make_soft_labels(workspace, teachers, images, views, config.distill.teacher_folds, folder, progress)

    key = key_of(inputs, CODE, *sorted({module for one in teachers for module in one.modules}))
    return shared_stage(config.train, workspace, "soft-labels", SoftLabels, key, make)


def make_soft_labels(
    workspace: Workspace,
    teachers: Sequence[OutsideTeacher],
    images: TaughtImages,
    views: TeacherViews,
    folds: int,
    folder: Path,
    progress: Progress,
) -> SoftLabels:
    """Write the soft labels of the teachers into a folder; each teacher runs once on each view of an image.

    Args:
        workspace: Store of the teachers' outputs.
        teachers: The teachers, at least one.
        images: Images to predict, and labels to use.
        views: Views that a teacher's output is the mean over; their seed also deals the folds.
        folds: Number of folds at most.
        folder: Folder to write to; exists.
        progress: Receiver of the progress.

    Raises:
        ModelError: A teacher cannot be run, or its own classifier has other classes.
        DataError: A class has too few groups of labelled images to leave one out.
    """
    members: list[Floats] = []
    features: list[Floats] = []
    for teacher in teachers:
        own = images.labels if teacher.head_for(images.labels) == "own" else None
        found = [
            teacher_outputs(workspace, teacher, files, views, own, progress)
            for files in (images.training, images.validation)
        ]
        (features if own is None else members).append(np.concatenate(found).astype(np.float64))
    used, of_labelled = 0, None
    if features:
        fitted, used = fit_by_folds(features, images.labelled, len(images.labels), folds=folds, seed=views.seed)
        members.append(fitted)
        right = fitted[images.labelled.rows].argmax(axis=1) == images.labelled.labels
        of_labelled = rate_by_group(right, images.labelled.groups)
    together = np.mean(members, axis=0)
    border = len(images.training.paths)
    paths = folder / "training.npy", folder / "validation.npy"
    write_array(paths[0], np.log(np.maximum(together[:border], SMALLEST)).astype(np.float32))
    write_array(paths[1], together[border:].astype(np.float32))
    return SoftLabels(
        training=file_ref(folder, paths[0]),
        validation=file_ref(folder, paths[1]),
        folds=used,
        views=views.used,
        labels_used=len(images.labelled.rows) if features else 0,
        out_of_fold=of_labelled,
    )
