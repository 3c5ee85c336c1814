"""Resolve every extra at its floor and at its ceiling, for every Python that is promised: ``make resolve-test``.

Nothing is installed, and no other Python is needed: uv reads the package index as that Python on that machine would.
Wheels alone count, so that nobody needs a compiler. The floors are what ``pyproject.toml`` names, the ceilings what is
newest today. All extras are resolved together, which proves each: what holds for all of them holds for fewer. The very
versions that are named are resolved for each extra alone, as one may need more than another names.

Where the index cannot be reached, it says why it is skipped; ``--required`` makes that a failure.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from uv import find_uv_bin

from support.programs.check_steps import CheckFailed, Skipped, skip

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "pyproject.toml"
UV = find_uv_bin()
"""uv's path, looked up before there are threads: Python 3.11 fills what it knows of its installation in place."""
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
MACHINES = {"x86_64": "x86_64-manylinux_2_28", "aarch64": "aarch64-manylinux_2_35"}
"""Machines by uv's name for them; the second is JetPack 6's, whose Python is 3.10."""

STANDS_APART = {"tensorrt", "torch-tensorrt"}
"""Extras for which PyPI has no wheels: their libraries come with JetPack or from the vendor's index."""

NOT_ON_ARM = {"bench", "all", "dev", "docs"}
"""Extras with a library that has no wheel for Arm (mlcommons-loadgen), and what only those who change this package need."""

FROM_SOURCE = ("tensorrt-rtx", "tensorrt-rtx-cu13")
"""Packages that PyPI has as source alone: they compile nothing, and name the wheels."""

UNREACHABLE = ("error sending request", "Failed to fetch", "dns error", "Connection refused", "timed out")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Some extras on one Python of one machine, at one end of their versions.

    Attributes:
        extras: None of them: the package alone.
        python: Its version.
        machine: A key of ``MACHINES``.
        end: The lowest versions that there are for this Python, the newest, or the very versions that are named.
        pins: Of the named versions.
    """

    extras: tuple[str, ...]
    python: str
    machine: str
    end: Literal["lowest", "newest", "named"]
    pins: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = f"weckd-edge[{','.join(self.extras)}]" if self.extras else "weckd-edge"
        return f"{names}, {self.end} versions, for Python {self.python} on {self.machine}"


def jobs(base: list[str], extras: dict[str, list[str]]) -> Iterator[Job]:
    named = {name: lines for name, lines in extras.items() if name not in STANDS_APART}
    everything = ("all", *sorted(set(named) - {"all"}))
    for python in PYTHONS:
        yield Job(extras=everything, python=python, machine="x86_64", end="lowest")
        yield Job(extras=everything, python=python, machine="x86_64", end="newest")
    on_arm = tuple(sorted(set(named) - NOT_ON_ARM))
    yield Job(extras=on_arm, python=PYTHONS[0], machine="aarch64", end="lowest")
    yield Job(extras=on_arm, python=PYTHONS[0], machine="aarch64", end="newest")
    for name, lines in {"": base, **named}.items():
        if pins := floors(lines):
            extra = (name,) if name else ()
            yield Job(extras=extra, python=PYTHONS[0], machine="x86_64", end="named", pins=tuple(pins))


def uv(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run uv; it fetches no other Python."""
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    return subprocess.run([UV, *arguments], capture_output=True, text=True, env=environment, check=False)


def wheels_alone() -> list[str]:
    """Return the options by which uv takes wheels, and source only where there is nothing else."""
    return ["--only-binary", ":all:", *(part for name in FROM_SOURCE for part in ("--no-binary", name))]


def resolve(job: Job) -> int:
    """Return how many packages would be installed.

    Raises:
        CheckFailed: There is no set of versions.
        Skipped: The index cannot be reached.
    """
    command = ["pip", "compile", str(PROJECT), *wheels_alone(), "--no-header", "--no-annotate"]
    command += ["--python-version", job.python, "--python-platform", MACHINES[job.machine]]
    command += ["--resolution", "highest" if job.end == "newest" else "lowest-direct"]
    command += [part for extra in job.extras for part in ("--extra", extra)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
        pins.write("\n".join(job.pins) + "\n")
        pins.flush()
        done = uv([*command, "--constraint", pins.name])
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if not line.startswith("warning:")]
        if any(word in done.stderr for word in UNREACHABLE):
            raise Skipped(f"the package index cannot be reached ({' '.join(reason)[:200]})")
        raise CheckFailed(f"{job}: cannot be installed\n" + "\n".join(reason))
    found = [line for line in done.stdout.splitlines() if "==" in line]
    if len(found) < len(job.pins):
        raise CheckFailed(f"{job}: uv named no versions")
    return len(found)


def floors(requirements: list[str]) -> list[str]:
    """Return each requirement's floor as a pin; one of this project's own extras has none.

    Raises:
        CheckFailed: A requirement names no floor.
    """
    pins = []
    for text in requirements:
        needed = Requirement(text)
        if needed.name == "weckd-edge":
            continue
        named = [one.version for one in needed.specifier if one.operator == ">="]
        if len(named) != 1:
            raise CheckFailed(f"{text}: expected one floor, such as >=1.2")
        marker = f"; {needed.marker}" if needed.marker else ""
        pins.append(f"{needed.name}=={named[0]}{marker}")
    return pins


def check(base: list[str], extras: dict[str, list[str]], threads: int) -> str:
    todo = list(jobs(base, extras))
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(resolve, todo))
    sets = f"{len(todo)} sets of {min(found)} to {max(found)} packages"
    return f"{sets}; {len(extras) - len(STANDS_APART)} extras, Python {', '.join(PYTHONS)}"


def main() -> int:
    asked = argparse.ArgumentParser(description="Resolve every extra for every Python.")
    asked.add_argument("--required", action="store_true", help="fail where the package index cannot be reached")
    asked.add_argument("--threads", type=int, default=2, help="resolutions at a time")
    given = asked.parse_args()
    start_ns = time.monotonic_ns()
    project: dict[str, Any] = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    try:
        told = check(project["dependencies"], project["optional-dependencies"], given.threads)
    except Skipped as err:
        return skip("resolve every extra", err, required=given.required)
    except CheckFailed as err:
        sys.stderr.write(f"FAILED  {err}\n")
        return 1
    sys.stdout.write(f"ok {(time.monotonic_ns() - start_ns) / 1e9:5.1f} s  resolve every extra: {told}\n")
    sys.stdout.write(
        f"not resolved: {', '.join(sorted(STANDS_APART))} (PyPI has no wheels; from JetPack or the vendor's index)\n"
    )
    sys.stdout.write("not resolved on aarch64: bench, all (mlcommons-loadgen has no wheel there and is compiled)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
