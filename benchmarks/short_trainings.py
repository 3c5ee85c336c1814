"""What studies of short trainings share: data sets, a split's network at each size, a loop over seeds and data sets.

``OneSplit`` opens one network at each size for a split by whole groups. The trainings are short (``STEPS`` steps of 32
images), so that several seeds of a study fit into some hours of one processor core: the accuracies are below what a whole
build reaches. study_sizes.py and study_views.py each tell their question. They read the data sets of ``SETS`` in one
folder, each with a ``groups.csv``, and MobileNetV2-0.35's pretrained trunk. Every training appends one line to a file of
results, with the prediction of each test image; a run goes on behind the lines that are there. resize_tables.py writes
docs/results/resize.md.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from numpy.typing import NDArray
from record import append_line
from tables import lines_of

from weckd_edge.artifacts import DatasetIndex, InputSpec, Split
from weckd_edge.config import BuildConfig, DataConfig, LinkConfig, TrainConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.devices.images.split_frames import SplitFrames, decode_split
from weckd_edge.train.data.index import build_index
from weckd_edge.train.distill.chain import make_trainer, plan_chain
from weckd_edge.train.distill.evaluate import predict_records
from weckd_edge.train.distill.link_plan import LinkPlan
from weckd_edge.train.distill.trainer import Trainer
from weckd_edge.train.networks.models import Student

LIBRARIES = ("torch", "timm", "numpy")
"""Distributions whose versions stand in every line."""
SETS = ("brain_mri", "otoscopy_chile", "malaria_cells")
SIZES = (64, 96)
"""Sides of a network's input, pixels."""
SHOWN = (64, 80, 96, 112, 128)
"""Sides at which images are shown to a network, whatever it was trained with, pixels."""
EPOCHS, STEPS_PER_EPOCH = 12, 20
STEPS = EPOCHS * STEPS_PER_EPOCH
TRAIN = TrainConfig(
    epochs=EPOCHS, steps_per_epoch=STEPS_PER_EPOCH, batch=32, learning_rate=3e-3, accelerator="cpu", threads=1
)


class OneSplit:
    """The trainings of one data set and seed, which share its index and its decoded images.

    Args:
        root: Folder of the data set.
        weights: Checkpoint that the networks start from.
        seed: Seed of the split, the first weights and the views.
        folder: Folder for everything that is kept in between.
        sizes: Sides of the networks' inputs, pixels.
        subsets: Number of disjoint labelled subsets, each 30 % of the training images.
    """

    def __init__(
        self, root: Path, weights: Path, seed: int, folder: Path, *, sizes: tuple[int, ...] = SIZES, subsets: int = 1
    ) -> None:
        self.root, self.seed, self.workspace = root, seed, Workspace(folder)
        self.data = DataConfig(labelled_fraction=0.3, use_published_split=False)
        self.index: DatasetIndex = build_index(
            root / "groups.csv", self.data, labelled_subsets=subsets, seed=seed, skip_bad=False, progress=SilentProgress()
        )
        self.links = {
            size: LinkConfig(
                model="mobilenetv2_035",
                input_size=size,
                weights=str(weights),
                options={"pad_type": "same", "bn_eps": 1e-3},
                mean=(0.5, 0.5, 0.5),
                std=(0.5, 0.5, 0.5),
            )
            for size in sizes
        }

    def opened(self) -> tuple[dict[int, LinkPlan], Trainer]:
        """Return the network's plan at each size, and the trainer of all of them."""
        plans: dict[int, LinkPlan] = {}
        for size, link in self.links.items():
            chain = (link, link)  # the shortest that settings may name; only the first is trained
            config = BuildConfig(link=chain, data=self.data, train=TRAIN, seed=self.seed)
            plans[size] = plan_chain(self.index, config)[0]
        return plans, make_trainer(self.workspace, self.root, self.index, list(plans.values()), SilentProgress())

    def frames(self, split: Split, spec: InputSpec) -> SplitFrames:
        """Return the decoded images of a split."""
        return decode_split(self.workspace, self.index, split, self.root, spec.frame, SilentProgress())


def accuracies_at(student: Student, spec: InputSpec, images: SplitFrames) -> dict[str, float]:
    """Return the accuracy of a network at each size of ``SHOWN``, whatever size it was trained with."""
    found = {}
    for size in SHOWN:
        other = replace(spec, network=replace(spec.network, height=size, width=size))
        found[str(size)] = float((predict_records(student, other, images).argmax(axis=1) == images.labels).mean())
    return found


def digits(labels: NDArray[np.int64]) -> str:
    """Return labels as one digit each."""
    return "".join(map(str, labels.tolist()))


def run_waiting(
    results: Path,
    arguments: argparse.Namespace,
    column: str,
    kinds: Sequence[str],
    open_split: Callable[[Path, int, Path], OneSplit],
    train: Callable[[OneSplit, str, Path], dict[str, Any]],
) -> None:
    """Train every kind of each seed and data set whose line is not there yet.

    Args:
        results: File of the lines.
        arguments: Data sets, seeds and their folder.
        column: Key of a line under which it names its kind.
        kinds: Kinds of trainings.
        open_split: Function from a data set's folder, a seed and a folder of its own to the trainings that share them.
        train: Function from those, a kind and an empty folder to what the line tells.
    """
    torch.set_num_threads(1)
    done = {(line["set"], line["seed"], line[column]) for line in lines_of(results.stem)}
    for seed in arguments.seeds:
        for name in arguments.sets:
            waiting = [kind for kind in kinds if (name, seed, kind) not in done]
            if not waiting:
                continue
            with tempfile.TemporaryDirectory() as folder:
                split = open_split(arguments.data / name, seed, Path(folder) / "work")
                for kind in waiting:
                    scratch = Path(folder) / kind
                    scratch.mkdir()
                    line = train(split, kind, scratch)
                    append_line(results, LIBRARIES, line)
                    reported = {key: round(100 * value, 1) for key, value in line.items() if "accuracy" in key}
                    logging.info("%s %s %s: %s", seed, name, kind, reported)


def read_arguments(description: str, seeds: list[int], sets: Sequence[str]) -> argparse.Namespace:
    """Read what every study is told: data sets, weights, seeds; and begin to log."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=seeds)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(sets))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    return parser.parse_args()
