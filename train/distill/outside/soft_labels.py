"""Soft labels of the teachers from outside, for every training image, computed once and kept.

An image has one soft label, which is that of each of its random views in training. A classifier that is
fitted in folds, or a network that is fine-tuned in folds, predicts a labelled image without having seen its group. A network
that is fine-tuned from several seeds, as by default, has seen the labelled images that it predicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.artifacts import Rate, SoftLabels
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Stage, Workspace, file_ref, write_array
from weckd_edge.metrics.intervals import rate_by_group
from weckd_edge.train.distill.loop.distributed import shared_stage
from weckd_edge.train.distill.outside.heads import Floats, FoldPredictions, LabelledImages, fit_by_folds, join_folds
from weckd_edge.train.distill.outside.teacher import OutsideTeacher
from weckd_edge.train.distill.outside.teacher_outputs import ShownImages, TeacherViews, teacher_outputs
from weckd_edge.train.distill.reproducible import reproducible
from weckd_edge.train.distill.training_cost import metered

if TYPE_CHECKING:
    from weckd_edge.config import BuildConfig

CODE = "weckd_edge.train.distill.outside.soft_labels"

SMALLEST = 1e-6
"""Least probability of a soft label, so that its logarithm is finite."""

LEAST_AGREEMENT = 0.01
"""Agreement of predictors that could not differ more, so that their images are still shown at times."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TaughtImages:
    """Images that soft labels are made for, and the labels that may be used for it.

    Attributes:
        training: Training images, then unlabelled ones.
        validation: Validation images.
        labelled: Training images whose label may be used.
        labels: Class names.
    """

    training: ShownImages
    validation: ShownImages
    labelled: LabelledImages
    labels: tuple[str, ...]

    def identity(self) -> object:
        """Return what soft labels depend on, for keys."""
        used = [[int(row), int(label)] for row, label in zip(self.labelled.rows, self.labelled.labels, strict=True)]
        files = [[list(files.digests), files.spec, files.places] for files in (self.training, self.validation)]
        return [files, used, list(self.labelled.groups), self.labels]


@dataclass(frozen=True, kw_only=True, slots=True)
class TunedTeacher:
    """A teacher that was fine-tuned, as networks whose predictions are averaged.

    Attributes:
        networks: The networks, each with a classifier of the data set's classes.
        by_fold: Whether each was trained without one fold of the labelled images, in the order of the folds.
    """

    networks: tuple[OutsideTeacher, ...]
    by_fold: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Teachers:
    """Teachers from outside, as they are run.

    Attributes:
        fixed: Teachers that stay as they are.
        tuned: Teachers that were fine-tuned.
    """

    fixed: tuple[OutsideTeacher, ...]
    tuned: tuple[TunedTeacher, ...] = ()

    def identity(self, labels: tuple[str, ...]) -> object:
        """Return what soft labels depend on, for keys."""
        fixed = [[one.identity, one.input, one.head_for(labels)] for one in self.fixed]
        return [
            fixed,
            [[one.by_fold, [[network.identity, network.input] for network in one.networks]] for one in self.tuned],
        ]

    def modules(self) -> list[str]:
        """Return the modules of this package that run them."""
        return sorted({module for one in self.fixed for module in one.modules})


def soft_labels_once(
    workspace: Workspace, teachers: Teachers, images: TaughtImages, config: BuildConfig, progress: Progress
) -> Stage[SoftLabels]:
    """Return the soft labels of the teachers, from the store where an earlier run has made them.

    Args:
        workspace: The store.
        teachers: The teachers, at least one.
        images: Images to predict, and labels to use.
        config: Settings of the build: its seed, folds and views.
        progress: Receiver of the progress.

    Raises:
        ModelError: A teacher cannot be run, or its own classifier has other classes.
        DataError: A class has too few groups of labelled images to leave one out.
    """
    views = TeacherViews(count=config.distill.teacher_views, strength=config.train.augment, seed=config.seed)
    inputs = {
        "teachers": teachers.identity(images.labels),
        "images": images.identity(),
        "views": views,
        "folds": config.distill.teacher_folds,
    }

    def make(folder: Path) -> SoftLabels:
        with metered(folder), reproducible(config.train.threads):
            return make_soft_labels(workspace, teachers, images, views, config.distill.teacher_folds, folder, progress)

    key = key_of(inputs, CODE, *teachers.modules())
    return shared_stage(config.train, workspace, "soft-labels", SoftLabels, key, make)


def make_soft_labels(
    workspace: Workspace,
    teachers: Teachers,
    images: TaughtImages,
    views: TeacherViews,
    folds: int,
    folder: Path,
    progress: Progress,
) -> SoftLabels:
    """Write the soft labels of the teachers into a folder; each network runs once on each view of an image.

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

    def run(teacher: OutsideTeacher, labels: tuple[str, ...] | None) -> Floats:
        shown = (images.training, images.validation)
        found = [teacher_outputs(workspace, teacher, some, views, labels, progress) for some in shown]
        return np.concatenate(found).astype(np.float64)

    own = [run(one, images.labels) for one in teachers.fixed if one.head_for(images.labels) == "own"]
    features = [run(one, None) for one in teachers.fixed if one.head_for(images.labels) == "ridge"]
    every = [one[None] for one in own]
    by_folds: list[FoldPredictions] = []
    needs_folds = features or any(one.by_fold for one in teachers.tuned)
    fold_of = images.labelled.deal(folds, views.seed) if needs_folds else np.zeros(0, np.int64)
    if features:
        by_folds.append(fit_by_folds(features, images.labelled, fold_of, len(images.labels)))
    for tuned in teachers.tuned:
        outputs = np.stack([run(one, images.labels) for one in tuned.networks])
        if tuned.by_fold:
            by_folds.append(FoldPredictions(by_fold=outputs, together=join_folds(outputs, images.labelled, fold_of)))
        else:
            own.append(outputs.mean(axis=0))
            every.append(outputs)
    together = np.mean([*own, *(one.together for one in by_folds)], axis=0)
    border = len(images.training.digests)
    arrays = {
        "training": np.log(np.maximum(together[:border], SMALLEST)),
        "validation": together[border:],
        "agreement": agreement_of(np.concatenate([*every, *(one.by_fold for one in by_folds)])[:, :border]),
    }
    files = {name: folder / f"{name}.npy" for name in arrays}
    for name, values in arrays.items():
        write_array(files[name], values.astype(np.float32))
    return SoftLabels(
        training=file_ref(folder, files["training"]),
        validation=file_ref(folder, files["validation"]),
        agreement=file_ref(folder, files["agreement"]),
        folds=int(fold_of.max()) + 1 if by_folds else 0,
        views=views.used,
        labels_used=len(images.labelled.rows) if by_folds or teachers.tuned else 0,
        out_of_fold=_rate_out_of_fold(by_folds, images.labelled),
    )


def _rate_out_of_fold(by_folds: Sequence[FoldPredictions], labelled: LabelledImages) -> Rate | None:
    if not by_folds:
        return None
    unseen = np.mean([one.together[labelled.rows] for one in by_folds], axis=0)
    return rate_by_group(unseen.argmax(axis=1) == labelled.labels, labelled.groups)


def agreement_of(probabilities: Floats) -> Floats:
    """Return how far predictors agree on each image ``[N]``, over 0 to 1, from their probabilities ``[P, N, classes]``.

    One minus the mutual information of the decision and the predictor, as a part of the largest that so many predictors and
    classes can have: 1 where all say the same, however unsure they are (Houlsby et al. 2011, arXiv 1112.5745).
    """
    predictors, _, classes = probabilities.shape
    most = np.log(min(predictors, classes))
    if most == 0:
        return np.ones(probabilities.shape[1])
    information = _entropy(probabilities.mean(axis=0)) - _entropy(probabilities).mean(axis=0)
    found: Floats = np.clip(1 - information / most, LEAST_AGREEMENT, 1)
    return found


def _entropy(probabilities: Floats) -> Floats:
    entropy: Floats = -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=-1)
    return entropy
