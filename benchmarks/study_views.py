"""What lies between training views and the frames of a camera, and what closing it brings: paired short trainings.

    python benchmarks/study_views.py --data FOLDER --weights FILE [--seeds 101 102 103] [--sets NAME ...]

Each training is one of short_trainings.py, with all labels, under one of ``VARIANTS``:

- ``views``: random views as a build draws them, of means at two places along each network pixel;
- ``picture``: the same views of one picture of 1.15 times the network's side, which are smoother than a device's frames;
- ``centred``: views whose zoom lies around 1 instead of at most 1, so that things appear as large as in frames on average
  (see Touvron et al. 2019, arXiv 1906.06423).

Each tells the test images' predictions with the batch norms' statistics of the views (``running``) and with those of plain
training images (``plain``), and the accuracies on validation images by which a build chooses one of them. Appends one line a
training to results/views_study.jsonl; a run goes on behind the lines that are there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from record import HERE
from short_trainings import SETS, TRAIN, OneSplit, accuracies_at, digits, read_arguments, run_waiting

from weckd_edge.core.progress import SilentProgress
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.train.data import pixel_cache
from weckd_edge.train.data.pixel_cache import CachePlan
from weckd_edge.train.distill.evaluate import predict_records
from weckd_edge.train.distill.linear_probe import fit_linear_probe
from weckd_edge.train.distill.link_plan import LinkPlan
from weckd_edge.train.distill.loop import sampler
from weckd_edge.train.distill.loop.augmentation import Views, draw_views
from weckd_edge.train.distill.loop.engine import TrainingRun, fit_student
from weckd_edge.train.distill.loop.task import LabelTask
from weckd_edge.train.distill.model_soup import measure_batch_norms
from weckd_edge.train.distill.trainer import LinkJob
from weckd_edge.train.networks.models import Student, create_student

RESULTS = HERE / "results" / "views_study.jsonl"
SIZE = 96
Draw = Callable[[int, float, torch.Generator], Views]


def draw_centred(count: int, strength: float, generator: torch.Generator) -> Views:
    """Draw the same views with zooms whose logarithms lie around 0, as far apart as a build's."""
    views = draw_views(count, strength, generator)
    if not strength:
        return views
    zoom = views.affine[:, :, 0].norm(dim=1)
    factor = 1 / math.sqrt(1 - strength * 0.5)
    margin, centred = 1 - zoom, (1 - zoom * factor).abs()
    shift = views.affine[:, :, 2] * (centred / margin.clamp_min(1e-6))[:, None]
    return replace(views, affine=torch.cat([views.affine[:, :, :2] * factor, shift[:, :, None]], dim=2))


class PicturePlan(CachePlan):
    """One picture of 1.15 times the network's side for each image, also with ``area``."""

    def side(self, size: int) -> int:
        return round(pixel_cache.MARGIN * size)

    def span(self, size: int) -> float:
        return 1.0

    def picture(self, frame: torch.Tensor, size: int) -> torch.Tensor:
        return CachePlan(spec=self.spec, sizes=(self.side(size),), places=1).picture(frame, self.side(size))


@dataclass(frozen=True, kw_only=True)
class Variant:
    draw: Draw = draw_views
    plan: type[CachePlan] = CachePlan


VARIANTS = {"views": Variant(), "picture": Variant(plan=PicturePlan), "centred": Variant(draw=draw_centred)}


@contextmanager
def drawing(draw: Draw) -> Iterator[None]:
    """Let the batches of a training be drawn by another function."""
    sampler.draw_views = draw  # type: ignore[attr-defined]  # its own import
    try:
        yield
    finally:
        sampler.draw_views = draw_views  # type: ignore[attr-defined]


def train(split: OneSplit, name: str, folder: Path) -> dict[str, Any]:
    """Train one network under a variant; return what its line tells."""
    variant = VARIANTS[name]
    plans, trainer = split.opened()
    plan = plans[SIZE]
    given = trainer.cache_plan
    # One place tells the pictures' files from those of the means, in whose name the kind of plan does not stand.
    places = given.places if variant.plan is CachePlan else 1
    trainer.cache_plan = variant.plan(spec=given.spec, sizes=given.sizes, places=places)
    job = LinkJob(name="M1", plan=plan, labelled_subset=0, labelled_subsets=None, seed=1000 * split.seed, train=TRAIN)
    feed = trainer.open_feed(job)
    torch.manual_seed(job.seed)
    student = create_student(plan.config, len(split.index.labels)).student
    fit_linear_probe(student, feed, plan.input.network, len(split.index.labels))
    run = TrainingRun(name=name, seed=job.seed, scratch=folder, classifier_rate=1.0)
    with drawing(variant.draw):
        fit_student(student, LabelTask(plan.input.network), feed, TRAIN, run, SilentProgress())
    test, val = split.frames("test", plan.input), split.frames("val", plan.input)
    line = {
        "set": split.root.name,
        "seed": split.seed,
        "size": SIZE,
        "variant": name,
        **answers(student, plan, test, val, "running"),
    }
    measure_batch_norms(student, feed, plan.input.network, lambda student: 0.0)
    return {
        **line,
        **answers(student, plan, test, val, "plain"),
        "shown": accuracies_at(student, plan.input, test),
        "truth": digits(test.labels),
        "groups": test.groups,
    }


def answers(student: Student, plan: LinkPlan, test: SplitFrames, val: SplitFrames, which: str) -> dict[str, Any]:
    """Return the predictions of test images, and the accuracies on both."""
    found, held = (predict_records(student, plan.input, images).argmax(axis=1) for images in (test, val))
    return {
        f"{which}_predicted": digits(found),
        f"{which}_accuracy": float((found == test.labels).mean()),
        f"{which}_val_accuracy": float((held == val.labels).mean()),
    }


def main() -> None:
    arguments = read_arguments(__doc__, [101, 102, 103], SETS)

    def open_split(root: Path, seed: int, folder: Path) -> OneSplit:
        return OneSplit(root, arguments.weights, seed, folder)

    run_waiting(RESULTS, arguments, "variant", tuple(VARIANTS), open_split, train)


if __name__ == "__main__":
    main()
