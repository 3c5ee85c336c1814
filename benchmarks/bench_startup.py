"""How long ``weckd-edge --help`` takes beside a Python that does nothing: ``python benchmarks/bench_startup.py``.

The two run alternately, so that what else the machine does meets both. Appends one line to results/startup.jsonl.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

ROUNDS = 21
HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "startup.jsonl"


def time_ns(command: list[str]) -> int:
    """Return how long a command takes from its start to its end."""
    start_ns = time.monotonic_ns()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic_ns() - start_ns


def git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def spread(samples_ns: list[int]) -> float:
    low, _, high = statistics.quantiles(samples_ns, n=4)
    return (high - low) / statistics.median(samples_ns)


def main() -> None:
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "help": [str(Path(sys.executable).with_name("weckd-edge")), "--help"],
    }
    for command in commands.values():
        time_ns(command)  # fills the caches of files and byte code; not counted
    times_ns: dict[str, list[int]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times_ns[name].append(time_ns(command))
    medians_ns = {name: round(statistics.median(samples)) for name, samples in times_ns.items()}
    result = {
        "what": "weckd-edge --help beside python -c pass",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "HEAD"),
        "changed": bool(git("status", "--porcelain", "--", "weckd_edge")),
        "environment": {
            "python": platform.python_version(),
            "click": metadata.version("click"),
            "system": f"{platform.system()} {platform.release()}",
            "processor": processor(),
            "cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],
        },
        "times_ns": times_ns,
        "medians_ns": medians_ns,
        "iqr_over_median": {name: round(spread(samples), 4) for name, samples in times_ns.items()},
        "ratio": round(medians_ns["help"] / medians_ns["python"], 3),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result, sort_keys=True) + "\n")
    print(f"python -c pass      {medians_ns['python'] / 1e6:7.1f} ms")
    print(f"weckd-edge --help   {medians_ns['help'] / 1e6:7.1f} ms, {result['ratio']} times")
    for name, samples in times_ns.items():
        if spread(samples) > 0.1:
            print(f"warning: the times of {name} spread over {spread(samples):.0%} of their median")


if __name__ == "__main__":
    main()
