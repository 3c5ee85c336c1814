"""Step rate of the training loop, beside a bare loop of the same network on images that lie on the device as floats.

What the difference is made of is told by variants: the bare loop with the deterministic kernels of the training; the loop
with images that are read from their file, with a teacher, with averaged weights, with compiled kernels. Each times chunks
of steps.
"""

from __future__ import annotations

import collections
import contextlib
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.gpu.utilisation import watched
from weckd_edge.artifacts import FrameSpec, NetworkInput
from weckd_edge.config import DistillConfig, LinkConfig, TrainConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.data.pixel_cache import CachedImages, plan_cache
from weckd_edge.train.distill.loop import sampler
from weckd_edge.train.distill.loop.engine import TrainingRun, fit_student, make_optimizer
from weckd_edge.train.distill.loop.sampler import TrainingImages
from weckd_edge.train.distill.loop.task import DistillationTask, LabelTask, Teacher
from weckd_edge.train.distill.reproducible import reproducible
from weckd_edge.train.networks.models import Student, create_student

CLASSES = 4
LEAST_CHUNKS = 3
SYNC_STEPS = 16
"""Steps of an epoch in which the waits for the GPU are counted."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is timed.

    Attributes:
        variant: ``bare``, ``bare, deterministic``, ``bare, compiled``, or ``loop`` with what is added to it.
        model: Name of the network in timm.
        size: Side of the images, pixels.
        batch: Number of images in a step.
        precision: Number format, as ``[train] precision`` names it.
    """

    variant: str
    model: str
    size: int
    batch: int
    precision: str


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is timed.

    Attributes:
        images: Number of images.
        steps: Number of steps of a chunk; the first chunk is not counted.
        seconds: Time after which no further chunk begins.
    """

    images: int
    steps: int
    seconds: float


FULL = Scale(images=512, steps=50, seconds=3.0)
SMALL = Scale(images=32, steps=2, seconds=0.0)


class EnoughError(Exception):
    """Ends a training that was only timed."""


class Chunks:
    """Curves that keep the time at the end of each epoch, and end the training when there are enough."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends_ns: list[int] = []
        self.stack = contextlib.ExitStack()
        self.load: dict[str, Any] = {}

    def start(self, step: int) -> None:
        return None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        return None

    def save(self) -> None:
        self.ends_ns.append(time.monotonic_ns())
        if len(self.ends_ns) == 1:
            self.load = self.stack.enter_context(watched())
        elapsed_s = (self.ends_ns[-1] - self.ends_ns[0]) / 1e9
        if len(self.ends_ns) > LEAST_CHUNKS and elapsed_s >= self.seconds:
            raise EnoughError

    def end(self) -> None:
        return None

    def times_ns(self) -> list[int]:
        return [after - before for before, after in zip(self.ends_ns, self.ends_ns[1:], strict=False)]


def time_steps(setting: Setting, scale: Scale, folder: Path) -> dict[str, Any]:
    """Time one setting; return its figures and raw times.

    Args:
        setting: What is timed.
        scale: How much.
        folder: Folder for checkpoints and images, which settings of one size share.
    """
    chunks, syncs = Chunks(scale.seconds), {}
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with chunks.stack, contextlib.suppress(EnoughError):
        if setting.variant.startswith("bare"):
            _run_bare(setting, scale, chunks)
        else:
            syncs = _run_loop(setting, scale, chunks, folder)
    times_ns = chunks.times_ns()
    step_s = statistics.median(times_ns) / scale.steps / 1e9
    return {
        "steps_per_s": round(1 / step_s, 2),
        "images_per_s": round(setting.batch / step_s, 1),
        "steps_in_chunk": scale.steps,
        "times_ns": times_ns,
        "utilisation": chunks.load,
        "peak_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
        **syncs,
    }


def _student(setting: Setting, seed: int = 0) -> Student:
    torch.manual_seed(seed)
    return create_student(LinkConfig(model=setting.model, input_size=setting.size), CLASSES).student


def _device() -> torch.device:
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def _run_bare(setting: Setting, scale: Scale, chunks: Chunks) -> None:
    """Take steps on one batch of floats: no loader, no views, no clipping, no average, no checkpoint."""
    device, variant = _device(), setting.variant
    student = _student(setting).to(device).to(memory_format=torch.channels_last).train()
    optimizer = make_optimizer(student, TrainConfig())
    images = torch.randn(setting.batch, 3, setting.size, setting.size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(setting.batch, device=device) % CLASSES
    model = torch.compile(student, mode="reduce-overhead") if variant == "bare, compiled" else student
    formats = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    dtype = formats[setting.precision]
    scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)
    kernels = reproducible(0) if variant == "bare, deterministic" else contextlib.nullcontext()
    with kernels:
        while True:
            for _ in range(scale.steps):
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
                    loss = F.cross_entropy(model(images)[0], labels)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            if device.type == "cuda":
                torch.cuda.synchronize()
            chunks.save()


def _run_loop(setting: Setting, scale: Scale, chunks: Chunks, folder: Path) -> dict[str, Any]:
    variant = setting.variant
    config = TrainConfig(
        epochs=1000,
        steps_per_epoch=scale.steps,
        batch=setting.batch,
        precision=setting.precision,  # type: ignore[arg-type]  # one of its values
        ema=0.3 if "averaged" in variant else 0.0,
        compile="compiled" in variant,
    )
    shape = NetworkInput(height=setting.size, width=setting.size, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    def task() -> LabelTask | DistillationTask:
        if "taught" not in variant:
            return LabelTask(shape)
        return DistillationTask([Teacher(_student(setting, 1), shape)], shape, DistillConfig(), CLASSES, corrected=True)

    feed = _feed(setting, scale, folder)
    found = _count_syncs(setting, config, task(), feed) if torch.cuda.is_available() else {}
    with _read_from_files() if "files" in variant else contextlib.nullcontext():
        _fit(setting, task(), feed, config, chunks)
    return found


def _fit(
    setting: Setting, task: LabelTask | DistillationTask, feed: TrainingImages, config: TrainConfig, chunks: Chunks
) -> None:
    """Train until there are enough chunks."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.suppress(EnoughError):
        run = TrainingRun(name="x", seed=0, scratch=Path(scratch), curves=chunks)
        fit_student(_student(setting), task, feed, config, run, SilentProgress())


@contextlib.contextmanager
def _read_from_files() -> Iterator[None]:
    kept = sampler.free_bytes
    sampler.free_bytes = lambda device: 0
    try:
        yield
    finally:
        sampler.free_bytes = kept


def _count_syncs(
    setting: Setting, config: TrainConfig, task: LabelTask | DistillationTask, feed: TrainingImages
) -> dict[str, Any]:
    """Return how often a step waits for the GPU, by the place in the code; checkpoints are counted too."""
    short = replace(config, steps_per_epoch=SYNC_STEPS, compile=False)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            _fit(setting, task, feed, short, Chunks(0.0))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    steps = (LEAST_CHUNKS + 1) * SYNC_STEPS
    places = collections.Counter(
        f"{Path(one.filename).name}:{one.lineno}" for one in seen if "synchronizing CUDA" in str(one.message)
    )
    return {"syncs_per_step": {place: round(count / steps, 3) for place, count in places.most_common(8)}}


def _feed(setting: Setting, scale: Scale, folder: Path) -> TrainingImages:
    frame = FrameSpec(height=480, width=640, crop="center", resize="area")
    plan = plan_cache(scale.images, frame, [setting.size])
    side, path = plan.side(setting.size), folder / f"pixels-{setting.size}.npy"
    if not path.is_file():
        random = np.random.default_rng(0)
        np.save(path, random.integers(0, 256, (scale.images, side, side, 3), dtype=np.uint8))
    pixels = np.load(path, mmap_mode="r")
    return TrainingImages(
        images={setting.size: CachedImages(pixels=pixels, span=plan.span(setting.size))},
        labels=np.arange(scale.images, dtype=np.int64) % CLASSES,
        labelled=np.arange(scale.images),
        unlabelled=np.zeros(0, np.int64),
    )


def settings(small: bool) -> list[Setting]:
    """Return what is timed, the most important first."""
    if small:
        return [
            Setting(variant=variant, model="test_resnet", size=32, batch=8, precision="32-true")
            for variant in ("loop", "bare", "loop, taught")
        ]
    found = []
    for precision, batch in (("bf16-mixed", 32), ("32-true", 32), ("bf16-mixed", 256), ("16-mixed", 32), ("32-true", 256)):
        found += [(variant, "mobilenetv2_035", batch, precision) for variant in ("loop", "bare")]
    for variant in ("loop, from files", "loop, taught", "bare, deterministic", "loop, averaged"):
        found.append((variant, "mobilenetv2_035", 32, "bf16-mixed"))
    found += [(variant, "mobilenetv2_100", 128, "bf16-mixed") for variant in ("loop", "bare")]
    found.append(("loop, from files", "mobilenetv2_035", 256, "bf16-mixed"))
    # The compiler takes long, so these come last.
    found += [(variant, "mobilenetv2_035", 32, "bf16-mixed") for variant in ("bare, compiled", "loop, compiled")]
    return [
        Setting(variant=variant, model=model, size=224, batch=batch, precision=precision)
        for variant, model, batch, precision in found
    ]


def key_of(setting: Setting) -> dict[str, Any]:
    """Return what tells the setting's line from others."""
    return asdict(setting)
