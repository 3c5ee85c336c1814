"""Table of the power sources, and the choice of one for this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from weckd_edge.core.errors import ConfigError, did_you_mean
from weckd_edge.devices.bench.power.base import PowerSource, PowerSourceError
from weckd_edge.devices.bench.power.ina238_source import Ina238Source
from weckd_edge.devices.bench.power.ina3221_source import Ina3221Source
from weckd_edge.devices.bench.power.null_source import NullSource
from weckd_edge.devices.bench.power.rapl_source import RaplSource
from weckd_edge.devices.bench.power.replay_source import ReplaySource

METERS: dict[str, Callable[[Path, Callable[[], int]], PowerSource]] = {
    "ina3221": Ina3221Source,
    "ina238": Ina238Source,
    "rapl": RaplSource,
}
"""Meters by name; the one that measures most of a machine comes first."""

AUTO, NONE, REPLAY = "auto", "none", "replay:"


def open_source(name: str, root: Path = Path("/"), clock: Callable[[], int] = time.monotonic_ns) -> PowerSource:
    """Open a power source.

    Args:
        name: Key of ``METERS``, ``none``, ``replay:FILE``, or ``auto`` for the first meter that can be read here.
        root: Folder that holds ``sys``.
        clock: Monotonic clock, nanoseconds.

    Raises:
        ConfigError: No source has that name, or the recorded file is wrong.
        PowerSourceError: The meter that was named cannot be read; ``auto`` gives a source that reads nothing instead.
    """
    if name == NONE:
        return NullSource()
    if name.startswith(REPLAY):
        return ReplaySource(Path(name.removeprefix(REPLAY)), clock)
    if name in METERS:
        return METERS[name](root, clock)
    if name != AUTO:
        raise ConfigError(
            f"no power source is called '{name}'{did_you_mean(name, [*METERS, NONE, AUTO, 'replay:FILE'])}",
            code="E_CONFIG_CHOICE",
        )
    reasons = []
    for opener in METERS.values():
        try:
            return opener(root, clock)
        except PowerSourceError as err:
            reasons.append(str(err))
    denied = [reason for reason in reasons if "may not read" in reason]
    return NullSource(denied[0] if denied else f"this machine shows no power meter ({', '.join(METERS)})")
