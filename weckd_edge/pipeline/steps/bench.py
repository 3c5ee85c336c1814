"""A student's time, memory and energy on this machine."""

from __future__ import annotations

import time
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import FrameGuard, GoldenFrames, Measurement
from weckd_edge.core.store import Stage
from weckd_edge.devices.bench.bench import bench_model
from weckd_edge.devices.bench.power.table import open_source
from weckd_edge.devices.runtime.input_guard import OpenGuard
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.networks import Student


def bench(ctx: BuildContext, student: Student, golden: Stage[GoldenFrames], guard: FrameGuard | None) -> Measurement:
    """Measure what ships on its golden frames; never reused, as machines change.

    Raises:
        WeckdError: The model cannot be opened here.
    """
    frames = np.load(golden.folder / golden.artifact.frames.path, allow_pickle=False)
    start_ns = time.monotonic_ns()
    found = bench_student(ctx, student, frames, guard, queries=ctx.config.bench.queries)
    ctx.note_step("bench", (time.monotonic_ns() - start_ns) / 1e9, reused=False)
    return found


def bench_student(
    ctx: BuildContext, student: Student, frames: NDArray[np.uint8], guard: FrameGuard | None, *, queries: int
) -> Measurement:
    """Measure a student on frames ``[N, H, W, 3]`` with so many queries, behind its guard.

    Raises:
        WeckdError: The model cannot be opened here.
    """
    shipped = student.shipped
    with closing(open_source("auto")) as meter:
        return bench_model(
            shipped.backend,
            shipped.model,
            frames,
            precision=shipped.precision,
            network_input_name=student.exported.artifact.network_input_name,
            onnx=student.onnx,
            queries=queries,
            warmup=ctx.config.bench.warmup,
            threads=ctx.config.bench.threads,
            power=meter,
            guard=OpenGuard(guard, student.input.frame) if guard is not None else None,
            progress=ctx.progress,
        )
