"""A power source that measures nothing, so that every figure of power and energy stays None."""

from __future__ import annotations

from weckd_edge.devices.bench.power.base import Reading


class NullSource:
    """A power source that reads nothing, and says why."""

    name = "none"
    period_s = 1.0

    def __init__(self, reason: str = "no power source was asked for") -> None:
        self.rails: tuple[str, ...] = ()
        self.reason = reason

    def read(self) -> Reading | None:
        return None

    def close(self) -> None:
        return None
