"""The bench: latency, memory and energy of each student on this machine, measured once."""

from __future__ import annotations

import time
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import FrameGuard, Measurement
from weckd_edge.devices.bench.bench import add_parts, bench_model
from weckd_edge.devices.bench.benched_model import BenchedModel
from weckd_edge.devices.bench.power.table import open_source
from weckd_edge.devices.bench.settings import BenchSettings
from weckd_edge.devices.bench.watched_run import BenchMachine
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.input_guard import OpenGuard
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.networks import Student

FRAMES = 8
"""Number of validation images that are shown in turn."""


def bench(ctx: BuildContext, student: Student, images: SplitFrames, guard: FrameGuard | None) -> Measurement:
    """Measure a student as it would be deployed, behind the guard, but for the network alone and the parts.

    Every build measures anew, as machines change.

    Args:
        ctx: The build.
        student: The student.
        images: The validation images.
        guard: The input guard; None where the bundle has none.

    Raises:
        WeckdError: The model cannot be opened on this machine.
    """
    start_ns = time.monotonic_ns()
    with closing(open_source("auto")) as meter:
        found = bench_model(
            _model(student, guard),
            _frames(images),
            _settings(ctx),
            machine=BenchMachine(power=meter),
            parts=False,
            progress=ctx.progress,
        )
    ctx.note_step(f"bench-{student.name}", (time.monotonic_ns() - start_ns) / 1e9, reused=False)
    return found


def bench_parts(
    ctx: BuildContext, student: Student, images: SplitFrames, guard: FrameGuard | None, measurement: Measurement
) -> Measurement:
    """Return a student's bench with the times of its network alone, without the preprocessing, and of its parts."""
    start_ns = time.monotonic_ns()
    found = add_parts(measurement, _model(student, guard), _frames(images), _settings(ctx))
    ctx.note_step("bench-parts", (time.monotonic_ns() - start_ns) / 1e9, reused=False)
    return found


def _settings(ctx: BuildContext) -> BenchSettings:
    config = ctx.config.bench
    return BenchSettings(queries=config.queries, warmup=config.warmup, threads=config.threads)


def _frames(images: SplitFrames) -> NDArray[np.uint8]:
    return images.take(range(min(FRAMES, len(images)))).frames


def _model(student: Student, guard: FrameGuard | None) -> BenchedModel:
    deployed = student.deployed
    return BenchedModel(
        backend=deployed.backend,
        model=deployed.model,
        input=student.input,
        precision=deployed.precision,
        half=deployed.half,
        labels=student.exported.artifact.labels,
        network_input_name=student.exported.artifact.network_input_name,
        onnx=student.onnx,
        guard=OpenGuard(guard, student.input.frame) if guard is not None else None,
    )
