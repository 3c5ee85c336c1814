import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from weckd_edge.cli.doctor import command
from weckd_edge.devices.doctor.doctor import check_library, diagnose


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module that a test writes; its name is ``weckd_toy``."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    (tmp_path / "site").mkdir()
    yield "weckd_toy"
    sys.modules.pop("weckd_toy", None)


def write(tmp_path: Path, text: str) -> None:
    (tmp_path / "site/weckd_toy.py").write_text(text)


def test_a_library_that_imports_works(library: str, tmp_path: Path) -> None:
    write(tmp_path, "import warnings; warnings.warn('old', DeprecationWarning)")
    found = check_library(library)
    assert (found.state, found.detail, found.version) == ("works", None, None)


def test_an_absent_library_says_what_to_type() -> None:
    found = check_library("weckd_not_there")
    assert (found.state, found.version, found.detail) == ("absent", None, "pip install weckd_not_there")


def nothing(module: str) -> bool:
    """Tell that no library is installed."""
    return False


def all_but(*absent: str) -> dict[str, Any]:
    """Libraries that import well, but for some that are not there."""
    return {"installed": lambda module: module not in absent, "load": lambda module, purpose: None}


def test_an_absent_library_of_an_extra_names_the_extra() -> None:
    assert check_library("openvino", installed=nothing).detail == "pip install 'weckd-edge[cpu]'"
    assert check_library("PIL", installed=nothing).detail == "pip install pillow"
    assert "sudo apt install python3-libnvinfer" in str(check_library("tensorrt", installed=nothing).detail)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import weckd_not_there", "it cannot import weckd_not_there"),
        ("raise OSError('libcuda.so.1: cannot open')", "libcuda.so.1: cannot open"),
        ("raise RuntimeError('compiled for another NumPy\\nmore')", "(RuntimeError: compiled for another NumPy)"),
        ("raise ValueError()", "(ValueError: )"),
        ("this is no Python", "SyntaxError"),
    ],
)
def test_a_library_that_is_there_and_does_not_import_is_broken(library: str, tmp_path: Path, text: str, told: str) -> None:
    write(tmp_path, text)
    found = check_library(library)
    assert found.state == "broken"
    assert told in str(found.detail)
    assert "installed but broken" in str(found.detail)
    assert "\n" not in str(found.detail)


def test_the_version_is_found_where_module_and_distribution_differ_in_name() -> None:
    from PIL import __version__

    assert check_library("PIL").version == __version__


def test_an_ability_works_where_all_its_libraries_do(machines: ModuleType, tmp_path: Path) -> None:
    found = diagnose(machines.x86(tmp_path), modules=("numpy", "click"))
    assert [library.state for library in found.libraries] == ["works", "works"]
    assert found.abilities == ()
    assert found.device.profile == "generic-x86"
    assert found.governor.startswith("not shown here")


def test_a_missing_library_takes_its_ability_with_it(machines: ModuleType, tmp_path: Path) -> None:
    found = diagnose(machines.x86(tmp_path), modules=("onnx", "onnxruntime", "openvino"), **all_but("onnx"))
    by_name = {ability.name: ability for ability in found.abilities}
    broken, whole = by_name["export and quantize"], by_name["build and run OpenVINO models"]
    assert (broken.works, broken.missing, broken.hint) == (False, ("onnx",), "pip install 'weckd-edge[compile]'")
    assert (whole.works, whole.missing, whole.hint, whole.target) == (True, (), None, "cpu")


def test_finalize_works_on_a_jetson_with_tensorrt(machines: ModuleType, tmp_path: Path, tensorrt: ModuleType) -> None:
    found = diagnose(machines.jetson(tmp_path), modules=("tensorrt",))
    (ability,) = found.abilities
    assert (ability.name, ability.works, ability.target) == ("build the engine (finalize)", True, "jetson")


def test_finalize_never_works_off_a_jetson_and_says_where(
    machines: ModuleType, tmp_path: Path, tensorrt: ModuleType
) -> None:
    (ability,) = diagnose(machines.x86(tmp_path), modules=("tensorrt",)).abilities
    assert (ability.works, ability.missing) == (False, ())
    assert "copy the bundle to the Jetson" in str(ability.hint)


def test_a_jetson_without_the_binding_is_reported_the_package(machines: ModuleType, tmp_path: Path) -> None:
    (ability,) = diagnose(machines.jetson(tmp_path), modules=("tensorrt",), installed=nothing).abilities
    assert (ability.works, ability.missing) == (False, ("tensorrt",))
    assert "sudo apt install python3-libnvinfer" in str(ability.hint)


def test_governors_are_reported_in_words(machines: ModuleType, tmp_path: Path) -> None:
    machines.set_governors(tmp_path, "schedutil", "performance")
    assert diagnose(tmp_path, modules=()).governor == "performance, schedutil"


def test_every_library_of_the_package_is_looked_at(tmp_path: Path) -> None:
    found = diagnose(tmp_path, installed=nothing)
    assert {"numpy", "torch", "openvino", "tensorrt", "onnx"} <= {library.module for library in found.libraries}
    assert len(found.abilities) == 7
    assert not any(ability.works for ability in found.abilities)
    assert all(ability.hint for ability in found.abilities)


@pytest.mark.parametrize(
    ("by", "expected"), [("compiled", "compiled library ("), ("numpy", "NumPy, without the compiled library: ")]
)
def test_what_computes_on_frames_is_told(by: str, expected: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(f"frames_by_{by}")
    assert diagnose(tmp_path, modules=()).pixels.startswith(expected)


def test_the_command_prints_one_object_and_a_table() -> None:
    data = json.loads(CliRunner().invoke(command, ["--json"]).stdout)
    assert data.keys() >= {"weckd_edge", "python", "device", "governor", "libraries", "abilities"}
    shown = CliRunner().invoke(command, [])
    assert shown.exit_code == 0
    assert "sign bundles" in shown.stdout
    assert "clock governor" in shown.stderr
    assert f"frames: {data['pixels']}" in shown.stderr


@pytest.mark.parametrize(
    ("jetson", "absent", "expected"),
    [
        (False, (), {"cpu": (True, True), "jetson": (True, False)}),
        (False, ("openvino",), {"cpu": (False, False), "jetson": (True, False)}),
        (False, ("onnx",), {"cpu": (False, True), "jetson": (False, False)}),
        (True, ("onnx", "openvino"), {"cpu": (False, False), "jetson": (False, True)}),
        (True, ("tensorrt",), {"cpu": (True, True), "jetson": (True, False)}),
    ],
)
def test_what_works_is_reported_by_target(
    machines: ModuleType,
    fake_jetson: ModuleType,
    tmp_path: Path,
    jetson: bool,
    absent: tuple[str, ...],
    expected: dict[str, tuple[bool, bool]],
) -> None:
    root = fake_jetson.build(tmp_path) if jetson else machines.x86(tmp_path)
    found = diagnose(root, modules=("onnx", "onnxruntime", "openvino", "tensorrt"), **all_but(*absent))
    assert {target.target: (target.builds, target.runs) for target in found.targets} == expected
    assert all((target.note is None) == (target.builds and target.runs) for target in found.targets)


def test_targets_are_not_evaluated_where_not_all_libraries_were_looked_at(machines: ModuleType, tmp_path: Path) -> None:
    assert diagnose(machines.x86(tmp_path), modules=("numpy",)).targets == ()


def test_the_command_shows_targets_and_advice() -> None:
    data = json.loads(CliRunner().invoke(command, ["--json"]).stdout)
    assert [target["target"] for target in data["targets"]] == ["cpu", "jetson"]
    assert {"throttling", "swap", "memory", "free disk"} <= {advice["topic"] for advice in data["advice"]}
    shown = CliRunner().invoke(command, []).stdout
    assert "build for it" in shown
    assert "free disk" in shown
