"""Settings ``[selftest]``: the golden frames inside the bundle."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.config.base import check_setting


@dataclass(frozen=True, kw_only=True, slots=True)
class SelftestConfig:
    """The golden frames inside the bundle.

    Attributes:
        frames: Number of validation images in the bundle, with their expected predictions, 1 to 64. They are real images:
            where none may leave the clinic, build from images that may.
    """

    frames: int = 8

    def __post_init__(self) -> None:
        check_setting(1 <= self.frames <= 64, f"frames = {self.frames}: expected 1 to 64 golden frames")
