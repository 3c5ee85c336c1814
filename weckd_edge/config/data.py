"""What is trained on, and how a frame reaches the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.config.base import check


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """How images are split.

    Attributes:
        share: Part of the training images in one labelled share, 0..1; there is one share for each link.
        test_fraction: Part of all images held out for the final figures, by whole groups.
        val_fraction: Part of all images held out for choosing, by whole groups.
        near_duplicate_distance: Largest Hamming distance of two 64-bit perceptual hashes at which two images are compared
            as near duplicates; None looks for exact copies only. At 10, of the pairs of frames that otoscopy_chile's own
            clusters keep together 83 % are found and 98 % of the found are right (at 6: 69 % and 100 %).
        unlabelled: A folder of frames without labels, relative to the config file: shown to links with a teacher where the
            strategy ends in ``+pool``. Copies, and frames that resemble a held-out image, are left out.
        use_published_split: Keep the test split that the CSV names instead of making one (its leaks are reported).
    """

    share: float = 0.1
    test_fraction: float = 0.2
    val_fraction: float = 0.1
    near_duplicate_distance: int | None = 10
    unlabelled: str | None = None
    use_published_split: bool = False

    def __post_init__(self) -> None:
        check(0 < self.share <= 1, f"share = {self.share}: expected a part of the training images, over 0 and at most 1")
        for name in ("test_fraction", "val_fraction"):
            value = getattr(self, name)
            check(0 < value < 0.5, f"{name} = {value}: expected over 0 and under 0.5")
        distance = self.near_duplicate_distance
        check(distance is None or 0 <= distance <= 16, f"near_duplicate_distance = {distance}: expected 0 to 16")


@dataclass(frozen=True, kw_only=True, slots=True)
class InputConfig:
    """The camera frame the graph will be fed with.

    Attributes:
        frame: ``[height, width]`` in pixels; None takes the commonest size in the data set.
        crop: Keep the centred square of the frame, or stretch the whole of it.
        resize: ``diagonal`` means two of the frame's pixels into one of the network's, in a fraction of the time of
            ``bilinear``, which suits networks that were trained elsewhere. None takes ``diagonal`` for what a build trains
            and ``bilinear`` for an imported network.
    """

    frame: tuple[int, int] | None = None
    crop: Literal["center", "stretch"] = "center"
    resize: Literal["diagonal", "bilinear"] | None = None

    def __post_init__(self) -> None:
        if self.frame is not None:
            check(
                all(16 <= side <= 8192 for side in self.frame),
                f"frame = {list(self.frame)}: expected 16 to 8192 pixels",
            )
