"""What a device is asked to measure: written by the host, read on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.artifacts import SCHEMA_VERSION

JOB_FILE = "job.json"
BUNDLE = "bundle"


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRequest:
    """One bench; the fields are those of ``bench.bench``.

    Attributes:
        bundle: Folder on the device; None: the one that is sent along.
        rules: How long.
        queries: Exactly so many, in place of what the rules say.
        warmup: How many before, untimed.
        threads: Processor threads one query may use.
        backend: Only this one; None: the best that is there.
        generator: What sends the queries.
        power: Name of the power source on the device, as for ``--power``.
        schema_version: Of this record.
    """

    bundle: str | None = None
    rules: str = "quick"
    queries: int | None = None
    warmup: int | None = None
    threads: int = 1
    backend: str | None = None
    generator: Literal["auto", "builtin", "loadgen"] = "auto"
    power: str = "auto"
    schema_version: int = SCHEMA_VERSION
