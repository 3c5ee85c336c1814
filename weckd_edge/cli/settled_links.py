"""Settle the links of commands that open teachers before they train: which start from pretrained weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from weckd_edge.cli.console.output import print_message

if TYPE_CHECKING:
    from weckd_edge.config import BuildConfig


def with_settled_links(config: BuildConfig) -> BuildConfig:
    """Return settings whose links are settled; print a warning where pretrained weights cannot be had."""
    from weckd_edge.train.distill.loop.distributed import is_first, of_first
    from weckd_edge.train.networks.available_weights import settle_weights

    settled = of_first(settle_weights(config.link), config.train)
    if settled.missing and is_first():
        print_message(f"warning: {settled.missing}")
    return replace(config, link=settled.links)
