"""The last link of a build: as the chain taught it, or the same network trained alone where that is shown to be better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from weckd_edge.artifacts import Link
from weckd_edge.config import TrainConfig
from weckd_edge.core.store import Stage
from weckd_edge.metrics.paired import compare_rates
from weckd_edge.train.distill.loop.distributed import of_first
from weckd_edge.train.distill.outside.gate import points_of
from weckd_edge.train.distill.trainer import Trainer


@dataclass(frozen=True, kw_only=True, slots=True)
class SetAside:
    """A last link that was set aside for the same network trained alone.

    Attributes:
        link: The link that the chain taught.
        reason: Why, a sentence with the figures.
    """

    link: Stage[Link]
    reason: str


def take_better(
    trainer: Trainer, links: Sequence[Stage[Link]], alone: Stage[Link], config: TrainConfig
) -> tuple[tuple[Stage[Link], ...], SetAside | None]:
    """Return the links, the last of them the network trained alone where validation images show that to be better.

    It is shown where the paired 95 % interval of the difference, which counts groups, lies above zero. A higher mean is not
    enough: on few validation images it would often take the wrong one.

    Args:
        trainer: Trainer of the chain.
        links: Links in order.
        alone: The last link's network trained alone.
        config: Settings of training, which say whether several processes train together.

    Returns:
        The links, and what was set aside; None where the chain's own last link stays.
    """
    last = links[-1]
    records = trainer.index.split("val")
    if not records or alone.artifact.weights.sha256 == last.artifact.weights.sha256:
        return tuple(links), None
    truth = np.array([one.label for one in records])
    taught, by_itself = (trainer.predict(one, "val").argmax(axis=1) == truth for one in (last, alone))
    difference = compare_rates(taught, by_itself, [one.group for one in records], seed=0)
    if not of_first(difference is not None and difference.low > 0, config) or difference is None:
        return tuple(links), None
    name = last.artifact.name
    reason = (
        f"{name} is the same network trained alone, which is right on {by_itself.mean():.1%} of the validation images, and "
        f"the link that the chain taught on {taught.mean():.1%}: {points_of(difference)}"
    )
    trainer.progress.note(reason)
    return (*links[:-1], replace(alone, artifact=replace(alone.artifact, name=name))), SetAside(link=last, reason=reason)
