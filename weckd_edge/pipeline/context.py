"""What one build knows from the start and hands to every step: settings, device, this machine, and where work is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from weckd_edge.artifacts import StageTime, Target
from weckd_edge.config import BuildConfig, GateConfig
from weckd_edge.core.fingerprint import Key
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Stage, Workspace
from weckd_edge.devices.gates.gates import merge_limits
from weckd_edge.devices.machine.detect import DetectedMachine, detect, is_same_device
from weckd_edge.devices.profiles.profile import DeviceProfile
from weckd_edge.pipeline.request import BuildRequest

T = TypeVar("T")


class StepTimes:
    """How long each step took, in the order in which they ended: the one thing that grows while a build runs."""

    def __init__(self) -> None:
        self._taken: list[StageTime] = []

    def add(self, name: str, seconds: float, *, reused: bool) -> None:
        """Note a step's time, seconds."""
        self._taken.append(StageTime(name=name, seconds=round(seconds, 3), reused=reused))

    @property
    def taken(self) -> tuple[StageTime, ...]:
        """The times so far."""
        return tuple(self._taken)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildContext:
    """What every step of one build is given.

    Attributes:
        data: The data set as the user named it: a folder or a CSV.
        root: The folder that image paths are relative to.
        out: The bundle's folder, absolute.
        config: All settings.
        profile: The device that is built for.
        machine: The machine that builds, detected once.
        limits: The limits that hold: the build's own, and the profile's where the build sets none.
        on_device: Whether this machine is the device, so that what is measured here counts for it.
        workspace: The store of finished steps.
        progress: Where work is shown.
        skip_bad: Whether files that cannot be used are left out, instead of refusing the data set.
        key: PEM private key to sign with; None leaves the bundle unsigned.
        bundle_version: Of the bundle; 0: none.
        times: How long the steps took.
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
    times: StepTimes = field(default_factory=StepTimes)

    @property
    def target(self) -> Target:
        """Where the bundle will run."""
        return self.profile.target

    def step(self, name: str, kind: type[T], key: Key, make: Callable[[Path], T]) -> Stage[T]:
        """Return a step's artefact, made only if no earlier run has, and note its time; see ``Workspace.stage``."""
        stage = self.workspace.stage(name, kind, key, make)
        self.note_step(name, stage.seconds, reused=stage.reused)
        return stage

    def note_step(self, name: str, seconds: float, *, reused: bool) -> None:
        """Note how long a step took, and say so."""
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
        on_device=is_same_device(profile, machine),
        workspace=workspace,
        progress=progress,
        skip_bad=request.skip_bad,
        key=request.key,
        bundle_version=request.bundle_version,
    )
