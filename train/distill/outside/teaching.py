"""Make the teachers from outside ready for a chain: train those that are fine-tuned, and make the soft labels of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from weckd_edge.artifacts import DatasetIndex, Link, SoftLabels
from weckd_edge.config import BuildConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.store import Stage
from weckd_edge.train.distill.link_plan import plan_link
from weckd_edge.train.distill.loop.distributed import fabric_for
from weckd_edge.train.distill.outside.heads import LabelledImages
from weckd_edge.train.distill.outside.soft_labels import TaughtImages, Teachers, TunedTeacher, soft_labels_once
from weckd_edge.train.distill.outside.teacher import FineTuning, OutsideTeacher, torch_teacher
from weckd_edge.train.distill.outside.teacher_outputs import ShownImages, pictures_of_cache, pictures_of_frames
from weckd_edge.train.distill.trainer import LinkJob, Trainer
from weckd_edge.train.networks.models import load_link

FIRST_TEACHER = 100
"""Seed of a teacher's first training, behind those of the links."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Teaching:
    """What teachers from outside teach.

    Attributes:
        soft_labels: Soft labels of the teachers for all training images.
        networks: Networks that were trained for it.
    """

    soft_labels: Stage[SoftLabels]
    networks: tuple[Stage[Link], ...]


def prepare_teachers(
    trainer: Trainer,
    teachers: Sequence[OutsideTeacher],
    labelled_subsets: tuple[int, ...] | None,
    config: BuildConfig,
) -> Teaching:
    """Return the soft labels of all teachers from the labels of some subsets alone; what an earlier run has made is reused.

    Args:
        trainer: Trainer of the links, whose images are taught.
        teachers: The teachers.
        labelled_subsets: Labelled subsets whose labels may be used; None for the labels of all training images.
        config: Settings of the build.

    Raises:
        ConfigError: There is no teacher.
        ModelError: A teacher cannot be run, or its own classifier has other classes.
        DataError: A class has too few groups of labelled images to leave one out, or a teacher was trained on held-out
            images.
    """
    if not teachers:
        raise ConfigError(
            "a strategy that ends in '+teachers' learns from the networks of distill.teachers; expected one or more, found "
            "none: name some, or leave '+teachers' out",
            code="E_CONFIG_CONFLICT",
        )
    images, fixed, tuned = _taught_images(trainer, labelled_subsets), [], []
    networks: list[Stage[Link]] = []
    for teacher in teachers:
        teacher.refuse_held_out(trainer.index)
        tuning = teacher.fine_tuning
        if tuning is None or teacher.head_for(images.labels) != "fine-tune":
            fixed.append(teacher)
            continue
        jobs = _trainings(trainer, tuning, images.labelled, labelled_subsets, config)
        links = [trainer.link(job) for job in jobs]
        networks += links
        opened = tuple(_opened(teacher.name, link) for link in links)
        tuned.append(TunedTeacher(networks=opened, by_fold=tuning.seeds is None))
    for runs in (*fixed, *(network for one in tuned for network in one.networks)):
        runs.move_to(fabric_for(config.train).device)
    made = soft_labels_once(
        trainer.workspace, Teachers(fixed=tuple(fixed), tuned=tuple(tuned)), images, config, trainer.progress
    )
    trainer.used[made.folder] = None
    return Teaching(soft_labels=made, networks=tuple(networks))


def sizes_of(teachers: Sequence[OutsideTeacher]) -> list[int]:
    """Return the sides of the teachers' inputs, pixels."""
    return [teacher.input.side for teacher in teachers]


def identities_of(teachers: Sequence[OutsideTeacher]) -> object:
    """Return what the teachers' soft labels depend on beside images and settings, for keys: the same on every machine."""
    return [[one.identity, one.input, one.head, _without_path(one.fine_tuning)] for one in teachers]


def _without_path(tuning: FineTuning | None) -> FineTuning | None:
    """Return settings without the path of the weights, whose content a teacher's identity holds."""
    return tuning if tuning is None else replace(tuning, link=replace(tuning.link, weights=None, weights_licence=None))


def _taught_images(trainer: Trainer, labelled_subsets: tuple[int, ...] | None) -> TaughtImages:
    index: DatasetIndex = trainer.index
    val, rows = index.split("val"), np.flatnonzero(trainer.sees(labelled_subsets))
    digests = [*(r.pixels_sha256 for r in trainer.train), *(r.pixels_sha256 for r in index.unlabelled)]
    return TaughtImages(
        training=ShownImages(
            digests=digests,
            spec=trainer.spec,
            places=trainer.cache_plan.places,
            pictures=lambda size: pictures_of_cache(trainer.cached_images()[size]),
        ),
        validation=ShownImages(
            digests=[r.pixels_sha256 for r in val],
            spec=trainer.spec,
            places=trainer.cache_plan.places,
            pictures=lambda size: pictures_of_frames(trainer.frames("val", trainer.spec), trainer.cache_plan, size),
        ),
        labelled=LabelledImages(rows=rows, labels=trainer.labels[rows], groups=[trainer.train[row].group for row in rows]),
        labels=tuple(index.labels),
    )


def _trainings(
    trainer: Trainer,
    tuning: FineTuning,
    labelled: LabelledImages,
    labelled_subsets: tuple[int, ...] | None,
    config: BuildConfig,
) -> list[LinkJob]:
    """Return the trainings of a teacher: with all labels for each of its seeds, or without each fold of them."""
    if tuning.seeds is None:
        fold_of = labelled.deal(config.distill.teacher_folds, config.seed)
        held_out = [tuple(int(row) for row in labelled.rows[fold_of == fold]) for fold in range(int(fold_of.max()) + 1)]
    else:
        held_out = [()] * tuning.seeds
    plan = plan_link(trainer.index, config, tuning.link)
    return [
        LinkJob(
            name=f"teacher-{at}",
            plan=plan,
            labelled_subset=0,
            labelled_subsets=labelled_subsets,
            held_out=rows,
            seed=config.seed * 1000 + FIRST_TEACHER + at,
            train=replace(config.train, epochs=tuning.epochs or config.train.epochs),
        )
        for at, rows in enumerate(held_out, start=1)
    ]


def _opened(name: str, link: Stage[Link]) -> OutsideTeacher:
    found = link.artifact
    return torch_teacher(
        load_link(found, link.folder),
        found.input.network,
        name=name,
        identity=["link", found.weights.sha256, found.model, found.options],
        outputs=len(found.labels),
        labels=tuple(found.labels),
        head="own",
    )
