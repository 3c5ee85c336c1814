"""Whether the decision about an examination is right more often than its frames are, one by one.

    python benchmarks/bench_exam.py train --data FOLDER --weights FILE [--folds 5] [--only N ...] [--set KEY=VALUE ...]
    python benchmarks/bench_exam.py bundle FOLDER
    python benchmarks/exam_page.py

``train`` deals the groups of a data set into folds. For each fold it trains the chain of docs/examples/study-small.toml on
the others, chooses the rule of examinations on their validation images as a build does (temperature, input guard, rule), and
measures it on the fold. ``bundle`` takes what a finished build measured on its test split. Both append one line to
results/exam.jsonl, with the outcome of each examination; a run of folds goes on behind the lines that are there.
exam_page.py puts the folds of a data set together, so that each group is tested once.

In otoscopy_chile, groups of near-identical frames stand for examinations: they are clusters, not patients, and hold no
blurred or dark frames.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from exam_page import told
from record import HERE, append_line
from tables import lines_of

from weckd_edge.artifacts import DatasetIndex, ExamEvidence, InputSpec, Split
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.config import BuildConfig, exam_settings, load_config, parse_setting
from weckd_edge.core.errors import BundleError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.serialization import from_json, to_data
from weckd_edge.core.store import Workspace
from weckd_edge.train.data.folds import Fold
from weckd_edge.train.networks.available_weights import settle_weights

RESULTS = HERE / "results" / "exam.jsonl"
LIBRARIES = ("torch", "timm", "numpy")
CONFIG = HERE.parent / "docs" / "examples" / "study-small.toml"


def settings(weights: Path, changed: Sequence[str]) -> BuildConfig:
    """Return the settings of the example, some changed, whose links start from one checkpoint and teach each other."""
    config = load_config(CONFIG, dict(parse_setting(BuildConfig, text) for text in changed))
    links = settle_weights([replace(config.link[0], weights=str(weights.resolve())), *config.link[1:]]).links
    return replace(config, link=links, distill=replace(config.distill, strategy="guided", baseline=False))


def measure_fold(root: Path, config: BuildConfig, fold: Fold, folder: Path) -> dict[str, Any]:
    """Train on all folds but one, and return what the rule of examinations brings on that one."""
    from weckd_edge.devices.images.split_frames import SplitFrames, decode_split
    from weckd_edge.devices.runtime.input_guard import OpenGuard
    from weckd_edge.metrics.calibration import apply_temperature, fit_temperature
    from weckd_edge.pipeline.steps.guard import make_guard
    from weckd_edge.train.data.index import build_index
    from weckd_edge.train.distill.chain import make_trainer, plan_chain, train_build
    from weckd_edge.train.distill.evaluate import predict_records
    from weckd_edge.train.exam_rule.choose import choose_rule
    from weckd_edge.train.exam_rule.examinations import gather
    from weckd_edge.train.exam_rule.measure import measure_exams
    from weckd_edge.train.networks.models import load_link

    quiet, workspace = SilentProgress(), Workspace(folder)
    index = build_index(
        root / "groups.csv",
        config.data,
        labelled_subsets=len(config.link),
        seed=config.seed,
        skip_bad=False,
        progress=quiet,
        fold=fold,
    )
    plans = plan_chain(index, config)
    stage = train_build(make_trainer(workspace, root, index, plans, quiet), plans, config).links[-1]
    student, spec = load_link(stage.artifact, stage.folder), stage.artifact.input

    def frames(split: Split, of: InputSpec) -> SplitFrames:
        return decode_split(workspace, index, split, root, of.frame, quiet)

    val, test = frames("val", spec), frames("test", spec)
    predicted = [predict_records(student, spec, images) for images in (val, test)]
    temperature = fit_temperature(predicted[0], val.labels, val.groups).value
    shown = [apply_temperature(found, temperature) for found in predicted]
    record = make_guard(index.split("train"), root, val, spec.frame, config.guard, seed=config.seed, progress=quiet)
    guard = None if record.guard is None else OpenGuard(record.guard, spec.frame)
    choice = choose_rule(
        gather(val, shown[0], guard, ()).exams, exam_settings(config), config.seed, has_guard=guard is not None
    )
    found = measure_exams(gather(test, shown[1], guard, ()), choice, index, (), seed=config.seed)
    return line_of(found, index) | {"fold": fold.number, "folds": fold.count, "temperature": temperature}


def line_of(found: ExamEvidence, index: DatasetIndex) -> dict[str, Any]:
    """Return what a line of results tells of an examination's evidence."""
    return {
        "set": index.name,
        "choice": to_data(found.choice),
        "frame_accuracy": to_data(found.frame_accuracy),
        "accuracy": to_data(found.accuracy),
        "gain": to_data(found.gain),
        "curve": to_data(found.curve),
        "frames_by_use": found.frames_by_use,
        "notes": list(found.notes),
        "outcomes": to_data(found.outcomes),
    }


def train(arguments: argparse.Namespace) -> None:
    """Train and measure every fold whose line is not there yet."""
    config, changed = settings(arguments.weights, arguments.set), sorted(arguments.set)
    name = arguments.data.resolve().name
    done = [
        (line["set"], line.get("changed_settings"), line.get("fold"), line.get("folds")) for line in lines_of(RESULTS.stem)
    ]
    for number in arguments.only or range(1, arguments.folds + 1):
        if (name, changed, number, arguments.folds) in done:
            continue
        with tempfile.TemporaryDirectory() as folder:
            line = measure_fold(arguments.data, config, Fold(number=number, count=arguments.folds), Path(folder))
        append_line(RESULTS, LIBRARIES, {"what": "examinations by folds", "changed_settings": changed, **line})
        logging.info("fold %d: %s", number, told(line["outcomes"]))


def take_bundle(folder: Path) -> None:
    """Append what a finished build measured on its test split."""
    bundle = open_bundle(folder)
    raw = (folder / "evidence" / "exams.json").read_bytes()
    index = from_json(
        DatasetIndex,
        (folder / "evidence" / "dataset_index.json").read_bytes(),
        where="dataset_index.json",
        error=BundleError,
    )
    line = line_of(from_json(ExamEvidence, raw, where="exams.json", error=BundleError), index)
    append_line(RESULTS, LIBRARIES, {"what": "examinations of a build", "bundle": bundle.manifest.name, **line})
    logging.info("%s", told(line["outcomes"]))


def main() -> None:
    """Read the arguments and run what they name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    trains = commands.add_parser("train")
    trains.add_argument("--data", type=Path, required=True)
    trains.add_argument("--weights", type=Path, required=True)
    trains.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    trains.add_argument("--folds", type=int, default=5)
    trains.add_argument("--only", type=int, nargs="+")
    commands.add_parser("bundle").add_argument("folder", type=Path)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.command == "train":
        train(arguments)
    else:
        take_bundle(arguments.folder)


if __name__ == "__main__":
    main()
