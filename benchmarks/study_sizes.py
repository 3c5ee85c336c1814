"""Whether a link that starts from the weights of another size of input gains by it: paired short trainings.

    python benchmarks/study_sizes.py --data FOLDER --weights FILE [--seeds 101 102 103] [--sets NAME ...]

For each seed and data set, a first network is trained at each of ``FIRST`` pixels on one labelled subset (30 % of the
training images). Then a second one, the same network at ``SECOND`` pixels, is trained on another subset: once from the
pretrained weights (``own``), and once from the weights of each first one. Settings are those of
short_trainings.py. Appends one line a second training to results/sizes_study.jsonl, with what the first network answers at
``SECOND`` pixels before it (``accuracy_before``); a run goes on behind the lines that are there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from record import HERE
from short_trainings import SETS, TRAIN, OneSplit, accuracies_at, digits, read_arguments, run_waiting

from weckd_edge.artifacts import Link
from weckd_edge.core.store import Stage
from weckd_edge.train.distill.evaluate import predict_records
from weckd_edge.train.distill.trainer import LinkJob
from weckd_edge.train.networks.models import load_link

RESULTS = HERE / "results" / "sizes_study.jsonl"
FIRST, SECOND = (64, 96, 128), 64
STARTS = ("own", *map(str, FIRST))


def train(split: OneSplit, start: str, _: Path) -> dict[str, Any]:
    """Train the second network from one start, and the first one where it is needed; return what the line tells."""
    plans, trainer = split.opened()

    def link(name: str, size: int, subset: int, begin: Stage[Link] | None) -> Stage[Link]:
        return trainer.link(
            LinkJob(
                name=name,
                plan=plans[size],
                labelled_subset=subset,
                labelled_subsets=(subset,),
                seed=1000 * split.seed + subset,
                train=TRAIN,
                start=begin,
            )
        )

    first = None if start == "own" else link("M1", int(start), 0, None)
    second = link("M2", SECOND, 1, first)
    images = split.frames("test", plans[SECOND].input)
    own = predict_records(load_link(second.artifact, second.folder), plans[SECOND].input, images).argmax(axis=1)
    line = {
        "set": split.root.name,
        "seed": split.seed,
        "start": start,
        "accuracy": float((own == images.labels).mean()),
        "predicted": digits(own),
        "truth": digits(images.labels),
        "groups": images.groups,
    }
    if first is not None:
        shown = accuracies_at(load_link(first.artifact, first.folder), first.artifact.input, images)
        line |= {"accuracy_first": shown[start], "accuracy_before": shown[str(SECOND)]}
    return line


def main() -> None:
    arguments = read_arguments(__doc__, [101, 102, 103], SETS[:2])

    def open_split(root: Path, seed: int, folder: Path) -> OneSplit:
        return OneSplit(root, arguments.weights, seed, folder, sizes=FIRST, subsets=2)

    run_waiting(RESULTS, arguments, "start", STARTS, open_split, train)


if __name__ == "__main__":
    main()
