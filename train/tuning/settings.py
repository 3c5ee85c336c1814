"""Reduce settings to what is the same on every machine, for names that machines share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from weckd_edge.config import BuildConfig
from weckd_edge.train.networks.start_digest import digest_of_start


def without_paths(config: BuildConfig) -> BuildConfig:
    """Return settings without the paths in them, which differ between machines, a weights file's licence, and logging."""
    links = tuple(replace(link, weights=None, weights_licence=None) for link in config.link)
    teachers = tuple(
        replace(teacher, weights=teacher.weights and Path(teacher.weights).name) for teacher in config.distill.teachers
    )
    distill = replace(config.distill, teachers=teachers)
    return replace(
        config, link=links, distill=distill, data=replace(config.data, unlabelled=None), train=config.train.identity()
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
