"""Latencies of the parts of a prediction: each part alone, in turns with the whole and with the network alone.

In the whole, guard and front end may share one pass over the frame, so that their own times together may be more than they
take there. Clocks are read around a part, never inside the whole, whose latency they would add to.
"""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import LatencyParts
from weckd_edge.devices.bench.load_generator.rules import MINIMUM_QUERIES, Rules
from weckd_edge.devices.bench.load_generator.single_stream import no_collection
from weckd_edge.devices.bench.percentiles import summarize_latency
from weckd_edge.devices.runtime.decision import FramePredictor

TURN = 4
"""Number of timed queries of a part in a turn; one before them is not timed, as it finds the caches full of other data."""

_WHOLE, _NETWORK = "end to end", "network"


def time_parts(
    predictor: FramePredictor,
    network: Callable[[], object] | None,
    frames: Sequence[NDArray[np.uint8]],
    rules: Rules,
    clock: Callable[[], int] = time.monotonic_ns,
) -> LatencyParts:
    """Time the parts of a prediction.

    Args:
        predictor: The open model, warm, with the guard in its front end.
        network: Runs the network alone; None: it cannot be cut out.
        frames: Camera frames ``[1, height, width, 3]``, used in turn.
        rules: Rules that say when the run ends.
        clock: Monotonic clock, nanoseconds.
    """
    parts = _parts(predictor, frames)
    if network is not None:
        parts[_NETWORK] = lambda _: network()
    times = {name: array("q") for name in parts}
    ratios: list[float] = []
    with no_collection():
        start_ns = now = clock()
        turn = 0
        while not _is_enough(len(times[_WHOLE]), now - start_ns, rules):
            count = min(TURN, max(1, rules.min_queries - len(times[_WHOLE]))) if rules.max_seconds is None else TURN
            for name, run in parts.items():
                _run_turn(run, turn % len(frames), count, times[name], clock)
            if network is not None:
                whole, alone = (statistics.median(times[name][-count:]) for name in (_WHOLE, _NETWORK))
                ratios.append(whole / max(1, alone))
            turn, now = turn + 1, clock()
    found = {name: replace(summarize_latency(samples), samples_ns=()) for name, samples in times.items()}
    return LatencyParts(
        guard=found.get("guard"),
        front_end=found.get("front end"),
        graph=found["graph"],
        decision=found["decision"],
        end_to_end_over_network=statistics.median(ratios) if ratios else None,
    )


def _parts(predictor: FramePredictor, frames: Sequence[NDArray[np.uint8]]) -> dict[str, Callable[[int], Any]]:
    """Return a function for the whole and for each part that the model has, by the number of the frame."""
    front_end, graph = predictor.runner.front_end, predictor.runner.graph
    taken = [front_end.pixels(frame) for frame in frames]
    probabilities = [graph.run(pixels) for pixels in taken]
    parts: dict[str, Callable[[int], Any]] = {_WHOLE: lambda at: predictor.run(frames[at])}
    if front_end.guard is not None:
        parts["guard"] = lambda at: front_end.check(frames[at])
    if front_end.takes == "pixels":
        parts["front end"] = lambda at: front_end.pixels(frames[at])
    parts["graph"] = lambda at: graph.run(taken[at])
    parts["decision"] = lambda at: predictor.decide(probabilities[at])
    return parts


def _is_enough(queries: int, elapsed_ns: int, rules: Rules) -> bool:
    if queries >= rules.min_queries and elapsed_ns >= rules.min_seconds * 1e9:
        return True
    over = rules.max_seconds is not None and elapsed_ns >= rules.max_seconds * 1e9
    return over and queries >= MINIMUM_QUERIES


def _run_turn(run: Callable[[int], Any], at: int, count: int, times: array[int], clock: Callable[[], int]) -> None:
    run(at)
    for _ in range(count):
        start = clock()
        run(at)
        times.append(clock() - start)
