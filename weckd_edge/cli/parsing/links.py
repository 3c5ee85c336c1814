"""A chain as ``--links`` writes it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from weckd_edge.core.errors import ConfigError

if TYPE_CHECKING:
    from weckd_edge.config import LinkConfig


_SHAPE = re.compile(r"(?P<size>[0-9]{1,6})(:(?P<width>[0-9]?\.?[0-9]{1,6}))?")
"""Side of the input, pixels, and the part of the channels that a link keeps."""


def parse_links(text: str) -> tuple[LinkConfig, ...]:
    """Read a chain: links separated by commas, largest first.

    Raises:
        ConfigError: A link is not written as ``parse_link`` reads it.
    """
    return tuple(parse_link(part) for part in text.split(","))


def parse_link(text: str) -> LinkConfig:
    """Read one link, ``model[@pixels[:width]][=weights file]``; the file is relative to the current folder.

    Raises:
        ConfigError: The size or the width is not a number, or a part is empty.
    """
    from weckd_edge.config import LinkConfig

    name, _, weights = text.strip().partition("=")
    model, *shape = name.split("@", 1)
    found = _SHAPE.fullmatch(shape[0]) if shape else None
    if not model or (shape and found is None):
        raise ConfigError(
            f"--links: '{text}': expected model[@pixels[:width]][=weights file], such as "
            "mobilenetv2_035@112:0.85=weights.safetensors",
            code="E_CONFIG_VALUE",
        )
    link = LinkConfig(model=model, weights=str(Path(weights).absolute()) if weights else None)
    if found is None:
        return link
    size, width = found["size"], found["width"]
    return replace(link, input_size=int(size), width=float(width) if width else link.width)
