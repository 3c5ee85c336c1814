"""Request of a bench: written by the host, read on the device."""

from __future__ import annotations

from dataclasses import dataclass, field

from weckd_edge.artifacts import SCHEMA_VERSION, Precision
from weckd_edge.devices.bench.settings import BenchSettings

REQUEST_FILE = "request.json"
BUNDLE = "bundle"


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRequest:
    """A bench that a device is asked for.

    Attributes:
        bundle: Folder of a bundle on the device; None: the bundle that is sent along.
        settings: Settings of the bench.
        backend: Name in the backend table; None takes the best one that the device has.
        precision: Precision of the model; None takes the best one that the device runs.
        power: Name of the device's power source, as for ``--power``.
        finalize: Whether the device first chooses what it runs of the bundle.
        schema_version: Version of this record's fields.
    """

    bundle: str | None = None
    settings: BenchSettings = field(default_factory=BenchSettings)
    backend: str | None = None
    precision: Precision | None = None
    power: str = "auto"
    finalize: bool = False
    schema_version: int = SCHEMA_VERSION
