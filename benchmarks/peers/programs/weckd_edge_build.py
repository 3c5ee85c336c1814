"""weckd-edge itself: ``weckd_edge.build`` on the same folder, whose split it keeps, and the bundle opened by its public API.

The chain has the shapes of ``docs/examples/study-small.toml`` at the job's size, the strategy is the default, and the three
labelled subsets together are all training images of the folder, so that none is left without a label. The training of the
last network alone is a part of the time: teachers are judged by it, and it takes the last link's place where it is better.
Everything else that a build checks and documents is done, and told apart.
Where int8 breaks a limit, a build trains on under int8's rounding: that comes on top of the time of training, and is in the
time from folder to artefact.

The input guard is on, and every frame is predicted all the same (``ignore_guard``), as the other tools have none.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from peers.job import Built, Frame, Job, Predict

import weckd_edge

DISTRIBUTIONS = ("timm", "torch", "openvino", "onnxruntime", "numpy")
PROBES = (1, 3)
"""Steps in an epoch of the two short trainings by which the schedule is planned."""
CHECKS = ("verify", "metrics", "audit", "bench-parts")
"""Steps of a build that check, measure and document the artefact; the others make it."""


def build(job: Job) -> Built:
    """Build a bundle, and tell where it is."""
    import torch

    torch.set_num_threads(job.threads)
    start = time.monotonic()
    steps = planned_steps(job)
    planning = time.monotonic() - start
    folder = Path(job.folder)
    bundle = build_bundle(job, steps)
    taken = {step.name: step.seconds for step in bundle.contents.build.steps}
    training = sum(seconds for name, seconds in taken.items() if name.startswith(("train", "soft labels")))
    checks = sum(seconds for name, seconds in taken.items() if name.startswith(CHECKS))
    chosen = bundle.manifest.models[0]
    return Built(
        deployed="bundle",
        network=tuple(str((bundle.path / file.path).relative_to(folder)) for file in chosen.files),
        training_seconds=training,
        steps=None,
        planning_seconds=planning,
        verification_seconds=checks,
        notes=(
            f"{chosen.precision} on {chosen.backend} was chosen",
            f"{bundle.contents.chain.labels_used} labels used",
            "the bundle passed" if bundle.passed else "the bundle did not pass its gates",
        ),
    )


def planned_steps(job: Job) -> int:
    """Return how many steps an epoch has, as it was planned on the first fold; another fold has as many images."""
    folder = Path(job.folder)
    kept = folder.parents[1] / f"steps-{folder.name}.txt"
    if not kept.is_file():
        kept.write_text(f"{plan_steps(job)}\n", encoding="utf-8")
    return int(kept.read_text(encoding="utf-8"))


def plan_steps(job: Job) -> int:
    """Return how many steps in an epoch make a chain's training as long as the job asks for, by two short trainings."""
    from weckd_edge.api.settings import read_config
    from weckd_edge.core.progress import SilentProgress
    from weckd_edge.core.store import Workspace
    from weckd_edge.pipeline.outside_teachers import open_teachers
    from weckd_edge.train.data.index import build_index
    from weckd_edge.train.distill.chain import make_trainer, plan_chain, train_build

    root, quiet, taken = Path(job.data), SilentProgress(), []
    for probe in PROBES:
        config = read_config(settings(job, probe))
        index = build_index(root, config.data, labelled_subsets=3, seed=config.seed, skip_bad=False, progress=quiet)
        plans, teachers = plan_chain(index, config), open_teachers(config, [config.distill.strategy])
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            trainer = make_trainer(Workspace(Path(folder)), root, index, plans, quiet, teachers=teachers)
            train_build(trainer, plans, config, teachers)
            taken.append(time.monotonic() - start)
    one = max((taken[1] - taken[0]) / (PROBES[1] - PROBES[0]), 1e-3)
    return max(1, round((job.seconds - taken[0]) / one) + PROBES[0])


def open_deployed(job: Job, built: Built) -> Predict:
    """Open the bundle as a program on a device would."""
    return open_bundle(Path(job.folder) / built.deployed)


def open_trained(job: Job, built: Built) -> Predict:
    """Open the deployed link as it was trained, from the workspace that the build keeps beside the bundle."""
    from weckd_edge.devices.images.frames import frame_from_pixels
    from weckd_edge.pipeline.network_sources.link_source import open_link
    from weckd_edge.train.distill.evaluate import frame_predictor

    found = open_link(Path(job.folder) / built.deployed)
    network = frame_predictor(found.link, found.folder)

    def predict(frame: Frame) -> np.ndarray[Any, Any]:
        return network(frame_from_pixels(frame, found.link.input.frame)).astype(np.float64)

    return predict


# user: all
def settings(job: Job, steps: int) -> dict[str, Any]:
    start: dict[str, Any] = {"model": "mobilenetv2_035", "options": {"pad_type": "same", "bn_eps": 1e-3}}
    start |= {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    if job.weights is not None:
        start["weights"] = job.weights
    shapes = ((4 / 3, 1.0), (7 / 6, 0.85), (1.0, 0.7))
    return {
        "seed": job.seed,
        "link": [{**start, "input_size": 8 * round(job.size * part / 8), "width": width} for part, width in shapes],
        "data": {"labelled_fraction": 0.333, "use_published_split": True},
        "train": {"epochs": 10, "steps_per_epoch": steps, "batch": 32, "threads": job.threads},
    }


def build_bundle(job: Job, steps: int) -> weckd_edge.Bundle:
    return weckd_edge.build(job.data, out=Path(job.folder) / "bundle", config=settings(job, steps))


def open_bundle(folder: Path) -> Predict:
    model = weckd_edge.load(folder).open()

    def predict(frame: Frame) -> np.ndarray[Any, Any]:
        return np.array(list(model.predict(frame, ignore_guard=True).probabilities.values()))

    return predict


# end of user
