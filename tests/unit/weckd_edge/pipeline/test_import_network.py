"""What may be wrong with an imported file is said for the device that it is compiled for."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from weckd_edge.devices.machine.detect import detect
from weckd_edge.devices.profiles.profile import load_profile
from weckd_edge.pipeline.steps.import_network import MAY_OVERFLOW, doubts_of_file


@pytest.mark.parametrize(
    ("profile", "flags", "wide", "warned"),
    [
        ("celeron-j4125", "avx2 avx_vnni", True, True),
        ("celeron-j4125", "avx2 avx_vnni", False, False),
        ("generic-x86", "avx2", True, True),
        ("generic-x86", "avx2 avx_vnni", True, False),
        ("jetson-orin-nano-8gb", "avx2", True, False),
    ],
)
def test_weights_of_8_bits_are_warned_of_where_their_sums_can_overflow(
    machines: ModuleType, tmp_path: Path, profile: str, flags: str, wide: bool, warned: bool
) -> None:
    source: Any = SimpleNamespace(doubts=("something else",), wide_weights=wide)
    found = doubts_of_file(source, load_profile(profile), detect(machines.x86(tmp_path, flags=flags)))
    assert found == ("something else", *([MAY_OVERFLOW] if warned else []))
