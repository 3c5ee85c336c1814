"""Is a larger link better on the drawn ears? ``python benchmarks/bench_phantoms.py [--seeds 0 1 2] [--part sizes|chain]``.

Part ``sizes``: one network at two sizes of input, on all labels of training and on one labelled subset, with as many
gradient steps each; the drawn set, its split and the network's first weights follow the seed. Part ``chain``: the chain of
docs/examples/demo.toml, link by link, and its baseline. Some four minutes of one core for each part. Appends one line of
each part to results/phantoms.jsonl.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from record import append

from weckd_edge.artifacts import DatasetIndex
from weckd_edge.config import BuildConfig, LinkConfig, load_config
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.train.data.index import build_index
from weckd_edge.train.data.synth.phantoms import write_phantoms
from weckd_edge.train.distill.chain import make_trainer, plan_chain, run_strategy, train_alone
from weckd_edge.train.distill.strategies import find_strategy

DEMO = Path(__file__).resolve().parents[1] / "docs/examples/demo.toml"
NETWORK = LinkConfig(model="resnet10t", options={"channels": [16, 32, 64, 128], "stem_width": 16})
SIZES = (96, 64)
EPOCHS = 4
SILENT = SilentProgress()


def draw(place: Path, config: BuildConfig) -> DatasetIndex:
    """Draw the set of a seed, and return its index."""
    write_phantoms(place / "ears", SILENT, seed=config.seed)
    return build_index(
        place / "ears/groups.csv",
        config.data,
        labelled_subsets=len(config.link),
        seed=config.seed,
        skip_bad=False,
        progress=SILENT,
    )


def run(place: Path, index: DatasetIndex, config: BuildConfig, strategy: str) -> dict[str, float]:
    """Train by a strategy, and return the accuracy of every network on held-out ears, with the seconds of this process."""
    began = time.process_time()
    plans = plan_chain(index, config)
    trainer = make_trainer(Workspace(place / "work"), place / "ears", index, plans, SILENT)
    row = find_strategy(strategy)
    links = list(run_strategy(trainer, plans, row, config))
    if row.links == "chain":
        links.append(train_alone(trainer, plans, row, config))
    accuracies = {link.artifact.name: link.artifact.test_accuracy.value for link in links}
    return accuracies | {"seconds": round(time.process_time() - began, 1)}


def settings(seed: int, size: int) -> BuildConfig:
    """Return the demo's settings with one network at one size as every link."""
    link = replace(NETWORK, input_size=size)
    demo = load_config(DEMO)
    return replace(demo, seed=seed, link=(link,) * 3, train=replace(demo.train, epochs=EPOCHS, threads=1))


def sizes(seeds: list[int]) -> None:
    """Compare sizes of input, and numbers of labels."""
    found: dict[str, list[float]] = {}
    seconds = 0.0
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            index = draw(place, settings(seed, SIZES[0]))
            for strategy, size in (*(("single-all", size) for size in SIZES), ("single-subset", SIZES[0])):
                one = run(place, index, settings(seed, size), strategy)
                seconds += one.pop("seconds")
                (accuracy,) = one.values()
                found.setdefault(f"{strategy} {size} px", []).append(accuracy)
                print(f"seed {seed}, {strategy} at {size} px: {accuracy:.1%}", flush=True)
    large, small, few = (found[name] for name in found)
    append(
        "phantoms",
        f"accuracy on held-out drawn ears, resnet10t, {3 * EPOCHS * 25} steps, 600 frames, one thread",
        {},
        ["timm", "torch"],
        seeds=seeds,
        accuracy={name: [round(one, 4) for one in values] for name, values in found.items()},
        larger_minus_smaller=[round(a - b, 4) for a, b in zip(large, small, strict=True)],
        all_minus_one_subset=[round(a - b, 4) for a, b in zip(large, few, strict=True)],
        cpu_seconds=round(seconds, 1),
    )


def chain(seeds: list[int]) -> None:
    """Train the demo's chain and its baseline."""
    found: dict[str, list[float]] = {}
    for seed in seeds:
        config = replace(load_config(DEMO), seed=seed)
        config = replace(config, train=replace(config.train, threads=1))
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            one = run(place, draw(place, config), config, config.distill.strategy)
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.4g}" for name, value in one.items()), flush=True)
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    append(
        "phantoms",
        "accuracy on held-out drawn ears, the demo's chain link by link, and its baseline; 600 frames, one thread",
        {},
        ["timm", "torch"],
        seeds=seeds,
        accuracy={name: [round(one, 4) for one in values] for name, values in found.items() if name != "seconds"},
        mean={name: round(statistics.mean(values), 4) for name, values in found.items() if name != "seconds"},
        cpu_seconds=found["seconds"],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--part", choices=("sizes", "chain"), nargs="+", default=["sizes", "chain"])
    asked = parser.parse_args()
    for part in asked.part:
        {"sizes": sizes, "chain": chain}[part](asked.seeds)
