import dataclasses
from pathlib import Path
from types import ModuleType

import pytest

from support.errors import raises
from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.jetson.board import EngineIdentity, read_module, read_power_mode
from weckd_edge.devices.jetson.recipe import KEY_INGREDIENTS

IDENTITY = EngineIdentity(
    onnx_sha256="ab",
    graph_sha256="cd",
    tensorrt_version="10.3.0.30",
    module="p3767-0005",
    compute_capability="8.7",
    l4t="36.4.3",
    power_mode="25W",
    flags=("INT8", "FP16", "workspace=512MiB"),
)


def test_equal_identities_have_one_key() -> None:
    assert dataclasses.replace(IDENTITY).key() == IDENTITY.key()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(EngineIdentity)])
def test_every_part_of_an_identity_changes_the_key(field: str) -> None:
    other = dataclasses.replace(IDENTITY, **{field: ("INT8",) if field == "flags" else "other"})
    assert other.key() != IDENTITY.key()


def test_the_recipe_names_every_part_of_an_identity() -> None:
    assert {field.name for field in dataclasses.fields(EngineIdentity)} == set(KEY_INGREDIENTS)


def test_module_and_l4t_are_read_from_a_jetson(machines: ModuleType, tmp_path: Path) -> None:
    assert read_module(machines.jetson(tmp_path)) == ("p3767-0005", "36.4.3")


def test_another_machine_is_reported_where_to_go(machines: ModuleType, tmp_path: Path) -> None:
    with raises(DeviceError, "E_DEVICE_NOT_JETSON"):
        read_module(machines.x86(tmp_path))


def test_a_jetson_without_a_part_number_is_refused(machines: ModuleType, tmp_path: Path) -> None:
    with raises(DeviceError, "E_DEVICE_MODULE"):
        read_module(machines.jetson(tmp_path, module=""))


@pytest.mark.parametrize(("number", "name"), [(0, "15W"), (1, "25W"), (2, "MAXN_SUPER")])
def test_a_power_mode_is_known_by_its_name(machines: ModuleType, tmp_path: Path, number: int, name: str) -> None:
    assert read_power_mode(machines.jetson(tmp_path, power_mode=number)) == name


def test_a_mode_that_is_commented_out_is_not_the_mode(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.jetson(tmp_path, power_mode=7)
    machines.write(root, "etc/nvpmodel.conf", "# < POWER_MODEL ID=7 NAME=OLD >\n  < POWER_MODEL ID=7 NAME=NEW >\n")
    assert read_power_mode(root) == "NEW"


def test_a_mode_the_configuration_does_not_name_is_refused(machines: ModuleType, tmp_path: Path) -> None:
    with raises(DeviceError, "E_DEVICE_POWER_MODE", says=("9", "nvpmodel -m")):
        read_power_mode(machines.jetson(tmp_path, power_mode=9))


@pytest.mark.parametrize("status", ["", "fmode:quiet\n", "pmode:\n", b"\xff\xfe\x00"])
def test_a_status_without_a_mode_is_refused(machines: ModuleType, tmp_path: Path, status: str | bytes) -> None:
    root = machines.jetson(tmp_path)
    machines.write(root, "var/lib/nvpmodel/status", status)
    with raises(DeviceError, "E_DEVICE_POWER_MODE"):
        read_power_mode(root)


@pytest.mark.parametrize("path", ["var/lib/nvpmodel/status", "etc/nvpmodel.conf"])
def test_a_missing_file_is_named_with_the_way_out(machines: ModuleType, tmp_path: Path, path: str) -> None:
    root = machines.jetson(tmp_path)
    (root / path).unlink()
    with raises(DeviceError, "E_DEVICE_POWER_MODE", says=(f"{path}", "nvpmodel -m")):
        read_power_mode(root)
