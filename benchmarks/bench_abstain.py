"""Does the threshold keep its promise? ``python benchmarks/bench_abstain.py [PREDICTIONS.npz ...]``.

Each world has 500 trials: groups are drawn for validation, the threshold is sought for a risk of 5 and of 10 % with 95 %
confidence, and the error rate of the predictions above it is taken from the truth. In synthetic worlds the truth is a
hundred thousand further predictions. With real predictions (``probabilities`` [N, classes], ``labels`` [N], ``groups`` [N],
each made by a network that was not trained on its group) all groups are the truth, and as many are drawn with replacement.
A trial without a threshold keeps its promise. Appends one line to results/abstain.jsonl.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from record import append

from weckd_edge.metrics.selective import aurc, find_threshold

TRIALS = 500
CONFIDENCE = 0.95
Drawn = tuple[NDArray[np.float64], NDArray[np.bool_], list[str]]


def world(kind: str, random: np.random.Generator, groups: int, size: int) -> Drawn:
    """Draw predictions, as often wrong as they say (``honest``), three times so (``vain``) or by groups (``clusters``)."""
    sure = random.beta(12, 1, (groups, size)) if kind != "clusters" else np.repeat(random.beta(12, 1, (groups, 1)), size, 1)
    rate = (1 - sure) * (3 if kind == "vain" else 1)
    chance = np.repeat(random.random((groups, 1)), size, 1) if kind == "clusters" else random.random((groups, size))
    wrong = chance < rate
    return sure.reshape(-1), wrong.reshape(-1), [str(k // size) for k in range(groups * size)]


def group_error(drawn: Drawn, member: NDArray[np.int64], threshold: float) -> float:
    """Return the error rate of the images above a threshold, averaged over the groups that have one."""
    sure, wrong, _ = drawn
    given = sure >= threshold
    count, errors = (np.bincount(member[rows], minlength=member.max() + 1) for rows in (given, given & wrong))
    return float((errors[count > 0] / count[count > 0]).mean()) if given.any() else 0.0


def trials(risk: float, draw: Callable[[np.random.Generator], Drawn], truth: Drawn) -> dict[str, float]:
    """Run the trials of one world."""
    _, member = np.unique(truth[2], return_inverse=True)
    kept = found = covered = images = 0.0
    for seed in range(TRIALS):
        drawn = draw(np.random.default_rng(seed))
        threshold = find_threshold(*drawn, risk=risk, certainty=CONFIDENCE).confidence_threshold
        if threshold is None:
            kept += 1
            continue
        found += 1
        kept += group_error(truth, member, threshold) <= risk
        given = truth[0] >= threshold
        covered += given.mean()
        images += truth[1][given].mean() if given.any() else 0.0
    return {
        "risk": risk,
        "kept": kept / TRIALS,
        "with_threshold": found / TRIALS,
        "kept_of_those": (kept - TRIALS + found) / found if found else 1.0,
        "coverage": covered / max(found, 1),
        "image_risk": images / max(found, 1),
    }


def from_predictions(path: Path) -> tuple[Callable[[np.random.Generator], Drawn], Drawn]:
    """Return how to draw from real predictions, and all of them as the truth."""
    data = np.load(path, allow_pickle=False)
    sure = data["probabilities"].max(axis=1).astype(np.float64)
    wrong = data["probabilities"].argmax(axis=1) != data["labels"]
    names, member = np.unique(data["groups"], return_inverse=True)
    rows = [np.flatnonzero(member == k) for k in range(len(names))]

    def draw(random: np.random.Generator) -> Drawn:
        chosen = random.integers(0, len(rows), len(rows))
        taken = [rows[k] for k in chosen]
        groups = [str(at) for at, row in enumerate(taken) for _ in row]
        picked = np.concatenate(taken)
        return sure[picked], wrong[picked], groups

    return draw, (sure, wrong, [str(k) for k in member])


def main() -> None:
    figures: dict[str, object] = {}
    for kind, groups, size in (("honest", 200, 1), ("honest", 1000, 1), ("vain", 400, 1), ("clusters", 300, 4)):
        truth = world(kind, np.random.default_rng(10**6), 100_000 // size, size)
        name = f"{kind}, {groups} groups of {size}"
        figures[name] = [
            trials(risk, lambda random, k=kind, g=groups, s=size: world(k, random, g, s), truth)  # type: ignore[misc]
            for risk in (0.05, 0.1)
        ]
    for path in map(Path, sys.argv[1:]):
        draw, truth = from_predictions(path)
        figures[path.stem] = [
            {
                "groups": len(set(truth[2])),
                "images": len(truth[0]),
                "wrong": float(truth[1].mean()),
                "aurc": aurc(*truth[:2]),
            },
            *(trials(risk, draw, truth) for risk in (0.05, 0.1)),
        ]
    append("abstain", "thresholds by Learn then Test", {}, ("numpy", "scipy"), worlds=figures)


if __name__ == "__main__":
    main()
