"""Program that tests or times models of a bundle in a process of its own: importing or compiling one may kill it."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from weckd_edge.artifacts import BuiltModel
from weckd_edge.bundle.reader import Bundle, open_bundle
from weckd_edge.core.errors import BundleError, WeckdError
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import write_atomic
from weckd_edge.devices.bench.interleaved import time_interleaved
from weckd_edge.devices.runtime.frame_runner import FrameRunner, open_frame_runner
from weckd_edge.devices.runtime.golden_arrays import load_golden_frames
from weckd_edge.devices.runtime.model_choice import read_model_bytes
from weckd_edge.devices.runtime.verify_bundle import SelfTest, self_test_of

ROUNDS, QUERIES, WARMUP = (8, 40), 5, 1
"""Fewest and most turns of each model, golden frames of a turn, and turns before them that are not counted."""

ABOUT_NS = 60_000_000_000
"""Time that a race should take at most, nanoseconds; the fewest turns may take longer on a slow device."""

NOTHING = 255
"""Number in the file of the model at work while none is."""

_PR_SET_PDEATHSIG = 1


class _Marked:
    """A model that leaves its number in a file while it works, which a process that is killed leaves behind."""

    def __init__(self, runner: FrameRunner, number: int, at: mmap.mmap) -> None:
        self._runner, self._number, self._at = runner, number, at

    def run(self, frame: NDArray[Any]) -> object:
        self._at[0] = self._number
        return self._runner.run(frame)


def _test(bundle: Bundle, model: BuiltModel, threads: int) -> SelfTest:
    try:
        return self_test_of(bundle, model, load_golden_frames(bundle), threads=threads)
    except WeckdError as err:
        return SelfTest(backend=model.backend, precision=model.precision, passed=False, reason=str(err))


def _time(bundle: Bundle, models: list[BuiltModel], threads: int, at: mmap.mmap) -> dict[str, float]:
    """Return the median time of one golden frame by model, nanoseconds; all take turns in this process."""
    frames = [frame[None] for frame in load_golden_frames(bundle)]
    with ExitStack() as stack:
        runners = []
        for number, model in enumerate(models):
            at[0] = number
            files = read_model_bytes(bundle, *model.files)
            runner = open_frame_runner(model.backend, files, bundle.manifest.input, threads=threads, half=model.half)
            runners.append(_Marked(stack.enter_context(closing(runner)), number, at))
        rounds = _rounds(runners, frames[0])
        timings = time_interleaved(runners, frames, rounds=rounds, queries=QUERIES, warmup=WARMUP, of_turn=statistics.median)
    return {model.name: float(timing.median_ns) for model, timing in zip(models, timings, strict=True)}


def _rounds(runners: Sequence[_Marked], frame: NDArray[Any]) -> int:
    """Return the number of turns that fit into the time of a race, by a second query of each model."""
    for runner in runners:
        runner.run(frame)
    begun = time.monotonic_ns()
    for runner in runners:
        runner.run(frame)
    turn_ns = QUERIES * max(1, time.monotonic_ns() - begun)
    return max(ROUNDS[0], min(ROUNDS[1], ABOUT_NS // turn_ns))


def _end_with_parent() -> None:
    """Let this process be killed with the one that started it, so that none is left to disturb the next race."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Test the named models, or time them in turn, and write the result into a file.

    Arguments: ``test`` or ``time``, the bundle's folder, the digest of its manifest, threads, the file of the result, the
    file of the model at work, then the models' numbers in the manifest.
    """
    _end_with_parent()
    what, folder, digest, threads, out, marker, *numbers = sys.argv[1:]
    bundle = open_bundle(Path(folder))
    if bundle.manifest.manifest_sha256 != digest:
        raise BundleError(f"{folder}: was changed while its models were tried", code="E_BUNDLE_DIGEST")
    models = [bundle.manifest.models[int(number)] for number in numbers]
    handle = os.open(marker, os.O_RDWR)
    with mmap.mmap(handle, 1) as at:
        if what == "test":
            at[0] = 0
            result: object = _test(bundle, models[0], int(threads))
        else:
            result = _time(bundle, models, int(threads), at)
    os.close(handle)
    write_atomic(Path(out), to_json(result))
