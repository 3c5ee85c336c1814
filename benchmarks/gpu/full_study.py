"""One lane of the full-size study: the strategies of one data set, one after the other, until the time is over.

check.py starts one such process for each data set, so that the GPU has work while one of them draws, evaluates or
decodes. Each strategy appends its line as soon as it is done; the links are kept in the working folder, where a later run
goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks.gpu.lines import Results
from weckd_edge.config import BuildConfig, DataConfig, DistillConfig, LinkConfig, TrainConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import Workspace
from weckd_edge.pipeline.outside_teachers import open_teachers
from weckd_edge.train.data.index import cached_index, data_root
from weckd_edge.train.distill.chain import make_trainer, plan_chain
from weckd_edge.train.distill.outside.teacher import OutsideTeacher
from weckd_edge.train.tuning.study import StudyGrid, run_study
from weckd_edge.train.tuning.study_results import Study

STRATEGIES = (
    "single-subset",
    "relay",
    "single-union",
    "dgkd+teachers+unlabelled",
    "single-all",
    "one-step+teachers+unlabelled",
    "dgkd",
    "one-step",
    "guided",
)
"""The most important first: what labels in separate hands bring, then what labels in one hand bring."""

TRUNKS = {"mobilenetv2_100": "mobilenetv2_100_tf.safetensors", "mobilenetv2_035": "mobilenetv2_035_tf.safetensors"}
CHAIN = (("mobilenetv2_100", 224), ("mobilenetv2_035", 224), ("mobilenetv2_035", 192))


@dataclass(frozen=True, kw_only=True)
class Lane:
    """What one process does.

    Attributes:
        name: Name of the data set.
        data: Its folder, or its ``groups.csv``.
        weights: Folder of pretrained trunks; None starts from random weights.
        seeds: Seeds, in order.
        small: Whether toy networks are trained for a few steps.
        precision: Number format of the training.
        work: Folder of the links.
        ends_at: Time of day at which nothing may run any more, seconds since 1970.
        step_s: Time of a gradient step, seconds, before this lane has measured its own.
    """

    name: str
    data: Path
    weights: Path | None
    seeds: Sequence[int]
    small: bool
    precision: str
    work: Path
    ends_at: float
    step_s: float


def settings(lane: Lane) -> BuildConfig:
    """Return the settings of the study: ten times the steps of a build by default, at 224 pixels."""
    if lane.small:
        links = tuple(
            LinkConfig(model="resnet10t", input_size=32, options={"channels": (width,) * 4, "stem_width": 8})
            for width in (16, 8)
        )
        train = TrainConfig(epochs=1, steps_per_epoch=2, batch=4, threads=1)
        return BuildConfig(link=links, train=train, data=DataConfig(labelled_fraction=0.3, use_published_split=False))
    usual = TrainConfig()
    train = replace(
        usual,
        steps_per_epoch=10 * usual.steps_per_epoch,
        precision=lane.precision,
        threads=max(1, (os.cpu_count() or 1) // 4),
    )
    return BuildConfig(
        link=tuple(_link(model, size, lane.weights) for model, size in CHAIN),
        train=train,
        distill=DistillConfig(baseline=False, teacher_gate="off"),
        data=DataConfig(labelled_fraction=0.1, use_published_split=False),
    )


def _link(model: str, size: int, weights: Path | None) -> LinkConfig:
    file = None if weights is None else weights / TRUNKS[model]
    if file is None or not file.is_file():
        return LinkConfig(model=model, input_size=size)
    return LinkConfig(
        model=model,
        input_size=size,
        weights=str(file),
        options={"pad_type": "same", "bn_eps": 1e-3},
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


def prepare(lane: Lane) -> None:
    """Read the data set and decode its training images for the first seed, as the study will."""
    config, workspace = replace(settings(lane), seed=lane.seeds[0]), Workspace(lane.work / lane.name)
    with workspace.locked():
        index = cached_index(workspace, lane.data, config, skip_bad=False, progress=SilentProgress()).artifact
        trainer = make_trainer(workspace, data_root(lane.data), index, plan_chain(index, config), SilentProgress())
        trainer.cached_images()


def run(lane: Lane, results: Results) -> list[dict[str, Any]]:
    """Run what fits into the time; return the keys of what does not."""
    config, left_out, step_s = settings(lane), [], lane.step_s
    steps = len(config.link) * config.train.epochs * config.train.steps_per_epoch
    for seed in lane.seeds:
        for strategy in STRATEGIES[:2] if lane.small else STRATEGIES:
            key = {"set": lane.name, "seed": seed, "strategy": strategy, "precision": config.train.precision, "steps": steps}
            if results.has("study", key):
                continue
            teachers = open_teachers(config, [strategy])
            taken = steps + _steps_of_teachers(config, teachers)
            if time.time() + taken * step_s > lane.ends_at:
                left_out.append(key)
                continue
            started = time.monotonic()
            study = run_study(
                lane.data,
                replace(config, seed=seed),
                StudyGrid(strategies=[strategy], seeds=1, teachers=teachers),
                lane.work / lane.name,
                SilentProgress(),
            )
            seconds = time.monotonic() - started
            trained = json.loads(to_json(study.trials[0]))
            # Links that another strategy had trained took no time now: what they took then counts.
            step_s = max(seconds, trained["seconds"]) / taken
            chain = [f"{link.model} at {link.input_size} px" for link in config.link]
            results.append("study", key, wall_s=round(seconds, 2), chain=chain, **_figures(trained, study))
    return left_out


def _steps_of_teachers(config: BuildConfig, teachers: Sequence[OutsideTeacher]) -> int:
    """Return the gradient steps that the fine-tuned ones among teachers take."""
    trainings = [one.fine_tuning for one in teachers if one.fine_tuning is not None]
    epochs = sum((one.seeds or config.distill.teacher_folds) * (one.epochs or config.train.epochs) for one in trainings)
    return epochs * config.train.steps_per_epoch


def _figures(trained: dict[str, Any], study: Study) -> dict[str, Any]:
    """Return the figures of a run, with the last link's predictions, the truth and the groups of the test images."""
    (held_out,) = study.held_out
    left_out = ("strategy", "seed", "steps", "schema_version", "predicted")
    return {
        **{name: value for name, value in trained.items() if name not in left_out},
        "predicted": "".join(map(str, trained["predicted"][-1])),
        "truth": "".join(map(str, held_out.truth)),
        "groups": held_out.groups,
    }


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lane", required=True, help="the fields of a lane, as JSON")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--commit")
    parser.add_argument("--prepare", action="store_true", help="decode the images, and train nothing")
    arguments = parser.parse_args(given)
    fields = json.loads(arguments.lane)
    paths = {name: Path(fields[name]) for name in ("data", "work")}
    weights = Path(fields["weights"]) if fields["weights"] else None
    lane = Lane(**{**fields, **paths, "weights": weights})
    if arguments.prepare:
        prepare(lane)
    else:
        print(json.dumps(run(lane, Results(path=arguments.out, commit=arguments.commit))))


if __name__ == "__main__":
    main()
