"""A link before it is trained: its network, the frame and the input that it will see, and its size."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weckd_edge.artifacts import Crop, DatasetIndex, FrameSpec, InputSpec, NetworkInput, Resize
from weckd_edge.config import InputConfig, LinkConfig
from weckd_edge.train.networks.models import (
    StudentSize,
    create_student,
    has_pretrained_backbone,
    measure_student,
)
from weckd_edge.train.networks.preprocess import suited_mean
from weckd_edge.train.networks.start_digest import digest_of_start

if TYPE_CHECKING:
    from weckd_edge.config import BuildConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkPlan:
    """Network of the chain before it is trained.

    Attributes:
        config: Settings of the link.
        input: Frame and network input.
        size: Parameters and MACs.
        start_sha256: SHA-256 of the weights that it starts from, as ``digest_of_start`` finds it, hexadecimal; None where
            they are drawn at random.
    """

    config: LinkConfig
    input: InputSpec
    size: StudentSize
    start_sha256: str | None


def frame_spec(index: DatasetIndex, config: InputConfig, *, crop: Crop = "center", resize: Resize = "area") -> FrameSpec:
    """Return the camera frame, in the user's size or in the commonest size of the data set.

    Args:
        index: The data set.
        config: Settings of the frame.
        crop: Part of the frame that is used, where the settings leave that open.
        resize: Way to resize the frame, where the settings leave that open.
    """
    counts = Counter((record.height, record.width) for record in index.images)
    height, width = config.frame or max(counts, key=lambda size: (counts[size], size))
    return FrameSpec(height=height, width=width, crop=config.crop or crop, resize=config.resize or resize)


def plan_link(index: DatasetIndex, config: BuildConfig, link: LinkConfig, *, starts_trained: bool | None = None) -> LinkPlan:
    """Make a link's network once, to find its faults before any training.

    Args:
        index: The data set.
        config: Settings of the build.
        link: Settings of the link.
        starts_trained: Whether its first weights were trained before; None asks whether its own were.

    Raises:
        ModelError: The network cannot be made.
    """
    created = create_student(link, len(index.labels))
    trained = has_pretrained_backbone(link) if starts_trained is None else starts_trained
    mean = suited_mean(created.mean, fresh=link.mean is None and not trained)
    network = NetworkInput(height=link.input_size, width=link.input_size, mean=mean, std=created.std)
    return LinkPlan(
        config=link,
        input=InputSpec(frame=frame_spec(index, config.input), network=network),
        size=measure_student(created.student, network.size),
        start_sha256=digest_of_start(link, len(index.labels), created),
    )
