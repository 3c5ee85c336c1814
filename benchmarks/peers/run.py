"""weckd-edge beside what its users would take instead, on the same work, in one command.

    python benchmarks/peers/run.py --data FOLDER ... --weights FOLDER --environments FOLDER

``--data`` names data sets, each a folder with a ``groups.csv``; ``--weights`` the folder of
``mobilenetv2_035_tf.safetensors``. For each set, fold and number of labels every peer is given the same folders of images
(work.py) and the same time of training, in an environment of its own (environments.py), on two cores. Each finished piece
appends one JSON line to ``--out``; a run goes on behind the lines that are there, and tries again what failed. A peer that
fails leaves a line with its last words. table.py writes docs/results/peers.md.

An environment takes 1 to 6 GB of disk. One is made at a time, and removed when its peer is done, unless ``--keep``. With
``--share-torch`` all of them look into the environment that runs this, which saves the torch of each.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder's names are no modules for libraries to find

from peers import environments, pieces
from peers import job as jobs
from peers.catalogue import OURS, PEERS
from peers.work import LABELS, Work, lay_out_fold, told
from record import HERE, append_line

WEIGHTS = "mobilenetv2_035_tf.safetensors"
CORES = 2
KEY = ("peer", "set", "fold", "folds", "labels", "size", "seconds", "seed")
"""What names a piece."""

Line = dict[str, Any]


def main() -> None:
    """Read the arguments, and run what is not done yet."""
    arguments = read_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    found = [
        work
        for root in arguments.data
        for fold in arguments.only_folds or range(1, arguments.folds + 1)
        for work in lay_out_fold(root, fold, arguments.folds, arguments.labels, arguments.seed, arguments.work / "images")
    ]
    for work in found:
        logging.info("%s", told(work))
    for name in in_order(arguments.peers):
        waiting = [work for work in found if not is_done(arguments.out, key_of(name, work, arguments))]
        if waiting:
            run_peer(name, waiting, arguments)


def read_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS), metavar="NAME")
    parser.add_argument("--labels", nargs="+", choices=list(LABELS), default=list(LABELS))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only-folds", type=int, nargs="+")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--frames", type=int, default=200, help="frames of each size that are timed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--environments", type=Path, required=True)
    parser.add_argument("--share-torch", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep the environments")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "peers.jsonl")
    parser.add_argument("--work", type=Path, help="folder for images and artefacts; default: beside --out")
    arguments = parser.parse_args(given)
    arguments.data = [root.resolve() for root in arguments.data]
    arguments.work = (arguments.work or arguments.out.with_suffix(".work")).resolve()
    arguments.environments = arguments.environments.resolve()
    return arguments


def in_order(names: Sequence[str]) -> list[str]:
    """Return peers in the order in which they can be run: ours first, then what others take a network of."""
    return [name for name in PEERS if name in names]


def run_peer(name: str, waiting: Sequence[Work], arguments: argparse.Namespace) -> None:
    """Run the pieces of one peer that wait, in its environment; each leaves a line."""
    peer = PEERS[name]
    try:
        python = environments.make(peer, arguments.environments, share_torch=arguments.share_torch)
    except environments.PipError as err:
        for work in waiting:
            append_line(arguments.out, (), {**key_of(name, work, arguments), "failed": str(err)})
        logging.info("%s: no environment: %s", name, err)
        return
    for work in waiting:
        line = run_one(name, work, python, arguments)
        append_line(arguments.out, (), {**key_of(name, work, arguments), **line})
        logging.info("%s on %s: %s", name, told(work), line.get("failed", "done"))
    if not arguments.keep:
        environments.remove(peer, arguments.environments)


def run_one(name: str, work: Work, python: Path, arguments: argparse.Namespace) -> Line:
    """Return what a line tells of one piece: its result with the truth, or why there is none."""
    job = job_of(name, work, arguments)
    before = PEERS[name].network_of
    if before is not None:
        taken = pieces.finished(folder_of(before, work, arguments))
        if taken is None:
            return {"failed": f"it takes the network of {before}, which was not run on these images"}
        job = replace(job, network=str(taken))
    ours = None if name == OURS else pieces.finished(folder_of(OURS, work, arguments))
    try:
        result = pieces.run_piece(job, python, ours, arguments.frames)
    except (pieces.StepError, jobs.FormatError) as err:
        return {"failed": str(err)}
    groups = work.groups
    return {
        "result": asdict(result),
        "labels_trained": work.counts["train"],
        "classes": list(job.labels),
        "truth": [job.labels.index(image.partition("/")[0]) for image in result.images],
        "groups": [groups[image] for image in result.images],
    }


def job_of(name: str, work: Work, arguments: argparse.Namespace) -> jobs.Job:
    """Return the job of a peer on a piece of work."""
    weights = (arguments.weights / WEIGHTS).resolve()
    return jobs.Job(
        peer=name,
        data=str(work.folder),
        labels=work.classes,
        folder=str(folder_of(name, work, arguments)),
        size=arguments.size,
        seconds=arguments.seconds,
        threads=min(CORES, len(os.sched_getaffinity(0))),
        seed=arguments.seed,
        weights=str(weights) if PEERS[name].pretrained else None,
        network=None,
    )


def folder_of(name: str, work: Work, arguments: argparse.Namespace) -> Path:
    """Return the folder of a peer's piece."""
    kind = f"{arguments.size}px-{arguments.seconds:g}s-seed{arguments.seed}"
    found: Path = arguments.work / "artefacts" / kind / name / work.folder.relative_to(arguments.work / "images")
    return found


def key_of(name: str, work: Work, arguments: argparse.Namespace) -> Line:
    """Return what names a piece in its line."""
    values = (
        name, work.dataset, work.fold, work.folds, work.labels, arguments.size, arguments.seconds, arguments.seed,
    )  # fmt: skip
    return dict(zip(KEY, values, strict=True))


def is_done(out: Path, key: Mapping[str, Any]) -> bool:
    """Whether a file of results holds a line with the result of a piece."""
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] if out.is_file() else []
    return any("result" in line and all(line[name] == key[name] for name in KEY) for line in lines)


if __name__ == "__main__":
    main()
