"""How a link learns from its predecessors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.config.base import check_setting, check_within


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillConfig:
    """How a link learns from its predecessor.

    Attributes:
        strategy: Who teaches whom with which data; see ``weckd_edge.train.distill.strategies``.
        loss: ``kl`` (soft targets), ``dkd``, ``dist`` or ``standardised``; the last two need three classes or more.
        distill_weight: Part of the loss that comes from the teacher, 0..1; the rest is cross-entropy on the labels the link may see.
            None: what the strategy asks for, else 0.7.
        temperature_start: Softmax temperature in the first epoch.
        temperature_end: Softmax temperature in the last epoch.
        attention: Weight of the spatial-attention term; 0 leaves it out.
        mixup: Part of the batches whose images are mixed in pairs, alike for teacher and student (Zhang 2018).
        view_reuse: How often each random view of an image is shown within an epoch, among other images each time: a teacher
            need look at it only once. 1 shows every view once.
        unlabelled_per_labelled: How many images without a label each step of a taught link shows beside each labelled one, where its
            strategy ends in ``+pool``. In their place rather than beside them they cost four-class MRI slices two points.
        teacher_dropout: With several teachers, the chance that one is left out of a step (Son 2021, arXiv 2009.08825).
        last_link_step_fraction: Part of the whole chain's gradient steps that its last link takes, the earlier ones alike; None: all links
            alike. What is deployed needs its steps; a teacher is good after fewer.
        label_only_fraction: Last part of a link's training in which it learns from its labels alone before it teaches, 0..0.5.
        baseline: Train the last link's architecture once more without a teacher, to see whether the chain helped.
    """

    strategy: str = "guided"
    loss: Literal["kl", "dkd", "dist", "standardised"] = "kl"
    distill_weight: float | None = None
    temperature_start: float = 4.0
    temperature_end: float = 1.0
    attention: float = 0.0
    mixup: float = 0.0
    view_reuse: int = 2
    unlabelled_per_labelled: float = 1.0
    teacher_dropout: float = 0.25
    last_link_step_fraction: float | None = None
    label_only_fraction: float = 0.0
    baseline: bool = True

    def __post_init__(self) -> None:
        check_setting(
            self.distill_weight is None or 0 <= self.distill_weight <= 1,
            f"distill_weight = {self.distill_weight}: expected 0 to 1",
        )
        check_setting(
            0 < self.temperature_end <= self.temperature_start,
            f"temperature_end = {self.temperature_end}, temperature_start = {self.temperature_start}: "
            "annealing expects 0 < end <= start",
        )
        for name, maximum in (("mixup", 1.0), ("teacher_dropout", 0.9), ("label_only_fraction", 0.5)):
            value = getattr(self, name)
            check_setting(0 <= value <= maximum, f"{name} = {value}: expected 0 to {maximum:g}")
        last = self.last_link_step_fraction
        check_setting(
            last is None or 0 < last < 1,
            f"last_link_step_fraction = {last}: expected a part of the steps, over 0 and under 1",
        )
        check_setting(
            0 < self.unlabelled_per_labelled <= 16,
            f"unlabelled_per_labelled = {self.unlabelled_per_labelled}: expected over 0, at most 16",
        )
        check_setting(1 <= self.view_reuse <= 16, f"view_reuse = {self.view_reuse}: expected 1 to 16")
        check_within("temperature_start", self.temperature_start, 0, 1000)
        check_within("attention", self.attention, 0, 1_000_000)

    @property
    def teachers_part(self) -> float:
        """Part of the loss that comes from the teachers, 0..1."""
        return 0.7 if self.distill_weight is None else self.distill_weight
