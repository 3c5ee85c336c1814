"""The chain M1 ► M2 ► M3: each link learns from its predecessor and from its own small share of the labels.

Weakly-supervised chained distillation (Rahman et al., arXiv 2510.14668); that each link is smaller than the one before is
this project's addition.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import timm
import torch

from weckd_edge.artifacts import DatasetIndex, ImageRecord, InputContract, Link
from weckd_edge.config import BuildConfig, InputConfig, LinkConfig
from weckd_edge.progress import Progress
from weckd_edge.store import Stage, Workspace, file_ref, sha256_file
from weckd_edge.train.engine import fit
from weckd_edge.train.evaluate import accuracy, predict
from weckd_edge.train.models import Size, Student, check_order, create, load_link, measure, save_weights
from weckd_edge.train.pixels import PixelCache, build_cache, open_cache
from weckd_edge.train.sampler import Feed
from weckd_edge.train.task import ChainTask, LabelTask, Task

CACHE_MARGIN = 1.15
"""Cached images are this much larger than the largest network input, so that zoomed views stay sharp."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One link before it is trained.

    Attributes:
        name: ``M1``, ... or ``twin``.
        config: As the user asked.
        contract: Its input.
        size: What it costs.
        share: Whose labels it sees.
        seed: Of its weights and batches.
    """

    name: str
    config: LinkConfig
    contract: InputContract
    size: Size
    share: int
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """What training ends with: the links in order, and the last one's undistilled twin (None when switched off)."""

    links: tuple[Stage[Link], ...]
    twin: Stage[Link] | None


def frame_size(index: DatasetIndex, config: InputConfig) -> tuple[int, int]:
    """Return the camera frame ``(height, width)``: the user's, or the commonest size in the data set."""
    if config.frame is not None:
        return config.frame
    counts = Counter((record.height, record.width) for record in index.images)
    return max(counts, key=lambda size: (counts[size], size))


def plan_chain(index: DatasetIndex, config: BuildConfig) -> tuple[Plan, ...]:
    """Make every link once, unweighted by data, to find what is wrong with the chain before any work is done.

    Raises:
        ModelError: A link cannot be made, or is not smaller than its predecessor.
    """
    height, width = frame_size(index, config.input)
    plans = []
    for i, link in enumerate(config.link):
        torch.manual_seed(config.seed * 1000 + i)
        made = create(link, len(index.labels))
        contract = InputContract(
            frame_height=height,
            frame_width=width,
            crop=config.input.crop,
            input_size=link.input_size,
            mean=made.mean,
            std=made.std,
        )
        size = measure(made.student, link.input_size)
        seed = config.seed * 1000 + i
        plans.append(Plan(name=f"M{i + 1}", config=link, contract=contract, size=size, share=i, seed=seed))
    check_order(config.link, [plan.size for plan in plans])
    return tuple(plans)


class Trainer:
    """Trains the links of one build, each as a stage of its workspace."""

    def __init__(
        self, workspace: Workspace, root: Path, index: DatasetIndex, config: BuildConfig, progress: Progress
    ) -> None:
        self.workspace = workspace
        self.root = root
        self.index = index
        self.config = config
        self.progress = progress
        self.train = [r for r in index.images if r.split == "train"]
        self.labels = np.array([r.label for r in self.train], dtype=np.int64)

    def chain(self, plans: Sequence[Plan]) -> Chain:
        """Train all links, then the twin."""
        links: list[Stage[Link]] = []
        for plan in plans:
            links.append(self.link(plan, plans, links[-1] if links else None))
        twin = None
        if self.config.distill.twin:
            twin = self.link(replace(plans[-1], name="twin"), plans, None)
        return Chain(links=tuple(links), twin=twin)

    def link(self, plan: Plan, plans: Sequence[Plan], teacher: Stage[Link] | None) -> Stage[Link]:
        """Train one link, or find it finished."""
        key = {
            "link": replace(plan.config, weights=None),
            "weights": sha256_file(Path(plan.config.weights)) if plan.config.weights else None,
            "contract": plan.contract,
            "share": plan.share,
            "seed": plan.seed,
            "role": plan.name,
            "teacher": None if teacher is None else teacher.artifact.weights.sha256,
            "cache_side": self.cache_side(plans),
            "data": [[r.pixels_sha256, r.label, r.split, r.share] for r in self.index.images],
            "train": self.config.train,
            "distill": replace(self.config.distill, twin=True),
            "versions": [torch.__version__, timm.__version__],
        }
        scratch = self.workspace.scratch(f"link-{plan.name}", key)
        return self.workspace.stage(
            f"link-{plan.name}", Link, key, lambda folder: self._train(plan, plans, teacher, folder, scratch)
        )

    def cache_side(self, plans: Sequence[Plan]) -> int:
        """Return the side of the cached training images, pixels."""
        return round(max(plan.contract.input_size for plan in plans) * CACHE_MARGIN)

    def _feed(self, plan: Plan, plans: Sequence[Plan], pool: bool) -> Feed:
        side = self.cache_side(plans)
        contract = plans[0].contract
        frame = (contract.frame_height, contract.frame_width, contract.crop)
        stage = self.workspace.stage(
            "pixels",
            PixelCache,
            {"images": [r.pixels_sha256 for r in self.train], "side": side, "frame": frame},
            lambda folder: build_cache(self.root, self.train, contract, side, folder, self.progress),
        )
        in_share = np.array([r.share == plan.share for r in self.train])
        return Feed(
            pixels=open_cache(stage.artifact, stage.folder),
            labels=self.labels,
            labelled=np.flatnonzero(in_share),
            pool=np.flatnonzero(~in_share) if pool else np.zeros(0, dtype=np.int64),
        )

    def _train(self, plan: Plan, plans: Sequence[Plan], teacher: Stage[Link] | None, folder: Path, scratch: Path) -> Link:
        torch.manual_seed(plan.seed)
        made = create(plan.config, len(self.index.labels))
        task: Task
        if teacher is None:
            task = LabelTask(plan.contract)
        else:
            teacher_network = load_link(teacher.artifact, teacher.folder)
            task = ChainTask(teacher_network, teacher.artifact.input, plan.contract, self.config.distill)
        feed = self._feed(plan, plans, pool=teacher is not None and self.config.distill.use_pool)
        title = f"train {plan.name} ({plan.config.model}, {plan.contract.input_size} px)"
        fit(
            made.student,
            task,
            feed,
            self.config.train,
            seed=plan.seed,
            name=title,
            scratch=scratch,
            progress=self.progress,
        )
        path = folder / "weights.safetensors"
        save_weights(made.student, path)
        return Link(
            name=plan.name,
            model=made.architecture,
            options=json.dumps(made.options, sort_keys=True),
            input=plan.contract,
            labels=self.index.labels,
            parameters=plan.size.parameters,
            macs=plan.size.macs,
            weights=file_ref(folder, path),
            parent=None if teacher is None else teacher.artifact.weights.sha256,
            share=plan.share,
            labels_used=len(feed.labelled),
            images_used=len(feed.labelled) + len(feed.pool),
            val_accuracy=accuracy(*self._answers(made.student, plan.contract, "val")),
            test_accuracy=accuracy(*self._answers(made.student, plan.contract, "test")),
        )

    def _answers(
        self, student: Student, contract: InputContract, split: str
    ) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], list[ImageRecord]]:
        records = [r for r in self.index.images if r.split == split]
        return predict(student, contract, self.root, records), records
