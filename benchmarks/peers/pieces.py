"""One finished piece: a peer's program run step by step in its environment, and what it told put into one result."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from peers import job as jobs
from peers import measure
from peers.catalogue import PEERS, PROGRAMS
from peers.environments import last_words
from peers.job import BUILT, TIMES

from weckd_edge.core.telemetry import VARIABLES

STEP = Path(__file__).with_name("step.py")
ROOT = STEP.parents[2]
ROUNDS = 5
"""Number of turns in which a peer and this project are timed, one after the other."""
DIGITS = 6
SILENT = {
    **dict.fromkeys(VARIABLES, "1"),
    "HF_HUB_OFFLINE": "1",
    "OMP_WAIT_POLICY": "passive",
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""Environment variables of every step: no library reports or downloads anything, and threads that wait sleep."""


class StepError(RuntimeError):
    """A step of a peer failed; the message is its last words."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a piece is run.

    Attributes:
        python: Python of the peer's environment.
        job: The job's file.
    """

    python: Path
    job: Path

    @property
    def folder(self) -> Path:
        """Folder of everything that the peer writes."""
        return self.job.parent


def run_piece(job: jobs.Job, python: Path, ours: Path | None, frames: int) -> jobs.Result:
    """Run one piece from its folder of images to its result.

    Args:
        job: The job.
        python: Python of the peer's environment.
        ours: Folder of this project's finished piece on the same images, which is timed in turn with it; None without one.
        frames: Number of frames of each size that are timed.

    Raises:
        StepError: A step failed; the message is its last words.
        FormatError: What came back is no result.
    """
    folder = Path(job.folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    place = Place(python=python, job=folder / "job.json")
    jobs.write(place.job, job)
    for step in ("build", "predict", "predict-trained", "memory"):
        run_step(step, place, threads=job.threads if step == "build" else 1, most_s=7200 + 20 * job.seconds)
    latency = time_in_turn(place, ours, frames)
    return put_together(job, latency)


def run_step(step: str, place: Place, *, threads: int, most_s: float) -> None:
    """Run one step in a process of its own; what it prints is kept in ``STEP.log``.

    Raises:
        StepError: It failed, or ran for longer than ``most_s`` seconds.
    """
    log = place.folder / f"{step}.log"
    with log.open("w", encoding="utf-8") as printed:
        try:
            done = subprocess.run(
                _command(step, place),
                env=environment(place, threads),
                stdout=printed,
                stderr=subprocess.STDOUT,
                timeout=most_s,
                cwd=place.folder,
                check=False,
            )
        except subprocess.TimeoutExpired as err:
            raise StepError(f"{step}: not done in {most_s:.0f} s") from err
    if done.returncode != 0:
        raise StepError(f"{step} ended with {done.returncode}: {last_words(log.read_text(encoding='utf-8'))}")


def environment(place: Place, threads: int) -> dict[str, str]:
    """Return the environment variables of a step; the project itself is found by its own Python alone."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")}
    own = {"PYTHONPATH": str(ROOT)} if place.python == Path(sys.executable) else {}
    return {**kept, **SILENT, **own, "OMP_NUM_THREADS": str(threads)}


def time_in_turn(place: Place, ours: Path | None, frames: int) -> dict[str, jobs.Latency]:
    """Time a peer's artefact on one core, in turn with this project's where there is one.

    Raises:
        StepError: One of the two could not be opened or could not predict.
    """
    places = {"it": place} | ({"ours": Place(python=Path(sys.executable), job=ours / "job.json")} if ours else {})
    running = {name: Timed(one) for name, one in places.items()}
    try:
        taken: dict[tuple[str, str], list[list[int]]] = {}
        for size in measure.SIZES:
            for turn in range(ROUNDS):
                for name in list(running)[:: 1 if turn % 2 == 0 else -1]:  # neither is always the one behind the other
                    taken.setdefault((size, name), []).append(running[name].times(size, -(-frames // ROUNDS)))
    finally:
        for process in running.values():
            process.end()
    return {size: latency_of(taken[size, "it"], taken.get((size, "ours"))) for size in measure.SIZES}


def latency_of(taken_ns: Sequence[Sequence[int]], ours_ns: Sequence[Sequence[int]] | None) -> jobs.Latency:
    """Return the quantiles of a peer's times, and how they compare with ours, from nanoseconds of each turn."""
    p50, p90 = (float(value) / 1e6 for value in np.percentile(np.concatenate(taken_ns), (50, 90)))
    middle, ratio = None, None
    if ours_ns is not None:
        middle = float(np.median(np.concatenate(ours_ns))) / 1e6
        ratio = float(np.median([np.median(its) / np.median(ours) for its, ours in zip(taken_ns, ours_ns, strict=True)]))
    count = sum(len(turn) for turn in taken_ns)
    return jobs.Latency(p50_ms=p50, p90_ms=p90, frames=count, ours_p50_ms=middle, over_ours=ratio)


class Timed:
    """A process that opened an artefact and times predictions when it is asked to."""

    def __init__(self, place: Place) -> None:
        self.log = (place.folder / "time.log").open("w", encoding="utf-8")
        self.process = subprocess.Popen(
            _command("time", place),
            env=environment(place, 1),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            cwd=place.folder,
        )

    def times(self, size: str, count: int) -> list[int]:
        """Return the time of each of ``count`` predictions, nanoseconds.

        Raises:
            StepError: The process ended instead.
        """
        asked, answered = _pipe(self.process.stdin), _pipe(self.process.stdout)
        with contextlib.suppress(BrokenPipeError):  # the empty answer below tells
            asked.write(f"{size} {count}\n")
            asked.flush()
        for line in answered:
            if line.startswith(TIMES):
                found: list[int] = json.loads(line.removeprefix(TIMES))
                return found
        said = Path(self.log.name).read_text(encoding="utf-8")
        raise StepError(f"time ended with {self.process.wait()}: {last_words(said)}")

    def end(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            _pipe(self.process.stdin).close()
        self.process.wait(timeout=60)
        _pipe(self.process.stdout).close()
        self.log.close()


def put_together(job: jobs.Job, latency: Mapping[str, jobs.Latency]) -> jobs.Result:
    """Return the result of a piece from what its steps wrote.

    Raises:
        FormatError: It is no result.
    """
    folder = Path(job.folder)

    def read(name: str) -> Any:
        return json.loads((folder / name).read_text(encoding="utf-8"))

    def rows(found: list[list[float]] | None) -> tuple[tuple[float, ...], ...] | None:
        return None if found is None else tuple(tuple(round(value, DIGITS) for value in row) for row in found)

    built, told = jobs.read_built(folder / BUILT), read("told.json")
    result = jobs.Result(
        images=tuple(measure.test_images(Path(job.data))),
        deployed=rows(read("deployed.json")) or (),
        trained=rows(read("trained.json")),
        latency=dict(latency),
        deployed_bytes=measure.size_on_disk(folder / built.deployed),
        network_bytes=sum(measure.size_on_disk(folder / name) for name in built.network),
        seconds=told["seconds"],
        built=built,
        lines=lines_of(job.peer),
        versions=told["versions"],
        **read("memory.json"),
    )
    jobs.check(result, job.labels)
    return result


def lines_of(peer: str) -> int:
    """Return how many lines a user would have written for a peer.

    Raises:
        FormatError: A part that the catalogue names is not marked in its program.
    """
    found = 0
    for named in PEERS[peer].parts:
        program, _, part = named.partition(": ")
        found += jobs.count_lines((PROGRAMS / f"{program}.py").read_text(encoding="utf-8"), [part])
    return found


def finished(folder: Path) -> Path | None:
    """Return a piece's folder where its artefact is there; else None."""
    return folder if (folder / BUILT).is_file() and (folder / "told.json").is_file() else None


def _command(step: str, place: Place) -> list[str]:
    return [str(place.python), str(STEP), step, str(place.job)]


def _pipe(found: IO[str] | None) -> IO[str]:
    if found is None:
        raise StepError("the process has no pipe")
    return found
