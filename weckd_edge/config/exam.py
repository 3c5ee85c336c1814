"""Settings ``[exam]``: how the frames of an examination become one decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.config.abstain import check_threshold
from weckd_edge.config.base import check_setting
from weckd_edge.core.bounds import MAX_FRAMES, MAX_TOP_K


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamConfig:
    """The decision about an examination, chosen on validation examinations.

    Attributes:
        method: How frames are joined: ``mean`` of their logits, the ``top_k`` best of them, a ``vote``, or ``weights`` that
            are learned from sharpness and confidence. ``auto`` takes the mean, unless another one is better by more than
            chance.
        top_k: Numbers of frames that ``top_k`` tries, each 1 to 32.
        rank: What makes a frame better for ``top_k``; ``auto`` tries both.
        threshold: There is no decision where no probability of the examination reaches this, 0 up to (not including) 1.
        max_group_error: Largest fraction of the decided groups whose decision may be wrong, over 0 and under 1. The build
            finds the lowest threshold that keeps it on the validation examinations. Where neither this nor ``threshold`` is
            set, both are those of ``[abstain]``, with its ``confidence`` and ``on_failure``.
        confidence: Probability, over draws of validation examinations, with which the limit must hold, 0.5 up to (not
            including) 1.
        on_failure: What happens when no threshold keeps the limit: ``fail`` the build, or only ``report`` it.
        max_repeat_share: Largest share of pairs of frames of different groups that may lie as close as a frame and its
            repeat, 0 up to (not including) 0.5; 0: every frame counts.
        agreement: Smallest share of validation examinations whose decision stays as it is where repeats count once, and
            where an examination ends early, over 0.5 and under 1.
        stop_early: Whether an examination may end where it is likely, though not certain, that no later frame changes the
            decision.
        min_frames: Fewest counted frames of a decision, at least 1.
        max_frames: Number of counted frames after which an examination has seen enough, 1 to 65535.
    """

    method: Literal["auto", "mean", "top_k", "vote", "weights"] = "auto"
    top_k: tuple[int, ...] = (4, 8)
    rank: Literal["auto", "sharpness", "confidence"] = "auto"
    threshold: float | None = None
    max_group_error: float | None = None
    confidence: float = 0.95
    on_failure: Literal["fail", "report"] = "fail"
    max_repeat_share: float = 0.001
    agreement: float = 0.99
    stop_early: bool = True
    min_frames: int = 1
    max_frames: int = 1024

    def __post_init__(self) -> None:
        check_setting(
            len(self.top_k) > 0 and all(1 <= k <= MAX_TOP_K for k in self.top_k),
            f"top_k = {list(self.top_k)}: expected one number of frames or more, each 1 to {MAX_TOP_K}",
        )
        check_threshold(self.threshold, self.max_group_error, self.confidence)
        check_setting(
            0 <= self.max_repeat_share < 0.5, f"max_repeat_share = {self.max_repeat_share}: expected 0 up to under 0.5"
        )
        check_setting(0.5 < self.agreement < 1, f"agreement = {self.agreement}: expected over 0.5 and under 1")
        check_setting(
            1 <= self.min_frames <= self.max_frames <= MAX_FRAMES,
            f"min_frames = {self.min_frames}, max_frames = {self.max_frames}: expected 1 to {MAX_FRAMES}, the second not "
            "under the first",
        )
