"""What the bench itself takes of each query: ``python benchmarks/bench_harness.py``.

A bare loop (frame in, answer out, nothing timed), our own single-stream loop, the same with a file that takes the times and
a board's files read once a round, and MLPerf's LoadGen drive the same tiny runner in turns, in short rounds. Compared is
processor time of the whole process, all its threads, so that other programs do not count; LoadGen's holds its start and
its log. Appends one line to results/harness.jsonl: the times are of one query.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
from record import append

from weckd_edge.devices.bench.load_generator.loadgen_backend import run_loadgen
from weckd_edge.devices.bench.load_generator.rules import find_rules
from weckd_edge.devices.bench.load_generator.single_stream import no_collection, run_single_stream
from weckd_edge.devices.bench.machine_log import MachineFiles
from weckd_edge.devices.bench.poller import Poller

ROUNDS, QUERIES, WORK = 30, 10_000, 1000
MAX_NS = 20_000


class Works:
    """A runner that does a set amount of work, about as long as the smallest network takes."""

    def run(self, frame: np.ndarray) -> int:
        found = 0
        for number in range(WORK):
            found += number
        return found


def main() -> None:
    runner, frames = Works(), [np.zeros((1, 480, 640, 3), np.uint8)] * 8
    rules = find_rules("quick", queries=QUERIES, warmup=0)
    folder = tempfile.TemporaryDirectory()
    root = Path(folder.name)
    _board(root)
    looks = []
    with MachineFiles(root) as machine:
        files = len(machine._open)
        for _ in range(500):
            start_ns = time.monotonic_ns()
            machine.read_state()
            looks.append(time.monotonic_ns() - start_ns)

    def bare() -> None:
        run, count = runner.run, len(frames)
        with no_collection():
            for index in range(QUERIES):
                run(frames[index % count])

    def own() -> None:
        run_single_stream(runner, frames, rules)

    def watched() -> None:
        with tempfile.TemporaryFile() as file, MachineFiles(root) as machine, Poller(machine.read_state, 1.0):

            def keep(samples_ns: array[int]) -> None:
                file.write(samples_ns.tobytes())

            run_single_stream(runner, frames, rules, keep)

    def loadgen() -> None:
        run_loadgen(runner, frames, rules, 20_000)

    loops: dict[str, Callable[[], None]] = {"bare": bare, "own": own, "own_watched": watched, "loadgen": loadgen}
    times: dict[str, list[int]] = {name: [] for name in loops}
    for round_ in range(ROUNDS + 1):
        for name, loop in loops.items():
            start_ns = time.process_time_ns()
            loop()
            if round_:
                times[name].append((time.process_time_ns() - start_ns) // QUERIES)
    overhead = {
        name: statistics.median(b - a for a, b in zip(times["bare"], times[name], strict=True))
        for name in loops
        if name != "bare"
    }
    bare_ns = statistics.median(times["bare"])
    append(
        "harness",
        f"{QUERIES} queries a round, processor time of one query; LoadGen with its start and its log",
        times,
        ["numpy", "mlcommons-loadgen"],
        overhead_ns=overhead,
        ratio_to_bare={name: round(1 + ns / bare_ns, 4) for name, ns in overhead.items()},
        within_20_us={name: ns <= MAX_NS for name, ns in overhead.items()},
        look_ns=statistics.median(looks),
        machine_files=files,
    )
    folder.cleanup()


def _board(root: Path) -> None:
    """Write the files of a board with twelve cores, ten zones and ten cooling devices; a real one's are slower to read."""
    paths = {f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq": "1510400" for core in range(12)}
    for index in range(10):
        paths |= {
            f"sys/class/thermal/thermal_zone{index}/type": f"zone{index}",
            f"sys/class/thermal/thermal_zone{index}/temp": "48531",
            f"sys/class/thermal/cooling_device{index}/type": f"cpufreq-cpu{index}",
            f"sys/class/thermal/cooling_device{index}/cur_state": "0",
        }
    paths |= {"proc/loadavg": "0.1 0.1 0.1 1/2 3", "sys/class/devfreq/17000000.gpu/cur_freq": "624750000"}
    for path, text in paths.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


if __name__ == "__main__":
    main()
