"""What the frame guard refuses, and what it costs: ``python benchmarks/bench_guard.py DATA [RUNNER]``.

DATA holds data sets, each with a groups.csv of file, label, group and duplicate_of. For each set the guard is fitted on 70 %
of the groups and its limit on 10 % more, as a build does; the rest are its familiar frames. Frames of the other sets, drawn
ones and spoiled ones should be refused. Frames of 640x480 are timed in Python and, with the C library's test program
``time_guard`` as RUNNER, in C. Appends one line to results/guard.jsonl.
"""

from __future__ import annotations

import csv
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from record import append

from weckd_edge.artifacts import FrameSpec
from weckd_edge.config import GuardConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.devices.images.decoding import decode
from weckd_edge.devices.images.fitting import fit_to_frame
from weckd_edge.devices.runtime.input_guard import GuardDecision, OpenGuard, measure_frame
from weckd_edge.metrics.intervals import wilson
from weckd_edge.metrics.selective import auroc
from weckd_edge.train.input_guard.fit import fit_guard, stack_features
from weckd_edge.train.input_guard.ood_frames import KIND_FRAMES, every_nth, ood_frames

MOST = 1500
"""Frames of a set at most."""


def listed(folder: Path) -> list[tuple[Path, str]]:
    """Return files and groups, no copies."""
    with (folder / "groups.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row.get("duplicate_of")]
    random.Random(0).shuffle(rows)
    return [(folder / row["file"], row["group"]) for row in rows[:MOST]]


def commonest_size(files: list[Path]) -> tuple[int, int]:
    """Return height and width."""
    sizes = [decode(file).shape[:2] for file in files[:50]]
    return max(set(sizes), key=sizes.count)


def frame_of(height: int, width: int) -> FrameSpec:
    """Return a frame of that size, of which the centre is kept."""
    return FrameSpec(height=height, width=width, crop="center")


def judge_set(name: str, sets: dict[str, list[tuple[Path, str]]]) -> dict[str, object]:
    """Fit on one set and look at everything else."""
    rows = sets[name]
    height, width = commonest_size([file for file, _ in rows])
    spec = frame_of(height, width)
    groups = sorted({group for _, group in rows})
    random.Random(1).shuffle(groups)
    cuts = [0, int(0.7 * len(groups)), int(0.8 * len(groups)), len(groups)]
    parts = [set(groups[a:b]) for a, b in pairwise(cuts)]
    chosen = [[row for row in rows if row[1] in part] for part in parts]
    looks = [
        stack_features(
            [measure_frame(fit_to_frame(decode(file), height, width), spec) for file, _ in part],
            [group for _, group in part],
        )
        for part in chosen[:2]
    ]
    fitted = fit_guard(looks[0], looks[1], GuardConfig())
    if fitted is None:
        return {}
    guard = OpenGuard(fitted.guard, spec)
    test = chosen[2]
    familiar = [guard.check(fit_to_frame(decode(file), height, width)) for file, _ in test]
    refused = sum(decision.code is not None for decision in familiar)
    unfamiliar = sum(decision.code == "out_of_distribution" for decision in familiar)
    low, high = wilson(refused, len(familiar))
    paths = sorted(file.resolve() for file, _ in test)
    real = [fit_to_frame(decode(path), height, width) for path in paths[every_nth(len(paths))]]
    refusable = ood_frames(spec, real, seed=0, phantoms=True, progress=SilentProgress())
    kinds: dict[str, dict[str, float]] = {}
    for kind, frames in (*refusable, *others(name, sets, height, width)):
        seen = [guard.check(frame) for frame in frames]
        kinds[kind] = {
            "frames": len(seen),
            "score_auroc": auroc(scores(familiar), scores(seen)),
            "guard_auroc": auroc(strains(guard, familiar), strains(guard, seen)),
            "refused": sum(decision.code is not None for decision in seen) / len(seen),
        }
    return {
        "frame": [height, width],
        "train_frames": len(chosen[0]),
        "groups": fitted.groups,
        "promised": fitted.false_reject_bound,
        "test_frames": len(familiar),
        "test_refused": refused / len(familiar),
        "test_refused_95": [low, high],
        "test_unfamiliar": unfamiliar / len(familiar),
        "kinds": kinds,
    }


def others(
    name: str, sets: dict[str, list[tuple[Path, str]]], height: int, width: int
) -> Iterator[tuple[str, Iterator[NDArray[np.uint8]]]]:
    """Yield frames of the other sets."""
    for other, rows in sets.items():
        if other != name:
            yield other, (fit_to_frame(decode(file), height, width) for file, _ in rows[: 6 * KIND_FRAMES])


def scores(decisions: Sequence[GuardDecision]) -> NDArray[np.float64]:
    """Return each frame's score."""
    return np.array([decision.ood_score for decision in decisions])


def strains(guard: OpenGuard, decisions: Sequence[GuardDecision]) -> NDArray[np.float64]:
    """Return how near each frame is to being refused."""
    return np.array([guard.limit_ratio(decision) for decision in decisions])


def time_python() -> list[int]:
    """Time frames of 640x480, nanoseconds."""
    spec = frame_of(480, 640)
    frames = [np.random.default_rng(k).integers(0, 256, (480, 640, 3), np.uint8) for k in range(20)]
    seen = [measure_frame(np.roll(frame, k, 0) // (1 + k % 3), spec) for k, frame in enumerate(frames * 2)]
    looks = stack_features(seen, [str(k) for k in range(len(seen))])
    fitted = fit_guard(looks, stack_features([], []), GuardConfig())
    assert fitted is not None
    guard = OpenGuard(fitted.guard, spec)
    times = []
    for k in range(-20, 300):
        start = time.perf_counter_ns()
        guard.check(frames[k % len(frames)])
        if k >= 0:
            times.append(time.perf_counter_ns() - start)
    return times


def time_c(runner: Path) -> list[int]:
    """Time the same in C; RUNNER is ``time_guard`` of the library's tests."""
    with tempfile.NamedTemporaryFile() as file:
        frames = [np.random.default_rng(k).integers(0, 256, (480, 640, 3), np.uint8) for k in range(20)]
        file.write(b"".join(frame.tobytes() for frame in frames))
        file.flush()
        done = subprocess.run([runner, file.name, "640", "480", "300"], capture_output=True, text=True, check=True)
    return [int(part) for part in done.stdout.split()]


def main() -> None:
    folder = Path(sys.argv[1])
    sets = {path.parent.name: listed(path.parent) for path in sorted(folder.glob("*/groups.csv"))}
    times = {"python 640x480": time_python()}
    if len(sys.argv) > 2:
        times["c 640x480"] = time_c(Path(sys.argv[2]))
    found = {name: judge_set(name, sets) for name in sets}
    append("guard", "the frame guard", times, ("numpy", "pillow"), sets=found)
    for name, result in found.items():
        print(f"\n{name}: {result['test_refused']:.1%} of {result['test_frames']} familiar frames refused")
        for kind, row in result["kinds"].items():  # type: ignore[attr-defined]
            aurocs = f"score {row['score_auroc']:.4f}  guard {row['guard_auroc']:.4f}"
            print(f"  {kind:16s} {aurocs}  refused {row['refused']:.1%}")
    print({name: f"least {min(values) / 1e6:.3f} ms" for name, values in times.items()})


if __name__ == "__main__":
    main()
