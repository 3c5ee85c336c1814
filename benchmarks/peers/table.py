"""Write docs/results/peers.md's tables and pictures from results/peers.jsonl: ``python benchmarks/peers/table.py``.

Of each piece the newest line that holds a result counts. Folds of a set are one set of test images, each tested once.
Accuracy and differences have 95 % intervals that count groups of images and trainings, as ``weckd-edge study`` has them;
with fewer than three folds there is none. Nothing is left out: a peer that failed has a row that says so.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder's names are no modules for libraries to find

import numpy as np
from numpy.typing import NDArray
from peers.catalogue import OURS, PEERS
from peers.job import Result, result_of
from peers.pareto import Point, picture
from tables import PAGES, lines_of, markdown, points, with_tables

from weckd_edge.metrics.calibration import calibration_metrics
from weckd_edge.metrics.crossed_clusters import CrossedImages, MeanInterval, TrainingTest

SCRIPT = "peers/table.py"
PAGE = PAGES / "peers.md"
PICTURES = PAGES / "peers"
RESULTS = "peers"
CAMERA = "640x480"
BESIDE = {"weckd_edge_from_nothing": "ultralytics_classify"}
"""Ours from random weights, and what it stands beside."""

CONTEST = ("set", "labels", "size", "seconds", "folds", "seed")
"""What lines of one contest have in common."""

AMOUNTS = {"57": "one labelled subset", "171": "three labelled subsets", "all": "all labels"}
"""What the names of the numbers of labels mean on any data set."""

Line = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A peer's result on one fold, with the truth."""

    fold: int
    result: Result
    truth: NDArray[np.int64]
    groups: tuple[str, ...]
    labels_trained: int

    @property
    def right(self) -> NDArray[np.float64]:
        """Whether each test image is predicted rightly by what is deployed, 1 or 0."""
        found: NDArray[np.float64] = (np.array(self.result.deployed).argmax(axis=1) == self.truth).astype(np.float64)
        return found


@dataclass(frozen=True, kw_only=True)
class Contest:
    """The peers on one data set with one number of labels.

    Attributes:
        dataset: Name of the data set.
        labels: Name of the number of labels.
        size: Side of the networks' inputs, pixels.
        seconds: Time of training, seconds.
        folds: Number of folds that the data set was dealt into.
        seed: Seed of the folds and of the training.
        pieces: Results by peer and fold.
        failed: Last words of the peers without a result on some fold.
    """

    dataset: str
    labels: str
    size: int
    seconds: float
    folds: int
    seed: int
    pieces: Mapping[str, Mapping[int, Piece]]
    failed: Mapping[str, str]

    @property
    def name(self) -> str:
        """Name of the contest, for the marks in the page and the picture's file."""
        return f"{self.dataset}-{self.labels}-labels-{self.size}px-{self.seconds:g}s-{self.folds}-folds-seed-{self.seed}"

    @property
    def title(self) -> str:
        """Title of the contest."""
        more = f", seed {self.seed}" if self.seed else ""
        return f"{self.dataset}, {AMOUNTS[self.labels]}{more}"


def contests(lines: Sequence[Line]) -> list[Contest]:
    """Return the contests that lines tell of, in the order of their names.

    Raises:
        FormatError: A line's result is none.
    """
    by_key: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        by_key.setdefault(tuple(line[name] for name in CONTEST), []).append(line)
    return [_contest(key, by_key[key]) for key in sorted(by_key)]


def _contest(key: tuple[Any, ...], lines: Sequence[Line]) -> Contest:
    dataset, labels, size, seconds, folds, seed = key
    pieces: dict[str, dict[int, Piece]] = {}
    failed: dict[tuple[str, int], str] = {}
    for line in lines:
        if "failed" in line:
            failed[line["peer"], line["fold"]] = line["failed"]
            continue
        pieces.setdefault(line["peer"], {})[line["fold"]] = Piece(
            fold=line["fold"],
            result=result_of(line["result"], line["classes"]),
            truth=np.array(line["truth"]),
            groups=tuple(line["groups"]),
            labels_trained=line["labels_trained"],
        )
    still = {name: text for (name, fold), text in failed.items() if fold not in pieces.get(name, {})}
    return Contest(
        dataset=dataset,
        labels=labels,
        size=size,
        seconds=seconds,
        folds=folds,
        seed=seed,
        pieces=pieces,
        failed=still,
    )


def mean_of(pieces: Sequence[Piece], scores: Sequence[NDArray[np.float64]], *, difference: bool) -> MeanInterval:
    """Return the mean score over the test images of some folds, with its interval."""
    tests = [TrainingTest(pool=0, training=piece.fold, groups=piece.groups) for piece in pieces]
    found = CrossedImages(tests).mean_of(np.concatenate(list(scores)))
    return found.as_difference() if difference else found.as_rate()


def accuracy(found: Mapping[int, Piece]) -> MeanInterval:
    """Return the accuracy of what is deployed, over the test images of all folds."""
    pieces = [found[fold] for fold in sorted(found)]
    return mean_of(pieces, [piece.right for piece in pieces], difference=False)


def over(found: Mapping[int, Piece], other: Mapping[int, Piece]) -> MeanInterval | None:
    """Return how much more accurate one peer is than another on the folds that both have; None where there is none."""
    pieces = [found[fold] for fold in sorted(found) if fold in other]
    if not pieces:
        return None
    return mean_of(pieces, [piece.right - other[piece.fold].right for piece in pieces], difference=True)


def lowest_recall(pieces: Sequence[Piece]) -> float:
    """Return the recall of the class that has the lowest, over the test images of all folds."""
    truth, right = np.concatenate([piece.truth for piece in pieces]), np.concatenate([piece.right for piece in pieces])
    return float(min(right[truth == label].mean() for label in np.unique(truth)))


def calibration_error(pieces: Sequence[Piece]) -> float:
    """Return the expected calibration error of what is deployed, over the test images of all folds."""
    probabilities = np.concatenate([np.array(piece.result.deployed) for piece in pieces])
    truth = np.concatenate([piece.truth for piece in pieces])
    groups = [group for piece in pieces for group in piece.groups]
    return calibration_metrics(probabilities, truth, groups).ece.value


def middle(values: Sequence[float]) -> float:
    """Return the median over folds."""
    return float(np.median(values))


def latency_ratio(pieces: Sequence[Piece]) -> float | None:
    """Return the median over folds of a peer's latency over ours, timed in turn with it; None where ours was not there."""
    found = [piece.result.latency[CAMERA] for piece in pieces]
    ratios = [one.over_ours for one in found if one.over_ours is not None]
    return middle(ratios) if ratios else None


def lost(pieces: Sequence[Piece]) -> float | None:
    """Return the accuracy of the artefact less that of the network before its conversion; None where it is not known."""
    apart = []
    for piece in pieces:
        if piece.result.trained is None:
            return None
        apart.append(piece.right - (np.array(piece.result.trained).argmax(axis=1) == piece.truth))
    return float(np.concatenate(apart).mean())


HEADS = (
    "peer", "folds", "accuracy, %", "over weckd-edge", "by the conversion", "lowest recall", "calibration error",
    "p50, ms", "p90, ms", "times weckd-edge's", "deployed, MB", "network, MB", "memory, MB", "minutes to artefact",
    "without checks", "lines",
)  # fmt: skip


def row(contest: Contest, name: str) -> list[str]:
    """Return a peer's row."""
    if name not in contest.pieces:
        return [PEERS[name].title, f"0 of {contest.folds}", "failed", *[""] * (len(HEADS) - 3)]
    found = contest.pieces[name]
    pieces = [found[fold] for fold in sorted(found)]
    results = [piece.result for piece in pieces]
    ours = contest.pieces.get(OURS, {})
    apart = None if name == OURS else over(found, ours)
    camera = [result.latency[CAMERA] for result in results]
    ratio = 1.0 if name == OURS else latency_ratio(pieces)
    changed = lost(pieces)
    checks = [result.built.verification_seconds for result in results]
    known = [result.seconds - check for result, check in zip(results, checks, strict=True) if check is not None]
    return [
        PEERS[name].title,
        f"{len(pieces)} of {contest.folds}",
        points(accuracy(found), ""),
        "" if apart is None else points(apart),
        "" if changed is None else f"{100 * changed:+.1f}",
        f"{100 * lowest_recall(pieces):.1f}",
        f"{calibration_error(pieces):.3f}",
        f"{middle([one.p50_ms for one in camera]):.2f}",
        f"{middle([one.p90_ms for one in camera]):.2f}",
        "" if ratio is None else f"{ratio:.2f}",
        f"{middle([result.deployed_bytes for result in results]) / 1e6:.2f}",
        f"{middle([result.network_bytes for result in results]) / 1e6:.2f}",
        f"{middle([result.resident_bytes for result in results]) / 1e6:.0f}",
        f"{middle([result.seconds for result in results]) / 60:.1f}",
        f"{middle(known) / 60:.1f}" if known else "",
        str(results[-1].lines),
    ]


def notes_of(contest: Contest) -> list[str]:
    """Return what a reader of a table must know of its peers, a point each."""
    found = []
    for name in PEERS:
        pieces = contest.pieces.get(name, {})
        newest = pieces[max(pieces)].result if pieces else None
        told = list(dict.fromkeys(note for fold in sorted(pieces) for note in pieces[fold].result.built.notes))
        if newest is not None:
            trained = middle([piece.result.built.training_seconds for piece in pieces.values()])
            steps = "" if newest.built.steps is None else f", {newest.built.steps} steps"
            versions = ", ".join(f"{library} {version}" for library, version in sorted(newest.versions.items()))
            found.append(f"- {PEERS[name].title}: {'; '.join([f'{trained:.0f} s of training{steps}', *told, versions])}.")
        if name in contest.failed:
            found.append(f"- {PEERS[name].title} failed: {_plain(contest.failed[name])}")
    return found


def table_of(contest: Contest) -> list[str]:
    """Return a contest's table, picture and notes in Markdown."""
    names = [name for name in PEERS if name in contest.pieces or name in contest.failed]
    anyone = next((piece for found in contest.pieces.values() for piece in found.values()), None)
    trained = f"{anyone.labels_trained} labelled images, " if anyone else ""
    told = f"`{contest.dataset}`, {trained}{contest.size} px, {contest.seconds:g} s of training each."
    beside = [
        f"{PEERS[other].title} over {PEERS[ours].title}: {points(found)} points."
        for ours, other in BESIDE.items()
        if ours in contest.pieces
        and other in contest.pieces
        and (found := over(contest.pieces[other], contest.pieces[ours])) is not None
    ]
    drawn = [f"![Accuracy against latency](peers/{contest.name}.svg)", ""] if points_of(contest) else []
    rows = markdown(HEADS, [row(contest, name) for name in names])
    return [told, "", *rows, "", *[line for text in beside for line in (text, "")], *drawn, *notes_of(contest)]


def points_of(contest: Contest) -> list[Point]:
    """Return a contest's peers as points of accuracy and latency."""
    found = []
    for name in PEERS:
        if name not in contest.pieces:
            continue
        pieces = list(contest.pieces[name].values())
        mean = accuracy(contest.pieces[name])
        found.append(
            Point(
                name=PEERS[name].title,
                accuracy=mean.mean,
                low=mean.low,
                high=mean.high,
                latency_ms=middle([piece.result.latency[CAMERA].p50_ms for piece in pieces]),
                ours=PEERS[name].program == PEERS[OURS].program,
            )
        )
    return found


def tables(lines: Sequence[Line]) -> dict[str, list[str]]:
    """Return the tables of docs/results/peers.md by the names of their places: one place, which holds them all."""
    found = contests(lines)
    if not found:
        return {"peers": ["**This comparison has not been run at size.** There is no result yet."]}
    parts = [part for one in found for part in (f"### {one.title}", "", *table_of(one), "")]
    return {"peers": parts[:-1]}


def _plain(text: str) -> str:
    """Return a program's last words so that Markdown shows them as they are."""
    return f"`{text.replace('`', chr(39))}`"


def main() -> None:
    """Write the page and its pictures."""
    lines = lines_of(RESULTS)
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), tables(lines), SCRIPT), encoding="utf-8")
    for one in contests(lines):
        drawn = points_of(one)
        if drawn:
            PICTURES.mkdir(exist_ok=True)
            (PICTURES / f"{one.name}.svg").write_text(picture(drawn, one.title), encoding="utf-8")


if __name__ == "__main__":
    main()
