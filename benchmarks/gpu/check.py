"""Everything that a GPU can tell, in one run of at most eight minutes: ``make gpu-check DATA=FOLDER WEIGHTS=FOLDER``.

Three parts, the most important first. Each piece appends one JSON line as soon as it is done, to
benchmarks/results/gpu.jsonl or to ``--out``:

- ``tests``: the tests marked ``gpu``.
- ``rates``: steps a second of the training loop, and of a bare loop of the same network on images that are on the GPU
  already, for some batches and precisions, with the GPU's load by NVML (rates.py).
- ``study``: the full-size study, a process for each data set, which is a subfolder of FOLDER with a ``groups.csv``
  (full_study.py).

Each part has its share of ``--budget``. What does not fit is left out, and a line says what that was. A later run with
the same results file (and ``--work``, for links) goes on behind the lines that are there. Without a GPU, or with
``--small``, toy networks run on the CPU for a minute or two. No network is needed; README.md beside this says what to
carry to a bare machine. It exits with 1 where something failed; what was left out is no failure.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

NEEDED = {
    "tests": ("torch", "timm", "torchvision", "lightning_fabric", "safetensors", "PIL", "click", "rich", "scipy", "pytest"),
    "rates": ("torch", "timm", "torchvision", "lightning_fabric", "safetensors", "PIL"),
    "study": ("torch", "timm", "torchvision", "lightning_fabric", "safetensors", "PIL", "scipy"),
}
"""Modules that each part imports."""

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("tests", "rates", "study")
SHARES = {"tests": 0.3, "rates": 0.3}
"""Share of the time that is left when a part begins, which it may take; the study takes the rest."""
TESTS = "tests/gpu"
RESERVE_S = 10.0
"""Time that is kept for ending processes and for writing the last lines."""


@dataclass(kw_only=True)
class Report:
    """What was not done.

    Attributes:
        left_out: Pieces for which there was no time, or nothing to run them on.
        failed: Pieces that failed.
    """

    left_out: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Budget:
    """Time that is left, by the clock of the day, which processes share."""

    ends_at: float

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return max(0.0, self.ends_at - time.time())

    def part(self, share: float) -> Budget:
        """Return the budget of a part that may take a share of what is left."""
        return Budget(ends_at=time.time() + share * self.left_s)


def missing(parts: Sequence[str]) -> list[str]:
    """Return the modules that some parts import and that are not installed."""
    return sorted({name for part in parts for name in NEEDED[part] if importlib.util.find_spec(name) is None})


def run_tests(results: Any, budget: Budget, report: Report, *, small: bool) -> None:
    """Run the tests of tests/gpu, those for a GPU where there is one."""
    import torch

    mark = "gpu" if torch.cuda.is_available() and not small else "not gpu"
    key = {"mark": mark}
    if results.has("tests", key):
        return
    with tempfile.TemporaryDirectory() as folder:
        written, started = Path(folder) / "report.xml", time.monotonic()
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            mark,
            f"--junitxml={written}",
            TESTS,
        ]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=budget.left_s
            )
        except subprocess.TimeoutExpired:
            report.left_out.append(f"tests -m '{mark}': not done in {time.monotonic() - started:.0f} s")
            return
        suite = ET.parse(written).getroot().find("testsuite")
    counts = (
        {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")} if suite is not None else {}
    )
    cases = suite.iter("testcase") if suite is not None else ()
    times = {f"{case.get('classname')}::{case.get('name')}": float(case.get("time", 0)) for case in cases}
    tail = done.stdout[-3000:] if done.returncode else ""
    results.append(
        "tests", key, rc=done.returncode, seconds=round(time.monotonic() - started, 1), times_s=times, tail=tail, **counts
    )
    print(f"tests -m '{mark}': {counts}", *([tail] if tail else []), sep="\n")
    if done.returncode:
        report.failed.append(f"tests -m '{mark}': {counts}")


def run_rates(results: Any, budget: Budget, report: Report, work: Path, *, small: bool) -> None:
    """Time each setting that fits."""
    from benchmarks.gpu import rates

    longest_s = 0.0
    scale = rates.SMALL if small else rates.FULL
    for setting in rates.settings(small):
        key = rates.key_of(setting)
        if results.has("rate", key):
            continue
        if budget.left_s < longest_s or not budget.left_s:
            report.left_out.append(f"rate {key}")
            continue
        started = time.monotonic()
        try:
            found = rates.time_steps(setting, scale, work)
        except Exception as err:  # one setting that a device refuses must not end the others
            found = {"error": f"{type(err).__name__}: {err}"[:500]}
            report.failed.append(f"rate {key}: {found['error']}")
        longest_s = max(longest_s, time.monotonic() - started)
        results.append("rate", key, **found)
        shown = found.get("error") or f"{found['steps_per_s']} steps/s, {found['utilisation'].get('load_percent')} % load"
        print(f"{setting.model} {setting.size} px, batch {setting.batch}, {setting.precision}, {setting.variant}: {shown}")


def find_sets(arguments: argparse.Namespace, work: Path) -> dict[str, Path]:
    """Return the tables of the data sets by their names; small and without any, phantoms are drawn."""
    found = {path.parent.name: path for path in sorted(arguments.data.glob("*/groups.csv"))} if arguments.data else {}
    return found or ({"phantom": _draw_phantoms(work)} if arguments.small else {})


def start_lanes(
    sets: dict[str, Path], results: Any, arguments: argparse.Namespace, work: Path, budget: Budget, *more: str
) -> dict[str, subprocess.Popen[str]]:
    """Start a process of full_study.py for each data set; ``more`` are arguments of each."""
    lanes = {}
    for name, path in sets.items():
        fields = {
            "name": name,
            "data": str(path.resolve()),
            "weights": str(arguments.weights.resolve()) if arguments.weights else None,
            "seeds": list(range(arguments.first_seed, arguments.first_seed + arguments.seeds)),
            "small": arguments.small,
            "precision": arguments.precision,
            "work": str(work),
            "ends_at": budget.ends_at - RESERVE_S,
            "step_s": _step_s(results.path, arguments.precision),
        }
        commit = ["--commit", results.commit] if results.commit else []
        given = ["--lane", json.dumps(fields), "--out", str(results.path), *commit, *more]
        lanes[name] = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu.full_study", *given],
            cwd=ROOT,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    return lanes


def run_study(
    sets: dict[str, Path], results: Any, budget: Budget, report: Report, arguments: argparse.Namespace, work: Path
) -> None:
    """Run the study, a process for each data set."""
    from benchmarks.gpu.utilisation import watched

    if not sets:
        report.left_out.append("study: no data set was given (--data FOLDER, with FOLDER/*/groups.csv)")
        return
    with watched() as load:
        for name, process in start_lanes(sets, results, arguments, work, budget).items():
            _end(name, process, budget, report)
    results.append("study load", {"sets": sorted(sets)}, utilisation=load)


def _end(name: str, process: subprocess.Popen[str], budget: Budget, report: Report) -> None:
    """Wait for a lane, and end it where its time is over."""
    try:
        out, err = process.communicate(timeout=max(1.0, budget.left_s))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        report.left_out.append(f"study {name}: its time was over; what it had begun is kept in --work")
        return
    if process.returncode:
        print(err[-3000:])
        report.failed.append(f"study {name}: {err.strip().splitlines()[-1][:300] if err.strip() else process.returncode}")
    else:
        report.left_out += [f"study {json.dumps(key)}" for key in json.loads(out or "[]")]


def _step_s(path: Path, precision: str) -> float:
    """Return the time of a gradient step of the study's batch as it was last measured, seconds; 0 where it was not."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    wanted = {"piece": "rate", "variant": "loop", "precision": precision, "batch": 32}
    found = [line["steps_per_s"] for line in lines if wanted.items() <= line.items() and "steps_per_s" in line]
    return 1 / found[-1] if found else 0.0


def _draw_phantoms(work: Path) -> Path:
    from weckd_edge.core.progress import SilentProgress
    from weckd_edge.train.data.synth.phantoms import write_phantoms

    folder = work / "phantom-images"
    write_phantoms(folder, SilentProgress(), images=120, height=48, width=64)
    return folder / "groups.csv"


def _environment() -> dict[str, str]:
    """Return the environment of a process that finds this source tree first."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}


def read_arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data sets, each a subfolder with a groups.csv")
    parser.add_argument(
        "--weights", type=Path, help="folder of pretrained trunks; without it the study starts from random weights"
    )
    parser.add_argument(
        "--out", type=Path, help="file that lines are appended to; benchmarks/results/gpu.jsonl, build/ if small"
    )
    parser.add_argument("--work", type=Path, help="folder of the study's links, which a later run goes on from")
    parser.add_argument("--budget", type=float, default=480.0, help="seconds for everything")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--precision", default="bf16-mixed", help="number format of the study")
    parser.add_argument("--commit", help="commit of the code, where git cannot tell it")
    parser.add_argument("--small", action="store_true", help="toy networks on the CPU")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Run the parts; return 1 where a module is missing or something failed."""
    arguments = read_arguments(given)
    sys.stdout.reconfigure(line_buffering=True)
    budget = Budget(ends_at=time.time() + arguments.budget)
    if found := missing(arguments.parts):
        print(f"not installed: {', '.join(found)}; benchmarks/gpu/README.md says how to carry what a machine lacks")
        return 1
    sys.path.insert(0, str(ROOT))
    import torch

    from benchmarks.gpu.lines import Results

    if not torch.cuda.is_available() and not arguments.small:
        print("there is no CUDA device: everything runs small, on the CPU")
        arguments.small = True
    usual = ROOT / ("build/gpu-small.jsonl" if arguments.small else "benchmarks/results/gpu.jsonl")
    results = Results(path=(arguments.out or usual).resolve(), commit=arguments.commit)
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        work = (arguments.work or Path(folder)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        sets = find_sets(arguments, work) if "study" in arguments.parts else {}
        # Images are decoded while the tests run, which time nothing.
        decoding = start_lanes(sets, results, arguments, work, budget, "--prepare") if "tests" in arguments.parts else {}
        if "tests" in arguments.parts:
            run_tests(results, budget.part(SHARES["tests"]), report, small=arguments.small)
        for name, process in decoding.items():
            _end(name, process, budget, report)
        if "rates" in arguments.parts:
            run_rates(results, budget.part(SHARES["rates"]), report, work, small=arguments.small)
        if "study" in arguments.parts:
            run_study(sets, results, budget, report, arguments, work)
    seconds = round(arguments.budget - budget.left_s, 1)
    results.append("end", {"parts": arguments.parts}, left_out=report.left_out, failed=report.failed, seconds=seconds)
    print(*(f"left out: {one}" for one in report.left_out), *(f"failed: {one}" for one in report.failed), sep="\n")
    print(f"{seconds} s, lines in {results.path}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
