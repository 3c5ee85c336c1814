"""What is known of one host of a bench over ssh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weckd_edge.artifacts import SCHEMA_VERSION, Measurement

HOST_FILE = "remote.json"
State = Literal["finished", "cut off", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HostRecord:
    """How the bench on one host went; kept beside it as ``remote.json``.

    Attributes:
        host: As it was named.
        state: ``finished``; ``cut off``: some times were kept; ``failed``: there are none.
        reason: Why it is not finished; None where it is.
        host_key: The key the host has shown, as its SHA-256; None where no login came about.
        python: Version of the interpreter there.
        executable: Where it lies.
        clock_offset_ns: How far the host's clock is ahead of the one here. No figure depends on it: times are taken by
            clocks that only go forward.
        clock_uncertainty_ns: Half of how long the question took.
        schema_version: Of this record.
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
    """One host's record and what was measured there.

    Attributes:
        record: How it went.
        measurement: With every time; None where there are none.
        folder: Where both are kept; None where nobody asked for it.
    """

    record: HostRecord
    measurement: Measurement | None
    folder: Path | None
