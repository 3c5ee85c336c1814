"""A ladder of students by measured int8 time, and the chain that is picked from it (``--links auto``).

Widths that int8 kernels like, hardly any squeeze-and-excitation, and pretrained weights in timm. How long a network takes
in int8 does not follow from its parameters or multiply-adds, so every rung is quantized, compiled and timed here, and one
that takes longer than a larger one is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from weckd_edge.artifacts import SCHEMA_VERSION, DatasetIndex, FrameSpec, InputSpec, NetworkInput
from weckd_edge.config import BuildConfig, LinkConfig, QuantizeConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import Progress, SilentProgress
from weckd_edge.devices.bench.interleaved import Lane, race
from weckd_edge.devices.runtime.backends.table import open_runner

RUNGS = (
    LinkConfig(model="lcnet_050", input_size=96),
    LinkConfig(model="mobilenetv4_conv_small_050", input_size=96),
    LinkConfig(model="lcnet_050", input_size=128),
    LinkConfig(model="mobilenetv4_conv_small_050", input_size=128),
    LinkConfig(model="mobilenetv2_050", input_size=128),
    LinkConfig(model="lcnet_100", input_size=128),
    LinkConfig(model="mobilenetv4_conv_small", input_size=128),
    LinkConfig(model="lcnet_100", input_size=192),
    LinkConfig(model="mobilenetv4_conv_small", input_size=192),
    LinkConfig(model="resnet18", input_size=128),
    LinkConfig(model="mobilenetv4_conv_medium", input_size=192),
    LinkConfig(model="mobilenetv4_conv_medium", input_size=256),
)
"""From the smallest to the largest by multiply-adds, as they turned out."""

HEADROOM = 1.25
"""A rung fits a latency bar, which is a 90th percentile, where this many times its undisturbed time does."""

STEP = 2.0
"""How many times as long a link's predecessor is to take, about."""

_IMAGES = 8
_ROUNDS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """One student of the ladder.

    Attributes:
        link: What it is.
        parameters: With its head.
        macs: Multiply-adds of one image.
        int8_ns: Frame to answer in int8 on one thread, undisturbed.
        fp32_ns: The same in FP32.
    """

    link: LinkConfig
    parameters: int
    macs: int
    int8_ns: int
    fp32_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Ladder:
    """What the students take on one machine.

    Attributes:
        host: The machine.
        rungs: From the fastest in int8 to the slowest; none that takes longer than one with more multiply-adds.
        left_out: Those that do.
        pretrained: Whether their pretrained weights can be had.
        schema_version: Of this record.
    """

    host: str
    rungs: tuple[Rung, ...]
    left_out: tuple[Rung, ...]
    pretrained: bool
    schema_version: int = SCHEMA_VERSION


def measure_ladder(
    index: DatasetIndex,
    root: Path,
    config: BuildConfig,
    progress: Progress,
    candidates: Sequence[LinkConfig] = RUNGS,
    *,
    host: str,
) -> Ladder:
    """Quantize, compile and time every student, with fresh weights: how long one takes does not depend on them.

    Args:
        index: The data set; a few training images calibrate.
        root: Its folder.
        config: Frame, crop, threads.
        progress: Where it is shown.
        candidates: The students.
        host: This machine in words.

    Raises:
        ModelError: None of them can be made, or one cannot be compiled.
        MissingDependency: OpenVINO is not installed.
    """
    from weckd_edge.train.distill.chain import frame_spec
    from weckd_edge.train.networks.models import can_fetch

    found: list[Rung] = []
    with TemporaryDirectory(prefix="weckd-") as place, progress.task("measure students", len(candidates) + 1) as task:
        folders = [Path(place) / str(at) for at in range(len(candidates))]
        sizes = []
        for link, folder in zip(candidates, folders, strict=True):
            sizes.append(_build(link, index, root, config, folder))
            task.advance()
        frame = frame_spec(index, config.input)
        fp32, int8 = (_race([folder / kind for folder in folders], frame, config) for kind in ("fp32", "int8"))
        task.advance()
    for link, (parameters, macs), slow, fast in zip(candidates, sizes, fp32, int8, strict=True):
        found.append(Rung(link=link, parameters=parameters, macs=macs, int8_ns=fast.median_ns, fp32_ns=slow.median_ns))
    found.sort(key=lambda rung: (rung.int8_ns, -rung.macs))
    kept = tuple(rung for at, rung in enumerate(found) if all(rung.macs > faster.macs for faster in found[:at]))
    return Ladder(
        host=host,
        rungs=kept,
        left_out=tuple(rung for rung in found if rung not in kept),
        pretrained=can_fetch(),
    )


def _build(link: LinkConfig, index: DatasetIndex, root: Path, config: BuildConfig, folder: Path) -> tuple[int, int]:
    """Build a student in both precisions; return its parameters and multiply-adds."""
    from weckd_edge.compile.backends import openvino_backend
    from weckd_edge.compile.export.onnx_export import export_onnx
    from weckd_edge.compile.quantize.quantize import ONNX_FILE, calibrate, quantize, write_quantized
    from weckd_edge.train.distill.chain import frame_spec
    from weckd_edge.train.networks.models import create, measure

    silent = SilentProgress()
    made = create(link, len(index.labels))
    size = measure(made.student, link.input_size)
    network = NetworkInput(size=link.input_size, mean=made.mean, std=made.std)
    spec = InputSpec(frame=frame_spec(index, config.input), network=network)
    plain, small = folder / "fp32", folder / "int8"
    plain.mkdir(parents=True)
    small.mkdir()
    exported = export_onnx(made.student.trunk, spec, index.labels, "", plain)
    seen = calibrate(exported, plain, index, root, QuantizeConfig(images=_IMAGES), seed=config.seed, progress=silent)
    model = quantize(seen, "minmax", open_sums=False, progress=silent)
    write_quantized(seen, model, "minmax", small=True, folder=small)
    for place, precision in ((plain, "fp32"), (small, "int8")):
        openvino_backend.build(place / ONNX_FILE, precision, place)
    return size.parameters, size.macs


def _race(folders: Sequence[Path], spec: FrameSpec, config: BuildConfig) -> list[Lane]:
    frame = np.random.default_rng(0).integers(0, 256, (1, spec.height, spec.width, 3), dtype=np.uint8)
    with ExitStack() as stack:
        runners = []
        for folder in folders:
            runners.append(open_runner("openvino", folder / "model.xml", threads=config.bench.threads))
            stack.callback(runners[-1].close)
        return race(runners, [frame], rounds=_ROUNDS)


def pick_chain(ladder: Ladder, bar_ms: float | None, count: int) -> tuple[LinkConfig, ...]:
    """Pick a chain, largest first: the largest student that fits the bar last, each one before it about twice as slow.

    Args:
        ladder: What students take.
        bar_ms: 90th percentile of frame to answer that the last link must keep to, where this machine can judge it; None
            takes the fastest student.
        count: How many links.

    Raises:
        ConfigError: No student fits the bar, or the ladder has too few.
    """
    rungs = ladder.rungs
    if len(rungs) < count:
        raise ConfigError(
            f"--links auto: {count} links asked for, but only {len(rungs)} students are worth their time here",
            code="E_CONFIG_AUTO_CHAIN",
        )
    last = 0
    if bar_ms is not None:
        fitting = [at for at, rung in enumerate(rungs) if rung.int8_ns * HEADROOM <= bar_ms * 1e6]
        if not fitting:
            fastest = rungs[0]
            raise ConfigError(
                f"--links auto: no student is within {bar_ms:g} ms here; the fastest, {fastest.link.model} at "
                f"{fastest.link.input_size} px, takes {fastest.int8_ns / 1e6:.2f} ms; raise the bar or name the links",
                code="E_CONFIG_AUTO_CHAIN",
            )
        last = min(max(fitting), len(rungs) - count)
    chosen = [last]
    for left in range(count - 2, -1, -1):
        wanted = rungs[chosen[-1]].int8_ns * STEP
        above = range(chosen[-1] + 1, len(rungs) - left)
        chosen.append(min(above, key=lambda at: abs(rungs[at].int8_ns - wanted)))
    return tuple(replace(rungs[at].link, pretrained=ladder.pretrained) for at in reversed(chosen))
