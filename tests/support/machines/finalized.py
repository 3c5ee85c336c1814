"""A bundle on a recorded Jetson, and what tests of finalize ask of it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from weckd_edge.bundle.reader import Bundle, open_bundle
from weckd_edge.devices.jetson.engines import EngineRecord, stored_engine
from weckd_edge.devices.jetson.finalize import finalize
from weckd_edge.devices.runtime.device_choice import DeviceChoice, Finalized, find_choice, named_choice

EACH_INPUT = pytest.mark.parametrize("jetson", ["bilinear", "area"], indirect=True, ids=["frame", "pixels"])
"""Runs a test with a graph that takes the frame, and with one that takes its pixels."""


@dataclass(frozen=True, kw_only=True)
class Jetson:
    """A bundle on a recorded Jetson."""

    root: Path
    bundle: Bundle
    trt: ModuleType
    cuda: ModuleType
    machines: ModuleType

    def finalize(self) -> Finalized:
        # The clock is the engines' own, so that an engine of the whole frame is chosen where a test says so.
        return finalize(open_bundle(self.bundle.folder), root=self.root, clock=lambda: self.trt.elapsed_ns)

    @property
    def builds(self) -> int:
        """How many engines were built so far."""
        return len(self.trt.told("build_serialized_network"))

    def power_mode(self, number: int) -> None:
        self.machines.set_power_mode(self.root, number)

    def tensorrt(self, version: str, package: str) -> None:
        self.trt.become(version)
        self.machines.set_tensorrt(self.root, package)

    @property
    def choice(self) -> DeviceChoice | None:
        """The choice in use, where it holds here."""
        return find_choice(open_bundle(self.bundle.folder), self.root).choice

    @property
    def engine(self) -> Path:
        """The engine that is named, whole or not."""
        named = named_choice(self.bundle.folder)
        assert named is not None
        return self.bundle.folder / named.files[0].path

    def built(self, choice: DeviceChoice) -> EngineRecord:
        """The record of a choice's engine."""
        record = stored_engine(self.bundle.folder, choice.key)
        assert record is not None
        return record

    def engines(self) -> set[str]:
        """Folders of engines that lie in the bundle, anything half made too."""
        return {path.name for path in (self.bundle.folder / "device/engines").iterdir()}


@contextmanager
def one_line(error: type[Exception], *words: str) -> Any:
    with pytest.raises(error) as caught:
        yield
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
