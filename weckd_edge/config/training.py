"""The links of a chain, and how they learn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from weckd_edge.bounds import MOST_THREADS
from weckd_edge.config.base import check, check_within


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkConfig:
    """One student.

    Attributes:
        model: A timm name, or ``hf_hub:owner/name``.
        input_size: Side of the network's input, pixels.
        weights: A local checkpoint (safetensors, or a PyTorch file of plain tensors), relative to the config file; its
            classifier is left out where its shape differs.
        pretrained: Ask timm for its own pretrained weights (needs a network or a filled cache).
        options: Keyword arguments for ``timm.create_model``, such as ``{ channels = [16, 32, 64, 128] }``
            for a narrow ResNet.
        mean: Per-channel mean the weights were trained with; None takes the model's own, or middle grey (128/255) for random
            weights. 0.5 is taken as middle grey, which int8 holds without rounding.
        std: Likewise.
        weights_licence: Under which licence the weights it starts from were given, in words or as SPDX says it; it is
            written into the model card. None: not stated.
    """

    model: str
    input_size: int = 128
    weights: str | None = None
    pretrained: bool = False
    options: dict[str, bool | int | float | str | tuple[int, ...]] = field(default_factory=dict)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    weights_licence: str | None = None

    def __post_init__(self) -> None:
        check(32 <= self.input_size <= 1024, f"input_size = {self.input_size}: expected 32 to 1024 pixels")
        check(
            not (self.weights and self.pretrained),
            f"{self.model}: weights and pretrained contradict each other; keep one of the two",
        )
        check((self.mean is None) == (self.std is None), f"{self.model}: give both mean and std, or neither")
        for name in ("mean", "std"):
            for value in getattr(self, name) or ():
                check_within(f"{self.model}: {name}", value, -1000, 1000)
        check(self.std is None or min(self.std) > 0, f"{self.model}: std must be over 0")
        check(
            self.weights_licence is None or bool(self.weights_licence.strip()),
            f"{self.model}: weights_licence holds no words; leave it out instead",
        )


DEFAULT_LINKS = (
    LinkConfig(model="mobilenetv2_100", input_size=128),
    LinkConfig(model="mobilenetv2_050", input_size=128),
    LinkConfig(model="mobilenetv2_035", input_size=96),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """The loop.

    Attributes:
        epochs: How often the schedule moves on and a checkpoint is written.
        steps_per_epoch: Gradient steps in one epoch.
        batch: Labelled images in one step; those without a label come on top, see ``distill.pool_ratio``.
        learning_rate: Peak. A classifier that starts from random weights takes ten times as much.
        linear_probe: Start the classifier of a pretrained trunk from a ridge regression on its features (linear probing
            before fine-tuning, arXiv 2202.10054).
        weight_decay: AdamW's.
        augment: Strength of flips, crops, rotation and colour changes, 0 (none) to 1.
        balance: How far rare classes are shown as often as common ones: 0 as they come, 1 all alike.
        ema: Part of the training over which weights are averaged, exponentially, towards its end; 0 keeps the last weights.
            A part, not a number of steps, so that a short training is not left with its first weights.
        precision: ``32-true``, ``bf16-mixed`` or ``16-mixed`` (a GPU).
        accelerator: Where to train.
        accumulate: Parts that a step's batch is worked through in, one after another, where it does not fit the device;
            batch norms see one part at a time.
        compile: Let ``torch.compile`` write the student's kernels: pays on a GPU from some thousand steps on.
        threads: Processor threads; 0 takes all cores.
    """

    epochs: int = 10
    steps_per_epoch: int = 20
    batch: int = 32
    learning_rate: float = 1e-3
    linear_probe: bool = True
    weight_decay: float = 0.02
    augment: float = 0.5
    balance: float = 0.5
    ema: float = 0.0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    accumulate: int = 1
    compile: bool = False
    threads: int = 0

    def __post_init__(self) -> None:
        check_within("epochs", self.epochs, 1, 100_000)
        check_within("steps_per_epoch", self.steps_per_epoch, 1, 1_000_000)
        check_within("accumulate", self.accumulate, 1, 65_536)
        check_within("batch", self.batch, 4, 65_536)
        check_within("weight_decay", self.weight_decay, 0, 1)
        check_within("threads", self.threads, 0, MOST_THREADS)
        check(0 < self.learning_rate < 1, f"learning_rate = {self.learning_rate}: expected over 0 and under 1")
        for name in ("augment", "balance"):
            check(0 <= getattr(self, name) <= 1, f"{name} = {getattr(self, name)}: expected 0 to 1")
        check(0 <= self.ema <= 0.5, f"ema = {self.ema}: expected 0 to 0.5 of the training")


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillConfig:
    """How a link learns from its predecessor.

    Attributes:
        strategy: Who teaches whom with which data; see ``weckd_edge.train.strategies``.
        loss: ``kl`` (soft targets), ``dkd``, ``dist`` or ``standardised``; the last two need three classes or more.
        weight: Part of the loss that comes from the teacher, 0..1; the rest is cross-entropy on the labels the link may see.
            None: what the strategy asks for, else 0.7.
        temperature_start: Softmax temperature in the first epoch.
        temperature_end: Softmax temperature in the last epoch.
        attention: Weight of the spatial-attention term; 0 leaves it out.
        mixup: Part of the batches whose images are mixed in pairs, alike for teacher and student (Zhang 2018).
        view_uses: How often each random view of an image is shown within an epoch, among other images each time: a teacher
            need look at it only once. 1 shows every view once.
        pool_ratio: How many images without a label each step of a taught link shows beside each labelled one, where its
            strategy ends in ``+pool``. In their place rather than beside them they cost four-class MRI slices two points.
        teacher_drop: With several teachers, the chance that one is left out of a step (Son 2021, arXiv 2009.08825).
        last_part: Part of the whole chain's gradient steps that its last link takes, the earlier ones alike; None: all links
            alike. What ships needs its steps; a teacher is good after fewer.
        refine: Last part of a link's training in which it learns from its labels alone before it teaches, 0..0.5.
        twin: Train the last link's architecture once more without a teacher, to see whether the chain helped.
    """

    strategy: str = "guided"
    loss: Literal["kl", "dkd", "dist", "standardised"] = "kl"
    weight: float | None = None
    temperature_start: float = 4.0
    temperature_end: float = 1.0
    attention: float = 0.0
    mixup: float = 0.0
    view_uses: int = 2
    pool_ratio: float = 1.0
    teacher_drop: float = 0.25
    last_part: float | None = None
    refine: float = 0.0
    twin: bool = True

    def __post_init__(self) -> None:
        check(self.weight is None or 0 <= self.weight <= 1, f"weight = {self.weight}: expected 0 to 1")
        check(
            0 < self.temperature_end <= self.temperature_start,
            f"temperature_end = {self.temperature_end}, temperature_start = {self.temperature_start}: "
            "annealing expects 0 < end <= start",
        )
        for name, most in (("mixup", 1.0), ("teacher_drop", 0.9), ("refine", 0.5)):
            value = getattr(self, name)
            check(0 <= value <= most, f"{name} = {value}: expected 0 to {most:g}")
        last = self.last_part
        check(last is None or 0 < last < 1, f"last_part = {last}: expected a part of the steps, over 0 and under 1")
        check(0 < self.pool_ratio <= 16, f"pool_ratio = {self.pool_ratio}: expected over 0, at most 16")
        check(1 <= self.view_uses <= 16, f"view_uses = {self.view_uses}: expected 1 to 16")
        check_within("temperature_start", self.temperature_start, 0, 1000)
        check_within("attention", self.attention, 0, 1_000_000)

    @property
    def teachers_part(self) -> float:
        """Part of the loss that comes from the teachers, 0..1."""
        return 0.7 if self.weight is None else self.weight


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeAwareConfig:
    """Quantization-aware distillation: how the last link goes on learning under int8 rounding.

    Attributes:
        epochs: As long as those of ``train``.
        learning_rate: Peak. Small, as the link is trained already: AdamW's steps are this long however small the loss is.
        teacher: The link ``itself``, as it was without rounding, or its ``predecessor``.
        weight: Part of the loss that comes from the teacher, 0..1; the rest is cross-entropy on the labels the link may see.
        augment: Strength of the random views, 0..1.
    """

    epochs: int = 3
    learning_rate: float = 1e-5
    teacher: Literal["itself", "predecessor"] = "itself"
    weight: float = 1.0
    augment: float = 0.5

    def __post_init__(self) -> None:
        check_within("epochs", self.epochs, 1, 100_000)
        check(0 < self.learning_rate < 1, f"learning_rate = {self.learning_rate}: expected over 0 and under 1")
        for name in ("weight", "augment"):
            check(0 <= getattr(self, name) <= 1, f"{name} = {getattr(self, name)}: expected 0 to 1")
