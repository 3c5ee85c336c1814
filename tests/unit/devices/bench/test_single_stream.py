import gc
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from support.errors import raises
from weckd_edge.core.errors import ConfigError, MissingDependency, ModelError
from weckd_edge.devices.bench.cold_start import peak_rss_bytes
from weckd_edge.devices.bench.load_generator.rules import Rules, find_rules
from weckd_edge.devices.bench.load_generator.single_stream import TimedRun, run_single_stream, warm_up

FRAMES = [np.full((1, 2, 2, 3), value, np.uint8) for value in range(3)]


class Remembers:
    """Remembers the frames it is given, and whether the garbage collector was at rest."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.seen: list[int] = []
        self.collecting: set[bool] = set()
        self.fail_at = fail_at

    def run(self, frame: NDArray[np.uint8]) -> None:
        if len(self.seen) == self.fail_at:
            raise ModelError("broken", code="E_MODEL_GRAPH")
        self.seen.append(int(frame.flat[0]))
        self.collecting.add(gc.isenabled())


def exactly(queries: int) -> Rules:
    return find_rules("quick", queries=queries, warmup=0)


def for_so_long(**kw: float) -> Rules:
    rules: dict[str, Any] = {"min_queries": 1, "min_seconds": 0.0, "max_seconds": None, **kw}
    return Rules(name="quick", warmup=0, idle_seconds=0.0, note="", **rules)


def taking(durations_ns: Iterable[int]) -> Callable[[], int]:
    """Return a clock by which each query takes a set time, nanoseconds."""

    def ticks() -> Iterator[int]:
        now = 1000
        yield now
        for duration in durations_ns:
            yield now
            now += duration
            yield now
            now += 7  # between two queries: not counted

    return ticks().__next__


Start = Callable[..., TimedRun]


@pytest.fixture(params=["builtin", "loadgen"])
def start(request: pytest.FixtureRequest) -> Start:
    """Both load generators, called alike."""
    if request.param == "builtin":
        return run_single_stream
    pytest.importorskip("mlperf_loadgen")
    from weckd_edge.devices.bench.load_generator.loadgen_backend import run_loadgen

    def run(runner: Any, frames: Sequence[Any], rules: Rules, sink: Any = None) -> TimedRun:
        return run_loadgen(runner, frames, rules, 1000, sink)

    return run


def test_every_query_is_timed_and_frames_are_used_in_turn() -> None:
    runner = Remembers()
    run = run_single_stream(runner, FRAMES, exactly(4), clock=taking([5, 9, 1, 4]))
    assert run.samples_ns.tolist() == [5, 9, 1, 4]
    assert (run.start_ns, run.end_ns) == (1000, 1000 + 5 + 9 + 1 + 4 + 3 * 7)
    assert runner.seen == [0, 1, 2, 0]


@pytest.mark.parametrize(("min_queries", "sent"), [(1, 3), (5, 5)])
def test_a_run_goes_on_until_both_time_and_count_are_reached(min_queries: int, sent: int) -> None:
    rules = for_so_long(min_seconds=1.0, min_queries=min_queries)
    run = run_single_stream(Remembers(), FRAMES, rules, clock=taking([400_000_000] * 10))
    assert len(run.samples_ns) == sent


def test_the_longest_time_ends_a_run_once_it_says_something() -> None:
    rules = for_so_long(min_queries=1000, max_seconds=30.0)
    run = run_single_stream(Remembers(), FRAMES, rules, clock=taking([1_000_000_000] * 200))
    assert len(run.samples_ns) == 64


def test_times_are_handed_on_once_each_while_the_run_goes_on() -> None:
    values = [600_000_000, 500_000_000, 1, 2, 999_999_999, 3]
    given: list[list[int]] = []
    run_single_stream(Remembers(), FRAMES, exactly(6), lambda part: given.append(part.tolist()), taking(values))
    assert given == [values[:2], values[2:5], values[5:]]


def test_times_before_an_error_are_handed_on(start: Start) -> None:
    given: list[int] = []
    with raises(ModelError, "E_MODEL_GRAPH", says="broken"):
        start(Remembers(fail_at=3), FRAMES, exactly(9), given.extend)
    assert len(given) == 3


def test_the_garbage_collector_rests_and_is_put_back(start: Start) -> None:
    runner = Remembers()
    assert gc.isenabled()
    start(runner, FRAMES, exactly(3))
    assert runner.collecting == {False}
    assert gc.isenabled()
    with pytest.raises(ModelError):
        start(Remembers(fail_at=1), FRAMES, exactly(3))
    assert gc.isenabled()
    gc.disable()
    try:
        start(Remembers(), FRAMES, exactly(1))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_both_generators_send_exactly_so_many_and_keep_every_time(start: Start) -> None:
    runner = Remembers()
    run = start(runner, FRAMES, exactly(65))
    assert len(run.samples_ns) == len(runner.seen) == 65
    assert min(run.samples_ns) > 0
    assert run.end_ns - run.start_ns >= sum(run.samples_ns)
    assert set(runner.seen) == {0, 1, 2}


def test_both_generators_go_on_for_as_long_as_the_rules_ask(start: Start) -> None:
    run = start(Remembers(), FRAMES, for_so_long(min_seconds=0.2))
    assert 0.19 < (run.end_ns - run.start_ns) / 1e9 < 2


def test_without_frames_nothing_is_timed(start: Start) -> None:
    with raises(ConfigError, "E_CONFIG_VALUE"):
        start(Remembers(), [], exactly(1))


def test_a_sink_that_fails_ends_the_run(start: Start) -> None:
    def full(samples: "array[int]") -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        start(Remembers(), FRAMES, exactly(3), full)


def test_a_missing_loadgen_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from weckd_edge.devices.bench.load_generator.loadgen_backend import run_loadgen

    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with raises(MissingDependency, "E_MISSING_LIBRARY", says="weckd-edge[bench]"):
        run_loadgen(Remembers(), FRAMES, exactly(1), 1000)


def test_loadgens_own_figures_are_of_the_same_run() -> None:
    pytest.importorskip("mlperf_loadgen")
    from weckd_edge.devices.bench.load_generator.loadgen_backend import run_loadgen

    run = run_loadgen(Remembers(), FRAMES, exactly(200), 1000)
    assert run.loadgen is not None
    assert run.loadgen.valid
    assert (run.loadgen.queries, run.generator) == (200, run.loadgen.version)
    ordered = sorted(run.samples_ns)
    assert run.loadgen.p90_ns >= ordered[179]  # its time holds its call into Python
    assert run.loadgen.early_stopping_p99_ns is None


def test_warming_up_takes_frames_in_turn() -> None:
    runner = Remembers()
    assert warm_up(runner, FRAMES, 0) is None
    fastest_ns = warm_up(runner, FRAMES, 5)
    assert runner.seen == [0, 1, 2, 0, 1]
    assert fastest_ns is not None
    assert fastest_ns > 0


def test_loadgen_is_not_asked_for_more_queries_than_memory_holds() -> None:
    pytest.importorskip("mlperf_loadgen")
    from weckd_edge.devices.bench.load_generator.loadgen_backend import MAX_BYTES, loadgen_memory_bytes, run_loadgen

    rules = find_rules("mlperf")
    assert loadgen_memory_bytes(rules, 1_000_000) < MAX_BYTES / 3
    with raises(ModelError, "E_MODEL_LOADGEN", says="--generator builtin"):
        run_loadgen(Remembers(), FRAMES, rules, 10_000)


def test_loadgen_takes_no_more_memory_than_was_reckoned() -> None:
    pytest.importorskip("mlperf_loadgen")
    if peak_rss_bytes() is None:
        pytest.skip("needs Linux to tell its largest resident memory")
    done = subprocess.run([sys.executable, "-c", _LOADGEN], capture_output=True, text=True, check=True, timeout=300)
    grown, reckoned = map(int, done.stdout.split())
    assert 0.5 * reckoned < grown < 1.3 * reckoned


_LOADGEN = """
import dataclasses
import numpy as np
from weckd_edge.devices.bench.load_generator.loadgen_backend import loadgen_memory_bytes, run_loadgen
from weckd_edge.devices.bench.cold_start import peak_rss_bytes
from weckd_edge.devices.bench.load_generator.rules import RULES

class Tiny:
    def run(self, frame):
        return 0

rules = dataclasses.replace(RULES["mobile"], min_seconds=0.5, min_queries=100)
run_loadgen(Tiny(), [np.zeros(4)], dataclasses.replace(rules, min_seconds=0.01), 1000)
before = peak_rss_bytes()
run_loadgen(Tiny(), [np.zeros(4)], rules, 1000)
print(peak_rss_bytes() - before, loadgen_memory_bytes(rules, 1000))
"""


_GROWTH = """
import resource, sys, tracemalloc
from pathlib import Path
import numpy as np
from weckd_edge.devices.bench.load_generator.rules import find_rules
from weckd_edge.devices.bench.load_generator.single_stream import run_single_stream

class Tiny:
    def run(self, frame):
        return frame.sum()

def rss():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

frames = [np.zeros((1, 8, 8, 3), np.uint8)] * 4
count = [0]
run_single_stream(Tiny(), frames, find_rules("quick", queries=2000, warmup=0), lambda part: None)
before = rss()
run_single_stream(Tiny(), frames, find_rules("quick", queries=100_000, warmup=0), lambda part: None)
grown = rss() - before
tracemalloc.start()
run = run_single_stream(Tiny(), frames, find_rules("quick", queries=100_000, warmup=0), lambda part: None)
held, peak = tracemalloc.get_traced_memory()
print(grown, held, peak, len(run.samples_ns))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux to tell its resident memory")
def test_a_hundred_thousand_queries_take_eight_bytes_each_and_no_more() -> None:
    done = subprocess.run([sys.executable, "-c", _GROWTH], capture_output=True, text=True, check=True, timeout=300)
    grown, held, peak, count = map(int, done.stdout.split())
    assert count == 100_000
    assert 800_000 <= held < 1_100_000  # the times themselves, with room to grow
    assert peak < 2_800_000  # and once more while the array moves, or is handed on
    assert grown < 4 << 20
