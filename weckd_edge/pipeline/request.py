"""What a build is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weckd_edge.artifacts import Target
from weckd_edge.config import BuildConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildRequest:
    """What a build is asked for.

    Attributes:
        data: Folder or CSV.
        target: Where the bundle will run.
        device: Name or file of a device profile; None takes the target's default.
        out: The bundle's folder.
        config: Everything else.
        skip_bad: Go on without the files that cannot be used, and record them.
        key: PEM private key to sign with; None leaves the bundle unsigned.
        bundle_version: Of the bundle, for firmware that never goes back; 0: none.
        auto_links: Pick the chain from the ladder of students, as many links as the configuration names.
    """

    data: Path
    target: Target
    device: str | None
    out: Path
    config: BuildConfig
    skip_bad: bool = False
    key: Path | None = None
    bundle_version: int = 0
    auto_links: bool = False
