"""Candidate networks by measured int8 latency, and the chain that is chosen from them (``--links auto``).

The candidates have widths that int8 kernels like, little squeeze-and-excitation, and pretrained weights in timm. Latency in
int8 does not follow from parameters or MACs. So every candidate is quantized, compiled and timed here, and one that is
slower than a candidate of more MACs cannot be the last link. All links of a chain are one model, at falling sizes, so that
each can start from the weights of the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from weckd_edge.artifacts import SCHEMA_VERSION, DatasetIndex, InputSpec, NetworkInput
from weckd_edge.config import BuildConfig, LinkConfig, QuantizeConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import Progress, SilentProgress
from weckd_edge.devices.bench.interleaved import InterleavedTiming, time_interleaved
from weckd_edge.devices.runtime.frame_runner import open_frame_runner

_MODELS = (
    "lcnet_050",
    "mobilenetv4_conv_small_050",
    "lcnet_100",
    "mobilenetv4_conv_small",
    "mobilenetv4_conv_medium",
)
_SIZES = (96, 128, 160, 192)

CANDIDATES = tuple(LinkConfig(model=model, input_size=size) for model in _MODELS for size in _SIZES)
"""Candidate links: each model at each size, so that a chain can be one model that becomes smaller from link to link."""

HEADROOM = 1.25
"""Factor from a candidate's undisturbed latency to the 90th percentile that a limit is about."""

STEP = 2.0
"""Wanted ratio of the latency of a link to that of the next, smaller one."""

_IMAGES = 8
_ROUNDS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateTiming:
    """Size and latency of one candidate.

    Attributes:
        link: The candidate's network and input size.
        parameters: Number of parameters, the classifier's included.
        macs: MACs of one image.
        int8_ns: Median end-to-end latency in int8, nanoseconds.
        fp32_ns: Median end-to-end latency in FP32, nanoseconds.
    """

    link: LinkConfig
    parameters: int
    macs: int
    int8_ns: int
    fp32_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateTimings:
    """Latencies of all candidates on one machine.

    Attributes:
        host: Name of the machine.
        candidates: Candidates by int8 latency, fastest first; none is slower than one of more MACs.
        left_out: Candidates that are slower than one of more MACs.
        schema_version: Version of this record's format.
    """

    host: str
    candidates: tuple[CandidateTiming, ...]
    left_out: tuple[CandidateTiming, ...]
    schema_version: int = SCHEMA_VERSION


def time_candidates(
    index: DatasetIndex,
    root: Path,
    config: BuildConfig,
    progress: Progress,
    candidates: Sequence[LinkConfig] = CANDIDATES,
    *,
    host: str,
) -> CandidateTimings:
    """Quantize, compile and time every candidate, with fresh weights: latency does not depend on them.

    Args:
        index: The data set; a few training images serve for range estimation.
        root: Folder that image paths are relative to.
        config: The build's settings: frame, crop, threads.
        progress: Receiver of the progress.
        candidates: The candidates.
        host: Name of this machine.

    Raises:
        ModelError: A candidate cannot be created or compiled.
        MissingDependency: OpenVINO is not installed.
    """
    found: list[CandidateTiming] = []
    with TemporaryDirectory(prefix="weckd-") as place, progress.task("time candidates", len(candidates) + 1) as task:
        folders = [Path(place) / str(at) for at in range(len(candidates))]
        built = []
        for link, folder in zip(candidates, folders, strict=True):
            built.append(build_candidate(link, index, root, config, folder))
            task.advance()
        fp32, int8 = (
            _time_models([(folder / kind, made.spec) for folder, made in zip(folders, built, strict=True)], config)
            for kind in ("fp32", "int8")
        )
        task.advance()
    for link, made, slow, fast in zip(candidates, built, fp32, int8, strict=True):
        found.append(
            CandidateTiming(
                link=link,
                parameters=made.parameters,
                macs=made.macs,
                int8_ns=fast.median_ns,
                fp32_ns=slow.median_ns,
            )
        )
    found.sort(key=lambda candidate: (candidate.int8_ns, -candidate.macs))
    kept = tuple(
        candidate for at, candidate in enumerate(found) if all(candidate.macs > faster.macs for faster in found[:at])
    )
    return CandidateTimings(
        host=host,
        candidates=kept,
        left_out=tuple(candidate for candidate in found if candidate not in kept),
    )


@dataclass(frozen=True, slots=True)
class BuiltCandidate:
    """A candidate that was written: its input and its size."""

    spec: InputSpec
    parameters: int
    macs: int


def build_candidate(link: LinkConfig, index: DatasetIndex, root: Path, config: BuildConfig, folder: Path) -> BuiltCandidate:
    """Write a candidate in both precisions."""
    from weckd_edge.compile.backends import openvino_backend
    from weckd_edge.compile.export.onnx_export import export_onnx
    from weckd_edge.compile.quantize.forms import PROCESSOR
    from weckd_edge.compile.quantize.quantize import ONNX_FILE, calibrate, quantize, write_quantized
    from weckd_edge.train.distill.link_plan import frame_spec
    from weckd_edge.train.networks.models import create_student, measure_student

    silent = SilentProgress()
    created = create_student(link, len(index.labels))
    network = NetworkInput(height=link.input_size, width=link.input_size, mean=created.mean, std=created.std)
    size = measure_student(created.student, network.size)
    spec = InputSpec(frame=frame_spec(index, config.input), network=network)
    plain, small = folder / "fp32", folder / "int8"
    plain.mkdir(parents=True)
    small.mkdir()
    exported = export_onnx(created.student.backbone, spec, index.labels, "", plain)
    calibration = calibrate(exported, plain, index, root, QuantizeConfig(images=_IMAGES), seed=config.seed, progress=silent)
    model = quantize(calibration, "minmax", PROCESSOR, progress=silent)
    write_quantized(calibration, model, "minmax", small=True, folder=small)
    openvino_backend.build_ir(plain / ONNX_FILE, "fp32", plain)
    openvino_backend.build_ir(small / ONNX_FILE, "int8", small)
    return BuiltCandidate(spec, size.parameters, size.macs)


def _time_models(models: Sequence[tuple[Path, InputSpec]], config: BuildConfig) -> list[InterleavedTiming]:
    frame = np.random.default_rng(0).integers(0, 256, models[0][1].frame_shape, dtype=np.uint8)
    with ExitStack() as stack:
        runners = []
        for folder, spec in models:
            runners.append(open_frame_runner("openvino", folder / "model.xml", spec, threads=config.bench.threads))
            stack.callback(runners[-1].close)
        return time_interleaved(runners, [frame], rounds=_ROUNDS)


def pick_chain(timings: CandidateTimings, limit_ms: float | None, count: int) -> tuple[LinkConfig, ...]:
    """Choose a chain of one model: the last link is the largest within the limit, each link before it about twice as slow.

    The links before the last one only teach, so that other models may be faster than they are.

    Args:
        timings: Latencies of the candidates.
        limit_ms: Largest end-to-end latency of the last link, 90th percentile, milliseconds; None where this machine is
            not the device: then the fastest candidate is last.
        count: Number of links.

    Returns:
        The links, largest first.

    Raises:
        ConfigError: No candidate is within the limit, or no model was timed at as many sizes.
    """
    last_ones = [one for one in timings.candidates if len(_larger(one, timings)) >= count - 1]
    if not last_ones:
        sizes = 1 + max((len(_larger(one, timings)) for one in timings.candidates), default=-1)
        raise ConfigError(
            f"--links auto: expected {count} links, but no candidate on this machine was timed at more than {sizes} sizes; "
            "name the links",
            code="E_CONFIG_AUTO_CHAIN",
        )
    last = last_ones[0]
    if limit_ms is not None:
        fitting = [one for one in last_ones if one.int8_ns * HEADROOM <= limit_ms * 1e6]
        if not fitting:
            raise ConfigError(
                f"--links auto: no candidate is within {limit_ms:g} ms here; the fastest, {last.link.model} at "
                f"{last.link.input_size} px, takes {last.int8_ns / 1e6:.2f} ms; raise the limit or name the links",
                code="E_CONFIG_AUTO_CHAIN",
            )
        last = fitting[-1]
    chosen = [last]
    for left in range(count - 2, -1, -1):
        wanted = chosen[-1].int8_ns * STEP
        above = _larger(chosen[-1], timings)
        chosen.append(min(above[: len(above) - left], key=lambda one: abs(one.int8_ns - wanted)))
    return tuple(replace(one.link, pretrained="if_available") for one in reversed(chosen))


def _larger(candidate: CandidateTiming, timings: CandidateTimings) -> list[CandidateTiming]:
    """Return the candidates that are the same network at larger sizes, the smallest first."""
    link = candidate.link
    found = [
        other
        for other in (*timings.candidates, *timings.left_out)
        if (other.link.model, other.link.options) == (link.model, link.options) and other.link.input_size > link.input_size
    ]
    return sorted(found, key=lambda other: other.link.input_size)
