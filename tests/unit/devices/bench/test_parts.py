"""The parts of a prediction: each is timed alone, in turns with the whole and with the network alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from support import factories
from weckd_edge.artifacts import InputSpec, LatencyParts, OperatingPoint
from weckd_edge.devices.bench.load_generator.rules import Rules, find_rules
from weckd_edge.devices.bench.parts import TURN, time_parts
from weckd_edge.devices.runtime.decision import FramePredictor
from weckd_edge.devices.runtime.frame_runner import FrameRunner
from weckd_edge.devices.runtime.front_end import FrontEnd
from weckd_edge.devices.runtime.input_guard import GuardDecision

LABELS = ("ear", "wax")


class Clock:
    """Stands still but for what a part takes."""

    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class SlowGuard:
    """Refuses every frame, after 30 ns."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def check(self, frame: NDArray[np.uint8]) -> Any:
        self.clock.now_ns += 30
        white = np.ones(1)
        return GuardDecision(code="flat", words="flat", quality=None, ood_score=1.0, whitened=white)  # type: ignore[arg-type]  # not read


class SlowFrontEnd(FrontEnd):
    """Makes the pixels in 50 ns; no compiled pass does guard and pixels at once."""

    def __init__(self, clock: Clock, spec: InputSpec, guard: Any) -> None:
        super().__init__(spec, None)
        self.clock, self.guard, self._compiled = clock, guard, None

    def pixels(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.clock.now_ns += 50
        return super().pixels(frame)


class SlowGraph:
    """Answers after 200 ns."""

    name, version = "openvino", "1"

    def __init__(self, clock: Clock, shape: tuple[int, ...]) -> None:
        self.clock, self.input_shape = clock, shape
        self.seen: list[tuple[int, ...]] = []

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.clock.now_ns += 200
        self.seen.append(pixels.shape)
        return np.array([0.25, 0.75], np.float32)

    def close(self) -> None:
        return None


@pytest.fixture
def clock() -> Clock:
    return Clock()


def timed(
    clock: Clock, *, resize: Any = "area", guard: bool = True, network_ns: int | None = 160, rules: Rules | None = None
) -> tuple[LatencyParts, SlowGraph]:
    spec = factories.input_spec(4, width=6, resize=resize)
    graph = SlowGraph(clock, spec.graph_shape)
    front_end = SlowFrontEnd(clock, spec, SlowGuard(clock) if guard else None)
    predictor = FramePredictor(runner=FrameRunner(graph, front_end), labels=LABELS, operating_point=OperatingPoint())

    def network() -> None:
        clock.now_ns += network_ns or 0

    frames = [np.full(spec.frame_shape, level, np.uint8) for level in (1, 2, 3)]
    found = time_parts(
        predictor, None if network_ns is None else network, frames, rules or find_rules("quick", queries=10), clock
    )
    return found, graph


def percentiles(found: LatencyParts) -> Iterator[tuple[str, int, int]]:
    return ((name, latency.p50_ns, latency.p99_ns) for name, latency in found.named)


def test_each_part_has_its_own_time_and_the_whole_is_compared_with_the_network_alone(clock: Clock) -> None:
    found, graph = timed(clock)
    assert list(percentiles(found)) == [
        ("input guard", 30, 30),
        ("front end", 50, 50),
        ("graph", 200, 200),
        ("decision", 0, 0),
    ]
    assert found.end_to_end_over_network == (30 + 50 + 200) / 160
    assert set(graph.seen) == {(1, 4, 4, 3)}, "what the graph takes"


def test_a_part_that_a_model_does_not_have_is_left_out(clock: Clock) -> None:
    found, _ = timed(clock, resize="bilinear", guard=False, network_ns=None)
    assert (found.guard, found.front_end, found.end_to_end_over_network) == (None, None, None)
    assert [name for name, _ in found.named] == ["graph", "decision"]


@pytest.mark.parametrize(("queries", "whole"), [(1, 1), (4, 4), (10, 10), (64, 64)])
def test_as_many_queries_are_timed_as_the_rules_ask(clock: Clock, queries: int, whole: int) -> None:
    _, graph = timed(clock, rules=find_rules("quick", queries=queries), network_ns=None)
    turns = -(-queries // TURN)
    frames = 3  # answered once, for the decision
    assert len(graph.seen) == frames + 2 * (whole + turns), "the whole and the graph alone, and one of each turn not timed"


def test_a_slow_machine_ends_when_its_time_is_over(clock: Clock) -> None:
    class Slow(Clock):
        def __call__(self) -> int:
            self.now_ns += 100_000_000
            return self.now_ns

    slow: Callable[[], int] = Slow()
    found, graph = timed(slow, rules=find_rules("quick"))  # type: ignore[arg-type]  # a clock of its own
    assert found.graph.p50_ns > 0
    assert len(graph.seen) < 2 * 1024, "1024 queries were asked for, or 30 seconds"
