"""How long ``weckd-edge --help`` takes beside a Python that does nothing: ``python benchmarks/bench_startup.py``.

The two run alternately, so that what else the machine does meets both. Appends one line to results/startup.jsonl.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from record import append

ROUNDS = 21


def time_ns(command: list[str]) -> int:
    """Return how long a command takes from its start to its end."""
    start_ns = time.monotonic_ns()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic_ns() - start_ns


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
    ratio = statistics.median(times_ns["help"]) / statistics.median(times_ns["python"])
    append("startup", "weckd-edge --help beside python -c pass", times_ns, ["click"], ratio=round(ratio, 3))


if __name__ == "__main__":
    main()
