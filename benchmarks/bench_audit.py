"""Findings and cost of the data audit on a data set, and how many flipped labels it names.

``python benchmarks/bench_audit.py SET.csv MODEL@PIXELS=WEIGHTS [--flip 0.05]`` appends one line to results/audit.jsonl.
WEIGHTS are those of a backbone with TensorFlow's padding and middle grey, as in docs/examples/otoscopy.toml.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
from record import append

from weckd_edge.artifacts import DataAudit, DatasetIndex
from weckd_edge.cli.parsing.links import parse_link
from weckd_edge.config import BuildConfig, DataConfig, TrainConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.serialization import to_data
from weckd_edge.train.audit.run import run_audit
from weckd_edge.train.data.index import build_index

OPTIONS: dict[str, bool | int | float | str | tuple[int, ...]] = {"pad_type": "same", "bn_eps": 1e-3}


def flip(index: DatasetIndex, part: float) -> tuple[DatasetIndex, set[str]]:
    """Give a random part of the images another label; return the index and the paths of those images."""
    random = np.random.default_rng(0)
    chosen = set(random.choice(len(index.images), round(part * len(index.images)), replace=False).tolist())
    classes = len(index.labels)
    images = tuple(
        replace(record, label=(record.label + int(random.integers(1, classes))) % classes) if i in chosen else record
        for i, record in enumerate(index.images)
    )
    return replace(index, images=images), {index.images[i].path for i in chosen}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("backbone")
    parser.add_argument("--flip", type=float, default=0.05)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    link = replace(parse_link(given.backbone), options=OPTIONS, mean=(0.5,) * 3, std=(0.5,) * 3)
    data = DataConfig(labelled_fraction=0.1, use_published_split=False)
    config = BuildConfig(link=(link, link), data=data, train=TrainConfig(threads=given.threads))
    quiet = SilentProgress()
    index = build_index(given.data, config.data, labelled_subsets=2, seed=0, skip_bad=True, progress=quiet)
    wall_ns, cpu_ns = time.monotonic_ns(), time.process_time_ns()
    found = run_audit(given.data, index, config, quiet)
    times = {"wall": [time.monotonic_ns() - wall_ns], "processor": [time.process_time_ns() - cpu_ns]}
    if given.flip:
        wrong, paths = flip(index, given.flip)
        # The masks take most of the time, and have nothing to do with labels.
        plain = replace(config, audit=replace(config.audit, discs=()))
        named = run_audit(given.data, wrong, plain, quiet).label_issues
        assert named is not None
        listed = [suspect.path for suspect in named.label_issues]
        hits = sum(path in paths for path in listed)
        top = sum(path in paths for path in listed[: len(paths)])
        flips = {"flipped": len(paths), "named": named.found, "listed": len(listed), "hits": hits, "top_hits": top}
    else:
        flips = {}
    append(
        "audit",
        f"{given.data.parent.name} by {found.features}, {given.threads} threads",
        times,
        ("torch", "timm", "numpy"),
        found=summary(found),
        flips=flips,
    )


def summary(found: DataAudit) -> object:
    """Return the audit without the names of images."""
    bare = replace(
        found,
        this_split=found.this_split and replace(found.this_split, pairs=()),
        published=found.published and replace(found.published, pairs=()),
        label_issues=found.label_issues and replace(found.label_issues, label_issues=()),
    )
    return to_data(bare)


if __name__ == "__main__":
    main()
