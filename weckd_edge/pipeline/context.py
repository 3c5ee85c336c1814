"""The context of a build, which every step is given: settings, device profile, this machine, workspace and progress."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from weckd_edge.artifacts import StageTime, Target
from weckd_edge.config import BuildConfig, GateConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.fingerprint import Key
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Stage, Workspace
from weckd_edge.devices.gates.gates import merge_limits
from weckd_edge.devices.jetson.version_rules import check_tensorrt
from weckd_edge.devices.machine.detect import DetectedMachine, detect, is_same_device
from weckd_edge.devices.profiles.profile import DeviceProfile, load_profile
from weckd_edge.pipeline.request import BuildRequest

T = TypeVar("T")


class StepTimes:
    """Durations of the steps that have ended, in that order; the one thing that grows while a build runs."""

    def __init__(self) -> None:
        self._taken: list[StageTime] = []

    def add(self, name: str, seconds: float, *, reused: bool) -> None:
        """Add a step's duration, seconds."""
        self._taken.append(StageTime(name=name, seconds=round(seconds, 3), reused=reused))

    @property
    def taken(self) -> tuple[StageTime, ...]:
        """Durations of the steps so far."""
        return tuple(self._taken)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildContext:
    """Everything that a build knows when it starts.

    Attributes:
        data: The data set as the user named it: a folder or a CSV.
        root: The folder that image paths are relative to.
        out: The bundle's folder, absolute.
        config: All settings.
        profile: The device that is built for.
        machine: The machine that builds, detected once.
        limits: Limits of the gates: the build's own, and the profile's where the build sets none.
        on_device: Whether this machine is the device and runs what is deployed, so that latency measured here counts. A
            Jetson runs the engine that it builds after the bundle is sealed.
        workspace: The store of finished steps.
        progress: Receiver of notes and of the progress of tasks.
        skip_bad: Whether files that cannot be used are left out, instead of refusing the data set.
        key: PEM private key to sign with; None leaves the bundle unsigned.
        bundle_version: Version written into the bundle, against rollback; 0 writes none.
        cache: Folder that keeps what was read of each image; None keeps it in the workspace.
        missing_weights: Sentence on pretrained weights that are wanted where they can be had, and that can not; empty where
            none are missing.
        times: Durations of the steps that have ended.
    """

    data: Path
    root: Path
    out: Path
    config: BuildConfig
    profile: DeviceProfile
    machine: DetectedMachine
    limits: GateConfig
    on_device: bool
    workspace: Workspace
    progress: Progress
    skip_bad: bool = False
    key: Path | None = None
    bundle_version: int = 0
    cache: Path | None = None
    missing_weights: str = ""
    times: StepTimes = field(default_factory=StepTimes)

    @property
    def target(self) -> Target:
        """Kind of device that the bundle is for."""
        return self.profile.target

    @property
    def processor(self) -> tuple[str, ...]:
        """The processor that builds: what a backend predicts depends on it, and so does the form that int8 takes."""
        return (self.machine.host, *self.machine.instruction_sets)

    def step(self, name: str, kind: type[T], key: Key, make: Callable[[Path], T]) -> Stage[T]:
        """Return a step's artefact from the workspace, or make it; its duration is noted."""
        stage = self.workspace.stage(name, kind, key, make)
        self.note_step(name, stage.seconds, reused=stage.reused)
        return stage

    def note_step(self, name: str, seconds: float, *, reused: bool) -> None:
        """Note how long a step took, in its record and in the progress."""
        self.times.add(name, seconds, reused=reused)
        self.progress.note(f"{name}: {'reused' if reused else f'{seconds:.1f} s'}")


def start(request: BuildRequest, profile: DeviceProfile, workspace: Workspace, progress: Progress) -> BuildContext:
    """Return the context of a build that begins.

    Raises:
        DataError: The data set is not there.
    """
    from weckd_edge.train.data.listing import data_root

    machine = detect()
    return BuildContext(
        data=request.data,
        root=data_root(request.data),
        out=request.out,
        config=request.config,
        profile=profile,
        machine=machine,
        limits=merge_limits(request.config.gates, profile.gates),
        on_device=profile.target == "cpu" and is_same_device(profile, machine),
        workspace=workspace,
        progress=progress,
        skip_bad=request.skip_bad,
        key=request.key,
        bundle_version=request.bundle_version,
        cache=request.cache,
    )


def choose_profile(target: Target, device: str | None) -> DeviceProfile:
    """Return the profile to build for.

    Raises:
        ConfigError: The profile is for another target.
        DeviceError: No recipe can be written for any TensorRT version of the profile's Jetson.
    """
    if device is None:
        arm = platform.machine() in ("aarch64", "arm64")
        device = "jetson-orin-nano-8gb" if target == "jetson" else "generic-arm64" if arm else "generic-x86"
    profile = load_profile(device)
    if profile.target != target:
        raise ConfigError(
            f"device '{profile.id}' is for --target {profile.target}, but --target {target} was asked; "
            "change one of the two",
            code="E_CONFIG_CONFLICT",
        )
    check_tensorrt(profile)
    return profile
