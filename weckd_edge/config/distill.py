"""Settings ``[distill]``: how a link learns from its teachers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from weckd_edge.config.base import check_setting, check_within
from weckd_edge.config.teacher import TeacherConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillConfig:
    """Distillation: how a link learns from its teachers.

    Attributes:
        strategy: Name of the teaching strategy: the links that teach each other, and the images that they see. ``weckd-edge
            study`` compares them.
        loss: Distillation loss: ``kl`` (soft targets), ``dkd``, ``dist`` or ``standardised``; the last two need three
            classes or more.
        distill_weight: Weight of the teachers' term in the loss, 0..1; the rest is cross-entropy on the link's own labels.
            None takes the strategy's weight, else 0.7.
        temperature_start: Softmax temperature in the first epoch, ``temperature_end`` to 1000; it falls to
            ``temperature_end``.
        temperature_end: Softmax temperature in the last epoch, over 0.
        attention: Weight of the spatial-attention term in the loss, 0 to 1,000,000; 0 leaves it out.
        mixup: Fraction of the batches whose images are mixed in pairs, 0..1, alike for teacher and student (Zhang 2018).
        view_reuse: Number of times that each random view of an image is used within an epoch, in different batches, 1 to 16.
            The teacher's outputs for a view are computed once.
        unlabelled_per_labelled: Number of unlabelled images in a step for each labelled one, over 0 and at most 16, where a
            link has a teacher and its strategy ends in ``+unlabelled``. They are added to the labelled images: in place of
            labelled images they cost two points of accuracy on four-class MRI slices.
        by_agreement: Whether unlabelled images are shown in proportion to how far the teachers from outside agree on them,
            so that images which they decide differently are learned less often.
        teacher_dropout: Probability, 0..0.9, that one of several teachers is left out of a step (Son 2021, arXiv
            2009.08825).
        last_link_step_fraction: Fraction of the chain's gradient steps for its last link, over 0 and under 1; the other
            links share the rest equally. The deployed link needs its steps; a teacher is good after fewer.
        label_only_fraction: Final fraction of a link's training, 0..0.5, that uses its labels alone, before it teaches.
        baseline: Train the last link's network also alone, without a teacher, to show whether the chain helped. Where it is
            right more often on validation images, by a paired 95 % interval above zero, it takes the last link's place.
        teachers: Teachers from outside the chain, which teach the last link of a strategy that ends in ``+teachers``. Where
            none is named, three networks of the first link's model, each trained on all labels that the last link may see,
            with a seed of its own.
        teacher_folds: Number of parts, 2 to 20, that a teacher's labelled images are dealt into, whole groups each. One
            classifier is fitted, or one network trained, without each part, and predicts the images of that part.
        teacher_views: Number of views of an image, 1 to 16, over which a teacher's output is averaged: the image, its mirror
            image, then random views. All random views in training have this one soft label.
        teacher_gate: What the teachers must show on validation images, before a link learns from them, against the last
            link's network trained alone: that they are more often right by a paired 95 % ``interval`` above zero, or in the
            ``mean``; ``off`` asks for nothing. Where they do not, the strategy runs without them.
    """

    strategy: str = "dgkd+teachers+unlabelled"
    loss: Literal["kl", "dkd", "dist", "standardised"] = "kl"
    distill_weight: float | None = None
    temperature_start: float = 4.0
    temperature_end: float = 1.0
    attention: float = 0.0
    mixup: float = 0.0
    view_reuse: int = 2
    unlabelled_per_labelled: float = 1.0
    by_agreement: bool = False
    teacher_dropout: float = 0.25
    last_link_step_fraction: float = 0.6
    label_only_fraction: float = 0.0
    baseline: bool = True
    teachers: tuple[TeacherConfig, ...] = ()
    teacher_folds: int = 5
    teacher_views: int = 2
    teacher_gate: Literal["interval", "mean", "off"] = "mean"

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
        check_setting(0 < last < 1, f"last_link_step_fraction = {last}: expected a part of the steps, over 0 and under 1")
        check_setting(
            0 < self.unlabelled_per_labelled <= 16,
            f"unlabelled_per_labelled = {self.unlabelled_per_labelled}: expected over 0, at most 16",
        )
        check_setting(1 <= self.view_reuse <= 16, f"view_reuse = {self.view_reuse}: expected 1 to 16")
        check_setting(2 <= self.teacher_folds <= 20, f"teacher_folds = {self.teacher_folds}: expected 2 to 20")
        check_setting(1 <= self.teacher_views <= 16, f"teacher_views = {self.teacher_views}: expected 1 to 16")
        check_within("temperature_start", self.temperature_start, 0, 1000)
        check_within("attention", self.attention, 0, 1_000_000)

    @property
    def teachers_part(self) -> float:
        """Weight of the teachers' term in the loss, 0..1."""
        return 0.7 if self.distill_weight is None else self.distill_weight

    def identity(self, *, unlabelled: bool = True) -> DistillConfig:
        """Return the settings that one link's training depends on beside its teachers, and defaults for the others.

        Args:
            unlabelled: Whether the link sees images without their labels.
        """
        plain = DistillConfig()
        return replace(
            self,
            strategy="",
            baseline=True,
            teachers=(),
            last_link_step_fraction=plain.last_link_step_fraction,
            unlabelled_per_labelled=self.unlabelled_per_labelled if unlabelled else plain.unlabelled_per_labelled,
            by_agreement=self.by_agreement and unlabelled,
            teacher_folds=plain.teacher_folds,
            teacher_views=plain.teacher_views,
            teacher_gate=plain.teacher_gate,
        )
