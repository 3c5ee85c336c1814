"""Reduce settings to what is the same on every machine, for names that machines share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from weckd_edge.config import BuildConfig
from weckd_edge.train.networks.start_digest import digest_of_start


def without_paths(config: BuildConfig) -> BuildConfig:
    """Return the settings that training depends on, and the defaults of all others.

    They hold no paths, which differ between machines, no licence of a weights file, and nothing of logging.
    """
    links = tuple(replace(link, weights=None, weights_licence=None) for link in config.link)
    teachers = tuple(
        replace(teacher, weights=teacher.weights and Path(teacher.weights).name) for teacher in config.distill.teachers
    )
    return BuildConfig(
        seed=config.seed,
        link=links,
        data=replace(config.data, unlabelled=None),
        input=config.input,
        train=config.train.identity(),
        distill=replace(config.distill, teachers=teachers),
    )


def weights_digests(config: BuildConfig, classes: int) -> list[str | None]:
    """Return the SHA-256 of the weights that each link starts from; None for a link that starts from random ones.

    Args:
        config: Settings, whose links are settled.
        classes: Number of classes.

    Raises:
        ModelError: A link's network cannot be made.
    """
    return [digest_of_start(link, classes) for link in config.link]
