"""Append a study to results/study.jsonl: ``python benchmarks/record_study.py NAME FOLDER -- weckd-edge study ...``.

FOLDER is the ``--out`` of the study; behind ``--`` stands the command that ran it. Run it from the checkout that the study
was run with, which gives the commit, on the machine that it was run on. The lines of a study carry its name:

- one of the study: what it is about, its settings, command, commit and environment;
- one for each seed and fold: the test images, with their groups and classes (``splits.jsonl``);
- one for each run: what every link predicts of them, and what it cost (``trials.jsonl``).

A study of many hours may be run and recorded in parts: a split counts once all strategies have run on it, and a name that is
there already takes other seeds and folds of the same data, strategies and settings.

study_tables.py makes tables of them.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from record import environment, git
from study_tables import SCRIPT
from tables import RESULTS, lines_of, marks

from weckd_edge.train.tuning.study_record import FACTS_FILE, HELD_OUT_FILE, RUNS_FILE, SETTINGS_FILE

LIBRARIES = ("torch", "timm", "numpy")


def lines_of_study(name: str, folder: Path, **told: Any) -> list[dict[str, Any]]:
    """Return the lines of a study: of every split that all strategies have run on.

    Args:
        name: Name of the study among the results.
        folder: Folder of the study.
        told: What the study's own line holds besides: command, commit, environment.

    Raises:
        SystemExit: There is no such split.
    """
    facts, settings = (json.loads((folder / file).read_text(encoding="utf-8")) for file in (FACTS_FILE, SETTINGS_FILE))
    splits, runs = (
        [json.loads(line) for line in (folder / file).read_text(encoding="utf-8").splitlines()]
        for file in (HELD_OUT_FILE, RUNS_FILE)
    )
    counts = Counter(map(place_of, runs))
    splits = [split for split in splits if counts[place_of(split)] == len(facts["strategies"])]
    done = set(map(place_of, splits))
    runs = [run for run in runs if place_of(run) in done]
    if not splits:
        raise SystemExit(f"{folder}: expected a split that {len(facts['strategies'])} strategies have run on, found none")
    return [{"study": name, **line} for line in ({**told, "settings": settings, **facts}, *splits, *runs)]


def place_of(line: Mapping[str, Any]) -> tuple[int, int | None]:
    """Return the seed and the fold of a split, or of a run."""
    return line["seed"], line["fold"]


def check_belongs(lines: Sequence[Mapping[str, Any]], earlier: Sequence[Mapping[str, Any]]) -> None:
    """Refuse lines that are not other splits of the study of some earlier lines.

    Raises:
        SystemExit: The data, strategies or settings are others, or a split is there already.
    """
    new, old = (next(line for line in some if "strategies" in line) for some in (lines, earlier))
    for name in sorted({*new, *old} - {"command", "date", "environment", "changed", "note", "seeds"}):
        mine, its = ({**line[name], "seed": 0} if name == "settings" else line.get(name) for line in (new, old))
        if mine != its:
            raise SystemExit(f"'{new['study']}' is recorded with other {name}; choose another name")
    hashes = [{line["data_sha256"] for line in some if "truth" in line} for some in (lines, earlier)]
    if hashes[0] != hashes[1]:
        raise SystemExit(f"'{new['study']}' is recorded of other images; choose another name")
    places = [{place_of(line) for line in some if "truth" in line} for some in (lines, earlier)]
    if both := sorted(places[0] & places[1], key=str):
        seed, fold = both[0]
        raise SystemExit(f"'{new['study']}' holds seed {seed}{'' if fold is None else f', fold {fold}'} already")


def append_study(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Append lines to a file of results, whose lines are never changed."""
    with path.open("a", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, sort_keys=True, separators=(",", ":")) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="name of the study among the results, such as frames-2026-12")
    parser.add_argument("folder", type=Path, help="--out of the study")
    parser.add_argument("command", nargs="+", help="the command that ran it, behind --")
    parser.add_argument("--note", help="what a reader of the times must know, such as other work on the machine")
    given = parser.parse_args()
    told = {
        "command": shlex.join(given.command),
        "commit": git("rev-parse", "HEAD"),
        "changed": bool(git("status", "--porcelain", "--untracked-files=no")),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "environment": environment(LIBRARIES),
        **({"note": given.note} if given.note else {}),
    }
    lines = lines_of_study(given.name, given.folder, **told)
    earlier = [line for line in lines_of("study") if line.get("study") == given.name]
    if earlier:
        check_belongs(lines, earlier)
    append_study(RESULTS / "study.jsonl", lines)
    print(f"{len(lines)} lines. Put these marks where docs/results/chain.md shall show it, then run {SCRIPT}:")
    print(*marks(given.name, SCRIPT), sep="\n")


if __name__ == "__main__":
    main()
