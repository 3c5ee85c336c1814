"""How a stage is found finished or made, and timed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from weckd_edge.artifacts import GuardRecord, Link, StageTime
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Stage, Workspace
from weckd_edge.devices.profiles.profile import DeviceProfile
from weckd_edge.pipeline.request import BuildRequest

T = TypeVar("T")


class StageRunner:
    """One build under way: what the stages hand to each other lives here."""

    root: Path
    """The data set's folder, from the first stage on."""

    def __init__(
        self, request: BuildRequest, profile: DeviceProfile, workspace: Workspace, out: Path, progress: Progress
    ) -> None:
        self.request = request
        self.config = request.config
        self.profile = profile
        self.workspace = workspace
        self.out = out
        self.progress = progress
        self.times: list[StageTime] = []
        self.refine: Callable[[int], Stage[Link]] | None = None
        self._guard: Stage[GuardRecord] | None = None

    def stage(self, name: str, kind: type[T], key: object, make: Callable[[Path], T]) -> Stage[T]:
        """Find a stage finished, or make it, and note its time: see ``Workspace.stage``."""
        stage = self.workspace.stage(name, kind, key, make)
        self._done(name, stage)
        return stage

    def _done(self, name: str, stage: Stage[T]) -> None:
        self.times.append(StageTime(name=name, seconds=round(stage.seconds, 3), reused=stage.reused))
        how = "reused" if stage.reused else f"{stage.seconds:.1f} s"
        self.progress.note(f"{name}: {how}")
