"""Records of one host of a bench over ssh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weckd_edge.artifacts import SCHEMA_VERSION, Measurement

HOST_FILE = "remote.json"
State = Literal["finished", "cut off", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HostRecord:
    """Course of the bench on one host, kept beside it as ``remote.json``.

    Attributes:
        host: Name of the host, as the user typed it.
        state: ``finished``; ``cut off``: some times were kept; ``failed``: there are none.
        reason: Why the bench is not finished, in words; None where it is.
        host_key: SHA-256 of the key that the host has shown; None where no login came about.
        python: Version of the interpreter on the host; None where it is not known.
        executable: Path of that interpreter.
        clock_offset_ns: Lead of the host's clock over the one here, nanoseconds. No figure depends on it, as times are taken
            by clocks that only go forward.
        clock_uncertainty_ns: Uncertainty of that lead, nanoseconds.
        schema_version: Version of this record's fields.
    """

    host: str
    state: State
    reason: str | None
    host_key: str | None = None
    python: str | None = None
    executable: str | None = None
    clock_offset_ns: int | None = None
    clock_uncertainty_ns: int | None = None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class HostResult:
    """Result of one host.

    Attributes:
        record: Course of the bench.
        measurement: The bench with every time; None where there are no times.
        folder: Folder that keeps both; None where none was asked for.
    """

    record: HostRecord
    measurement: Measurement | None
    folder: Path | None
