"""Train one link, or reuse it from an earlier run; every strategy consists of such stages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weckd_edge.artifacts import (
    DatasetIndex,
    FrameSpec,
    InputSpec,
    Link,
    NetworkInput,
    Rate,
    SoftLabels,
    Split,
    Target,
    network_digest,
)
from weckd_edge.config import DistillConfig, TrainConfig
from weckd_edge.core.errors import DataError
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Stage, Workspace, file_ref, sha256_bytes
from weckd_edge.core.stored_array import read_array
from weckd_edge.devices.images.split_frames import SplitFrames, decode_split
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.devices.runtime.stored_predictions import predict_once
from weckd_edge.train.data.pixel_cache import CachedImages, CachePlan, PixelCache, build_cache, open_cache, plan_cache
from weckd_edge.train.distill.evaluate import as_trained, predict_records, record_accuracy
from weckd_edge.train.distill.linear_probe import fit_linear_probe, plain_inputs
from weckd_edge.train.distill.link_plan import LinkPlan
from weckd_edge.train.distill.loop.class_weights import balanced_weights
from weckd_edge.train.distill.loop.distributed import fabric_for, shared_stage
from weckd_edge.train.distill.loop.early_stopping import EarlyStopping, score_validation
from weckd_edge.train.distill.loop.engine import RANDOM_CLASSIFIER, TrainingRun, fit_student
from weckd_edge.train.distill.loop.process_folders import kept_here
from weckd_edge.train.distill.loop.sampler import TrainingImages
from weckd_edge.train.distill.loop.task import DistillationTask, LabelTask, Teacher, TrainingTask
from weckd_edge.train.distill.model_soup import make_soup, measure_batch_norms
from weckd_edge.train.distill.reproducible import reproducible
from weckd_edge.train.distill.training_cost import metered
from weckd_edge.train.networks.models import (
    CreatedStudent,
    Student,
    create_student,
    has_pretrained_backbone,
    inherit_weights,
    load_link,
    save_weights,
    weights_of,
)
from weckd_edge.train.quantize_aware.fake_quantize import RoundedStudent
from weckd_edge.train.run_logging.base import NO_RUN_LOGGER, Curves, RunLogger

SHOWN_IMAGES = 128
"""Number of images on which a pruned network's channels are chosen, and a rounded one's first ranges are found."""
SHOWN_BATCH = 32

NO_TEACHING = DistillConfig()


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkJob:
    """Training of one link: the network, its labels and its teachers.

    Attributes:
        name: Name of the link, ``M1``, ... or ``baseline``.
        plan: Network of the link.
        labelled_subset: Labelled subset of its own.
        labelled_subsets: Labelled subsets that it sees; None for the labels of all training images.
        held_out: Rows of training images of these subsets whose labels it does not see all the same.
        seed: Seed of its weights and batches.
        train: Settings of the loop.
        start: Trained link of the same model, as wide or wider, to start from; None starts from the network's own weights.
        teachers: Trained links, the nearest last; empty for a link that learns from labels alone.
        unlabelled: Whether it sees the other training images, without labels.
        distill: Settings of the distillation, without effect where there is no teacher.
        corrected: Whether a teacher is left out where it misses a label that this link sees.
        soft_labels: Soft labels of the teachers from outside; None where these do not teach it.
        soup: Links of the same network whose weights are averaged with this one's after training, where that helps.
        rounded: Target whose int8 graph it learns to predict as, with its values rounded; None rounds none.
    """

    name: str
    plan: LinkPlan
    labelled_subset: int
    labelled_subsets: tuple[int, ...] | None
    seed: int
    train: TrainConfig
    start: Stage[Link] | None = None
    teachers: tuple[Stage[Link], ...] = ()
    unlabelled: bool = False
    distill: DistillConfig = NO_TEACHING
    corrected: bool = False
    soup: tuple[Stage[Link], ...] = ()
    rounded: Target | None = None
    soft_labels: Stage[SoftLabels] | None = None
    held_out: tuple[int, ...] = ()

    @property
    def is_taught(self) -> bool:
        """Whether it has a teacher of any kind."""
        return bool(self.teachers) or self.soft_labels is not None


class Trainer:
    """Trains links on one data set, each as a stage of a workspace.

    Args:
        workspace: Workspace for finished links.
        root: Folder of the data set.
        index: Index of the data set with its split.
        spec: Camera frame.
        sizes: Sides of the network inputs of all links, pixels.
        progress: Receiver of the progress.
        unlabelled: Folder of the index's unlabelled frames; None where it has none.

    Attributes:
        logger: Logger of the run that the links belong to.
        used: Folders of all that it was asked for, trained here or found, each once: what a strategy costs is in them.

    Raises:
        DataError: The index names unlabelled frames and no folder is given.
    """

    def __init__(
        self,
        workspace: Workspace,
        root: Path,
        index: DatasetIndex,
        spec: FrameSpec,
        sizes: Sequence[int],
        progress: Progress,
        unlabelled: Path | None = None,
    ) -> None:
        self.logger: RunLogger = NO_RUN_LOGGER
        self.used: dict[Path, None] = {}
        self.workspace = workspace
        self.root = root
        self.index = index
        self.progress = progress
        self._decoded: dict[str, SplitFrames] = {}
        self._cached: dict[CachePlan, dict[int, CachedImages]] = {}
        self.train = index.split("train")
        # Unlabelled frames come behind the training images, with a label that no loss reads.
        self.labels = np.array([r.label for r in self.train] + [-1] * len(index.unlabelled), dtype=np.int64)
        self.paths = [root / r.path for r in self.train]
        if index.unlabelled and unlabelled is None:
            raise DataError(
                "the index names unlabelled frames: expected the folder they lie in, got none", code="E_DATA_UNLABELLED"
            )
        self.paths += [unlabelled / r.path for r in index.unlabelled if unlabelled is not None]
        self.spec = spec
        self.cache_plan = plan_cache(len(self.paths), spec, sizes)

    def link(self, job: LinkJob) -> Stage[Link]:
        """Train one link, or reuse it from an earlier run: its record names the classes as this data set does."""
        plan = job.plan
        inputs = {
            "link": replace(plan.config, weights=None, weights_licence=None),
            "weights": plan.start_sha256,
            "input": plan.input,
            "name": job.name,
            "labelled_subset": job.labelled_subset,
            "labelled_subsets": job.labelled_subsets,
            "held_out": job.held_out,
            "sees_unlabelled": job.unlabelled,
            "seed": job.seed,
            "start": job.start.artifact.weights.sha256 if job.start else None,
            "corrected": job.corrected and job.is_taught,
            "soup": [link.artifact.weights.sha256 for link in job.soup],
            "rounded": job.rounded,
            "teachers": [teacher.artifact.weights.sha256 for teacher in job.teachers],
            "places": self.cache_plan.places,
            "data": self.index.identity(),
            "unlabelled": [r.pixels_sha256 for r in self.index.unlabelled] if job.unlabelled else None,
            "train": job.train.identity(),
            "soft_labels": job.soft_labels.artifact.training.sha256 if job.soft_labels else None,
            "agreement": job.soft_labels.artifact.agreement.sha256 if job.soft_labels and job.distill.by_agreement else None,
            "distill": job.distill.identity(unlabelled=job.unlabelled) if job.is_taught else None,
        }
        key = key_of(inputs, "weckd_edge.train.distill.trainer")
        scratch = self.workspace.scratch(f"link-{job.name}", key)

        def make(folder: Path) -> Link:
            curves = self.logger.link(job.name, _logged_settings(job), scratch)
            self._decode_all(plan.input.frame)
            with metered(folder), reproducible(job.train.threads):
                link = self._train(job, folder, scratch, curves)
            steps = (link.epochs or 0) * job.train.steps_per_epoch
            curves.add(steps, {"final validation accuracy": link.val_accuracy.value})
            curves.end()
            return link

        link = shared_stage(job.train, self.workspace, f"link-{job.name}", Link, key, make)
        self.used[link.folder] = None
        # A class that was renamed since needs no training anew.
        return replace(link, artifact=replace(link.artifact, labels=self.index.labels))

    def _decode_all(self, frame: FrameSpec) -> None:
        """Decode the images of all splits, so that the first link to see them does not seem the dearer for it."""
        self.cached_images()
        self.frames("val", frame)
        self.frames("test", frame)

    def open_feed(self, job: LinkJob) -> TrainingImages:
        """Return the images that a link learns from; their pixels are cached in the workspace."""
        seen = self.sees(job.labelled_subsets)
        seen[list(job.held_out)] = False
        labelled = np.flatnonzero(seen)
        sizes = {job.plan.input.network.side, *(teacher.artifact.input.network.side for teacher in job.teachers)}
        cached = self.cached_images()
        unlabelled = np.flatnonzero(~seen) if job.unlabelled else np.zeros(0, dtype=np.int64)
        return TrainingImages(
            images={size: cached[size] for size in sorted(sizes)},
            labels=self.labels,
            labelled=labelled,
            unlabelled=unlabelled,
            unlabelled_per_labelled=job.distill.unlabelled_per_labelled,
            unlabelled_shares=_agreement(job.soft_labels)[unlabelled]
            if job.soft_labels and job.distill.by_agreement
            else None,
            class_weights=balanced_weights(self.labels[labelled]) if job.train.class_weights == "balanced" else None,
        )

    def cached_images(self) -> dict[int, CachedImages]:
        """Return all training images, then the unlabelled ones, by the size of the networks that they are cached for.

        Their files are verified once, where they are first asked for.
        """
        if self.cache_plan not in self._cached:
            self._cached[self.cache_plan] = self._cache_images()
        return self._cached[self.cache_plan]

    def _cache_images(self) -> dict[int, CachedImages]:
        stage = self.workspace.stage(
            "pixels",
            PixelCache,
            key_of(
                {
                    "images": [r.pixels_sha256 for r in self.train] + [r.pixels_sha256 for r in self.index.unlabelled],
                    "plan": self.cache_plan,
                },
                "weckd_edge.train.data.pixel_cache",
            ),
            lambda folder: build_cache(self.paths, self.cache_plan, folder, self.progress),
        )
        return open_cache(stage.artifact, stage.folder)

    def predict(self, link: Stage[Link], split: Split) -> Probabilities:
        """Return what a trained link predicts of a split's images, ``[N, classes]``; recorded predictions are read."""
        artifact = link.artifact
        return self._predict(artifact.network_sha256, lambda: load_link(artifact, link.folder), artifact.input, split)

    def sees(self, labelled_subsets: tuple[int, ...] | None) -> NDArray[np.bool_]:
        """Return whether the label of each training image may be seen, and of each unlabelled one, which has none."""
        seen = np.zeros(len(self.labels), dtype=bool)
        seen[: len(self.train)] = [labelled_subsets is None or r.labelled_subset in labelled_subsets for r in self.train]
        return seen

    def _train(self, job: LinkJob, folder: Path, scratch: Path, curves: Curves) -> Link:
        plan = job.plan
        feed = self.open_feed(job)
        shown = _shown(feed, plan.input.network)
        torch.manual_seed(job.seed)
        created = create_student(plan.config, len(self.index.labels), shown if job.start is None else ())
        if job.start is not None:
            inherit_weights(created.student, load_link(job.start.artifact, job.start.folder), shown)
        created.student.to(device := fabric_for(job.train).device)
        feed = feed.on(device)

        def evaluate(student: Student) -> float:
            return self._accuracy(replace(created, student=student), plan.input, "val").value

        if job.start is not None and job.start.artifact.width > plan.config.width:
            measure_batch_norms(created.student, feed, plan.input.network, evaluate)
        with_probe = (
            job.train.linear_probe
            and job.start is None
            and has_pretrained_backbone(plan.config)
            and fit_linear_probe(created.student, feed, plan.input.network, len(self.index.labels))
        )
        stopping = self._stopping(job)
        fit_student(
            RoundedStudent(created.student.backbone, _shown(feed, plan.input.network), job.rounded)
            if job.rounded
            else created.student,
            self._task(job),
            feed,
            job.train,
            TrainingRun(
                name=f"train {job.name} ({plan.config.model}, {plan.input.network.side} px)",
                seed=job.seed,
                scratch=scratch,
                kept=kept_here(scratch, self.workspace),
                classifier_rate=1.0 if with_probe or job.start or created.knows_classes else RANDOM_CLASSIFIER,
                curves=curves,
            ),
            self.progress,
            stopping,
        )

        if job.soup:
            make_soup(
                created.student,
                [load_link(link.artifact, link.folder) for link in reversed(job.soup)],
                evaluate,
            )
        if not job.rounded:  # the batch norms of a rounded network were fixed during training
            measure_batch_norms(created.student, feed, plan.input.network, evaluate)
        path = folder / "weights.safetensors"
        save_weights(created.student, path)
        return Link(
            name=job.name,
            model=created.architecture,
            options=created.options,
            input=plan.input,
            labels=self.index.labels,
            parameters=plan.size.parameters,
            macs=plan.size.macs,
            weights=file_ref(folder, path),
            parent=job.teachers[-1].artifact.weights.sha256 if job.teachers else None,
            labelled_subset=job.labelled_subset,
            labels_used=len(feed.labelled),
            images_used=len(feed.labelled) + len(feed.unlabelled),
            val_accuracy=self._accuracy(created, plan.input, "val"),
            test_accuracy=self._accuracy(created, plan.input, "test"),
            width=plan.config.width,
            epochs=job.train.epochs if stopping is None else stopping.epochs,
        )

    def _stopping(self, job: LinkJob) -> EarlyStopping | None:
        """Return the early stopping of a training; None where the settings ask for all epochs."""
        if not job.train.patience:
            return None
        spec = job.plan.input
        return EarlyStopping(
            job.train.patience, lambda student: score_validation(student, spec, self.frames("val", spec.frame))
        )

    def _task(self, job: LinkJob) -> TrainingTask:
        if not job.is_taught:
            return LabelTask(job.plan.input.network)
        kept = job.soft_labels and read_array(job.soft_labels.folder, job.soft_labels.artifact.training)
        teachers = [Teacher(load_link(t.artifact, t.folder), t.artifact.input.network) for t in job.teachers]
        return DistillationTask(
            teachers,
            job.plan.input.network,
            job.distill,
            len(self.index.labels),
            corrected=job.corrected,
            soft_labels=None if kept is None else torch.from_numpy(kept),
        )

    def _accuracy(self, created: CreatedStudent, spec: InputSpec, split: Split) -> Rate:
        """Return the rate of a split's images that a student predicts rightly."""
        student = created.student
        digest = network_digest(created.architecture, created.options, sha256_bytes(weights_of(student)))
        return record_accuracy(self._predict(digest, lambda: student, spec, split), self.frames(split, spec.frame).records)

    def _predict(
        self, network_sha256: str, open_student: Callable[[], Student], spec: InputSpec, split: Split
    ) -> Probabilities:
        """Return a student's predictions of a split's images.

        They are recorded under its network's digest, so that no later step runs these images through it again.
        """
        images = self.frames(split, spec.frame)
        model = as_trained(network_sha256, spec)
        return predict_once(self.workspace, model, images, lambda: predict_records(open_student(), spec, images))

    def frames(self, split: Split, frame: FrameSpec) -> SplitFrames:
        """Return the decoded images of a split."""
        if split not in self._decoded:
            self._decoded[split] = decode_split(self.workspace, self.index, split, self.root, frame, self.progress)
        return self._decoded[split]


def _agreement(soft_labels: Stage[SoftLabels]) -> NDArray[np.float32]:
    """Return how far the teachers from outside agree on each image, ``[N]``, 0..1."""
    return read_array(soft_labels.folder, soft_labels.artifact.agreement)


def _shown(feed: TrainingImages, network_input: NetworkInput) -> Iterator[Tensor]:
    """Yield some of the images that a link learns from, in batches, without random views."""
    seen = np.random.default_rng(0).permutation(np.concatenate([feed.labelled, feed.unlabelled]))[:SHOWN_IMAGES]
    for part in np.array_split(seen, math.ceil(len(seen) / SHOWN_BATCH)):
        yield plain_inputs(feed, part, network_input)


def _logged_settings(job: LinkJob) -> dict[str, str]:
    """Return the settings of a link's training, by their names, as a logger shows them."""
    train = job.train.identity()
    return {
        "model": job.plan.config.model,
        "input_size": str(job.plan.input.network.side),
        "width": f"{job.plan.config.width:g}",
        "seed": str(job.seed),
        "teachers": ", ".join(
            [*(teacher.artifact.name for teacher in job.teachers), *(["outside"] if job.soft_labels else [])]
        )
        or "none",
        **{f"train.{item.name}": str(getattr(train, item.name)) for item in fields(train)},
    }
