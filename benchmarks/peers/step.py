"""One step of one peer, in the peer's own environment and in a process of its own; run.py starts it.

    PYTHON benchmarks/peers/step.py {build,predict,predict-trained,memory,time} JOB.json

Each writes a file beside the job: ``built.json``, ``deployed.json``, ``trained.json``, ``memory.json``. ``time`` prints a
line for each line ``SIZE COUNT`` that it reads: the time of each prediction, nanoseconds, as JSON. It so takes turns with
another process.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder's names are no modules for libraries to find

from peers import job as jobs
from peers import measure
from peers.catalogue import PEERS
from peers.job import BUILT, TIMES


def build(job: jobs.Job, program: ModuleType, folder: Path) -> None:
    """Run a peer from the images to its artefact, and note how long that took and with which versions."""
    start = time.monotonic()
    built = program.build(job)
    seconds = time.monotonic() - start
    jobs.write(folder / BUILT, built)
    found = {"python": sys.version.split()[0]}
    for name in program.DISTRIBUTIONS:
        found[name] = metadata.version(name)
    told: dict[str, Any] = {
        "seconds": seconds + built.seconds_before - built.planning_seconds,
        "versions": found,
    }
    (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")


def predict(job: jobs.Job, program: ModuleType, folder: Path, which: str) -> None:
    """Write the predictions of all test images, by the artefact or by the trained network."""
    opened = getattr(program, f"open_{which}")(job, jobs.read_built(folder / BUILT))
    rows = None if opened is None else list(measure.predict_all(opened, Path(job.data)))
    (folder / f"{which}.json").write_text(json.dumps(rows), encoding="utf-8")


def memory(job: jobs.Job, program: ModuleType, folder: Path) -> None:
    """Write the resident memory of a process that opens the artefact and predicts some frames."""
    opened = program.open_deployed(job, jobs.read_built(folder / BUILT))
    measure.time_frames(opened, measure.frames_of(Path(job.data), "own size"), 1)
    resident, peak = measure.memory()
    (folder / "memory.json").write_text(json.dumps({"resident_bytes": resident, "peak_bytes": peak}), encoding="utf-8")


def answer_times(job: jobs.Job, program: ModuleType, folder: Path) -> None:
    """Time predictions as often as a line asks for it."""
    opened = program.open_deployed(job, jobs.read_built(folder / BUILT))
    frames = {size: measure.frames_of(Path(job.data), size) for size in measure.SIZES}
    for line in sys.stdin:
        size, _, count = line.strip().rpartition(" ")
        taken = measure.time_frames(opened, frames[size], int(count))
        print(f"{TIMES}{json.dumps(taken)}", flush=True)


def main() -> None:
    """Run the step that the arguments name."""
    step, path = sys.argv[1], Path(sys.argv[2])
    job = jobs.read_job(path)
    measure.pin(job.threads if step == "build" else 1)
    program = importlib.import_module(f"peers.programs.{PEERS[job.peer].program}")
    if step == "build":
        build(job, program, path.parent)
    elif step in ("predict", "predict-trained"):
        predict(job, program, path.parent, "deployed" if step == "predict" else "trained")
    elif step == "memory":
        memory(job, program, path.parent)
    elif step == "time":
        answer_times(job, program, path.parent)
    else:
        raise SystemExit(f"expected build, predict, predict-trained, memory or time, got '{step}'")


if __name__ == "__main__":
    main()
