"""The contract of every power source: one reading at a time, with the time it was taken.

The sources are read here and not by a library of energy meters: each is one file of the kernel, a recorded run can be
played back through the same contract, and a device needs nothing but NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from weckd_edge.core.errors import DeviceError


class PowerSourceError(DeviceError):
    """A power source that is not there, or may not be read; the message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One reading of a power source; a source gives either power or a counter of energy, always the same of the two.

    Attributes:
        at_ns: Time of the reading by the source's clock, nanoseconds.
        power_mw: Power at that time, milliwatts.
        energy_mj: Energy since some earlier moment, millijoules; it never falls.
    """

    at_ns: int
    power_mw: float | None = None
    energy_mj: float | None = None


class PowerSource(Protocol):
    """A source of power or energy readings of this machine or a part of it.

    Attributes:
        name: Name in the table of power sources.
        rails: Names of what it measures, in the maker's words; empty where nothing is measured.
        period_s: Shortest time after which it makes sense to read it again, seconds.
    """

    name: str
    rails: tuple[str, ...]
    period_s: float

    def read(self) -> Reading | None:
        """Return a reading; None where there is nothing to read, now and later.

        Raises:
            PowerSourceError: The source could be read before and cannot be now.
        """

    def close(self) -> None:
        """Release the source; this may be called twice."""


def read_number(path: Path) -> float:
    """Return the number that a file of the kernel shows.

    Raises:
        PowerSourceError: The file cannot be read, or shows something else.
    """
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except PermissionError as err:
        raise PowerSourceError(
            f"{path}: this user may not read it; run as root, or allow it once: sudo chmod a+r {path}",
            code="E_DEVICE_POWER_SOURCE",
        ) from err
    except OSError as err:
        raise PowerSourceError(
            f"{path}: cannot be read ({err.strerror}); the power source has gone", code="E_DEVICE_POWER_SOURCE"
        ) from err
    try:
        return float(text)
    except ValueError as err:
        raise PowerSourceError(
            f"{path}: expected a number, got '{text[:40]}'; the driver shows no power there", code="E_DEVICE_POWER_SOURCE"
        ) from err
