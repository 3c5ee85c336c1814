"""Check of a network's options: numbers and words that shape it, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from weckd_edge.core.errors import ConfigError

NetworkOptions: TypeAlias = dict[str, bool | int | float | str | tuple[int, ...]]
"""Keyword arguments of ``timm.create_model``."""

_READS = frozenset(
    {"cache", "cfg", "checkpoint", "dir", "file", "filter", "fn", "hub", "path", "pretrained", "pruned", "uri", "url"}
)
"""Words in an argument's name that make timm read a file, ask a network or call what the argument names."""

_SET_HERE = frozenset(
    {"device", "dtype", "exportable", "features_only", "in_chans", "model_name", "no_jit", "num_classes", "scriptable"}
)
"""Arguments that the rest of the settings and the build itself decide."""

_WORD = re.compile(r"[A-Za-z0-9_-]{0,64}")
"""Form of a text value, such as ``gelu`` or ``avg-max``; it cannot name a file in another folder, an address or a hub."""


def check_network_options(options: Mapping[str, object]) -> None:
    """Refuse options that would do more than shape a network.

    A record or a settings file may come from anybody, so timm never sees such an argument.

    Args:
        options: Values by argument name.

    Raises:
        ConfigError: An argument names something that timm would read, fetch or run, or something that the build decides; or
            a text is not a plain word.
    """
    for name, value in options.items():
        if _reads(name):
            raise ConfigError(
                f"options: '{name}' makes timm read a file, ask a network or run code, but options may only shape "
                "the network; remove it (a link's 'weights' and 'pretrained' name what it starts from)",
                code="E_CONFIG_NETWORK_OPTION",
            )
        if name in _SET_HERE:
            raise ConfigError(
                f"options: '{name}' is decided by the build (a classifier of RGB frames, on one device); remove it",
                code="E_CONFIG_NETWORK_OPTION",
            )
        if isinstance(value, str) and not _WORD.fullmatch(value):
            raise ConfigError(
                f"options: {name} = {value[:64]!r}: expected a number, true or false, a list of integers, or a plain "
                "word such as 'gelu'",
                code="E_CONFIG_NETWORK_OPTION",
            )


def _reads(name: str) -> bool:
    # A "drop_path_rate" is a chance; any other "path" is a file.
    return not _READS.isdisjoint(name.lower().replace("drop_path", "").split("_"))
