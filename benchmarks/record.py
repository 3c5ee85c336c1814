"""Lines of results: one JSON object with the environment, the commit and the raw times."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
QUIET = 0.1


def append(
    name: str, what: str, times_ns: dict[str, list[int]], libraries: Sequence[str], **figures: Any
) -> dict[str, float]:
    """Append one line to ``results/<name>.jsonl``, print the medians, and return them in nanoseconds.

    Args:
        name: Name of the result file, without its suffix.
        what: What was measured, in words.
        times_ns: Raw times of each variant, taken alternately in one run.
        libraries: Distributions whose versions matter.
        **figures: Other figures of the result, such as ratios.
    """
    medians = {key: statistics.median(samples) for key, samples in times_ns.items()}
    spreads = {key: round(spread(samples), 4) for key, samples in times_ns.items() if len(samples) > 1}
    line = {"what": what, "times_ns": times_ns, "medians_ns": medians, "iqr_over_median": spreads, **figures}
    append_line(HERE / "results" / f"{name}.jsonl", libraries, line)
    for key, median in medians.items():
        noisy = f"  (spread {spreads[key]:.0%}: noisy)" if spreads.get(key, 0) > QUIET else ""
        print(f"{key:32s} {median / 1e6:9.3f} ms{noisy}")
    for key, value in figures.items():
        print(f"{key:32s} {value}")
    return medians


def append_line(path: Path, libraries: Sequence[str], line: Mapping[str, Any]) -> None:
    """Append a line to a file of results, with when, where and from which code it came.

    Args:
        path: File of the results; its folder is made where it is missing.
        libraries: Distributions whose versions matter.
        line: What the line tells.
    """
    about = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "HEAD"),
        "changed": bool(git("status", "--porcelain", "--untracked-files=no")),
        "environment": environment(libraries),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**about, **line}, sort_keys=True) + "\n")


def environment(libraries: Sequence[str]) -> dict[str, Any]:
    """Return the machine, and the versions of Python and of some distributions."""
    return {
        "python": platform.python_version(),
        **{library: metadata.version(library) for library in libraries},
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }


def spread(samples_ns: Sequence[int]) -> float:
    """Return the interquartile range over the median."""
    low, _, high = statistics.quantiles(samples_ns, n=4)
    return (high - low) / statistics.median(samples_ns)


def git(*arguments: str) -> str | None:
    """Return what git prints in this folder; None where it fails."""
    done = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def processor() -> str:
    """Return the name of this machine's processor."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
