"""A recorded Jetson with a bundle, for the tests of finalize."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from support.machines.finalized import Jetson


@pytest.fixture
def jetson(
    toy: ModuleType,
    machines: ModuleType,
    tensorrt: ModuleType,
    cuda: ModuleType,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Jetson:
    """An Orin Nano with JetPack 6.2 in its 25 W mode, and a bundle made for it, with the way to resize that a test names."""
    resize = getattr(request, "param", "bilinear")
    bundle = toy.write_bundle(tmp_path / "bundle", device="jetson-orin-nano-8gb", resize=resize)
    return Jetson(root=machines.jetson(tmp_path / "root"), bundle=bundle, trt=tensorrt, cuda=cuda, machines=machines)
