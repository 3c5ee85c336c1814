"""A chain as ``--links`` writes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from weckd_edge.core.errors import ConfigError

if TYPE_CHECKING:
    from weckd_edge.config import LinkConfig


def parse_links(text: str) -> tuple[LinkConfig, ...]:
    """Read a chain: links separated by commas, largest first.

    Raises:
        ConfigError: A link is not written as ``parse_link`` reads it.
    """
    return tuple(parse_link(part) for part in text.split(","))


def parse_link(text: str) -> LinkConfig:
    """Read one link, ``model[@pixels][=weights file]``; the file is relative to the current folder.

    Raises:
        ConfigError: The size is not a number, or a part is empty.
    """
    from weckd_edge.config import LinkConfig

    name, _, weights = text.strip().partition("=")
    model, at, size = name.partition("@")
    if not model or (at and not (size.isdecimal() and len(size) <= 6)):
        raise ConfigError(
            f"--links: '{text}': expected model, model@pixels or model@pixels=weights.safetensors", code="E_CONFIG_VALUE"
        )
    link = LinkConfig(model=model, weights=str(Path(weights).absolute()) if weights else None)
    return replace(link, input_size=int(size)) if size else link
