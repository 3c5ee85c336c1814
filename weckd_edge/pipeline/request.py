"""Requests: everything that a user says of a build or of a compile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weckd_edge.artifacts import Target
from weckd_edge.config import BuildConfig, LinkConfig

if TYPE_CHECKING:
    from weckd_edge.compile.importing.hints import InputHints


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildRequest:
    """Everything that a user says of a build.

    Attributes:
        data: Data set: a folder of ``<label>/<image>`` or a CSV.
        target: Kind of device that the bundle is for.
        device: Name or file of a device profile; None takes the target's default.
        out: The bundle's folder.
        config: All other settings.
        skip_bad: Leave out files that cannot be used, and record them, instead of refusing the data set.
        key: PEM private key to sign with; None leaves the bundle unsigned.
        bundle_version: Version written into the bundle, for firmware that refuses older ones; 0 writes none.
        auto_links: Choose the links by latency measured here, as many as the configuration names.
        cache: Folder that keeps what was read of each image; None keeps it in the workspace.
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
    cache: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CompileRequest:
    """Everything that a user says of a compile.

    Attributes:
        source: An ONNX file, a checkpoint, or the folder of a former build's link or bundle.
        data: Labelled folder or CSV, split as by a build: calibration on training images, verification on test images.
        target: Kind of device that the bundle is for.
        device: Name or file of a device profile; None takes the target's default.
        out: The bundle's folder.
        hints: Description of the network's input, as far as the file leaves it open.
        config: All other settings; the links in it only say how many labelled subsets a build would cut.
        model: timm name and options of a checkpoint; None where the checkpoint names its network.
        weights_key: Key of the weights inside a checkpoint, such as ``state_dict``; None takes the usual ones.
        labels: Classes in the order of the network's outputs; None takes the data set's, sorted.
        calibrate_on: Other images for range estimation, labelled like ``data``; None takes training images.
        skip_bad: Leave out files that cannot be used, and record them, instead of refusing the data set.
        key: PEM private key to sign with; None leaves the bundle unsigned.
        bundle_version: Version written into the bundle, for firmware that refuses older ones; 0 writes none.
    """

    source: Path
    data: Path
    target: Target
    device: str | None
    out: Path
    hints: InputHints
    config: BuildConfig
    model: LinkConfig | None = None
    weights_key: str | None = None
    labels: tuple[str, ...] | None = None
    calibrate_on: Path | None = None
    skip_bad: bool = False
    key: Path | None = None
    bundle_version: int = 0

    def as_build(self) -> BuildRequest:
        """Return the same request in the terms of a build."""
        return BuildRequest(
            data=self.data,
            target=self.target,
            device=self.device,
            out=self.out,
            config=self.config,
            skip_bad=self.skip_bad,
            key=self.key,
            bundle_version=self.bundle_version,
        )
