"""The fake Jetsons are what other tests stand on: every layout is read back here by what reads real ones."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from weckd_edge.devices.jetson.board import read_module, read_power_mode, read_power_modes
from weckd_edge.devices.jetson.tensorrt_library import imported_version

LAYOUTS = [
    ("jetson-nano-4gb", "4.6.1", "32.7.1", "8.2.1.8"),
    ("jetson-tx2", "4.6.1", "32.7.1", "8.2.1.8"),
    ("jetson-xavier-nx", "4.6.1", "32.7.1", "8.2.1.8"),
    ("jetson-xavier-nx", "5.1.3", "35.5.0", "8.5.2.2"),
    ("jetson-orin-nano-8gb", "5.1.1", "35.3.1", "8.5.2.2"),
    ("jetson-orin-nx-16gb", "6.0", "36.3.0", "8.6.2.3"),
    ("jetson-agx-orin-64gb", "6.2", "36.4.3", "10.3.0.30"),
    ("jetson-agx-orin-32gb", "7.2", "39.2.0", "10.16.2.10"),
    ("jetson-thor-t5000", "7.0", "38.2.0", "10.13.3.9"),
    ("jetson-thor-t5000", "7.2", "39.2.0", "10.16.2.10"),
]
EACH = pytest.mark.parametrize(("board", "jetpack", "l4t", "tensorrt"), LAYOUTS)


@EACH
def test_module_release_and_tensorrt_are_read_from_every_layout(
    fake_jetson: ModuleType, tmp_path: Path, board: str, jetpack: str, l4t: str, tensorrt: str
) -> None:
    root = fake_jetson.build(tmp_path, board, jetpack)
    assert read_module(root) == (fake_jetson.BOARDS[board].module, l4t)
    assert imported_version(root, tensorrt.rpartition(".")[0]) == tensorrt


@EACH
def test_every_power_mode_is_read_by_its_name(
    fake_jetson: ModuleType, tmp_path: Path, board: str, jetpack: str, l4t: str, tensorrt: str
) -> None:
    root = fake_jetson.build(tmp_path, board, jetpack)
    names = [name for name, _ in fake_jetson.BOARDS[board].modes_of(jetpack)]
    assert read_power_mode(root) in names
    assert read_power_modes(root) == {name: number for number, name in enumerate(names)}
    for number, name in enumerate(names):
        fake_jetson.set_power_mode(root, number)
        assert read_power_mode(root) == name


@EACH
def test_the_power_sensors_are_laid_out_as_the_release_does(
    fake_jetson: ModuleType, tmp_path: Path, board: str, jetpack: str, l4t: str, tensorrt: str
) -> None:
    root = fake_jetson.build(tmp_path, board, jetpack)
    bus = root / "sys/bus/i2c"
    old = jetpack.startswith("4")
    found: dict[str, float] = {}
    for label in sorted(bus.glob("drivers/ina3221*/*/" + ("iio:device*/rail_name_*" if old else "hwmon/hwmon*/in*_label"))):
        number = re.sub(r"\D", "", label.name)
        kind = ("in_voltage{}_input", "in_current{}_input") if old else ("in{}_input", "curr{}_input")
        volt, ampere = (int((label.parent / name.format(number)).read_text()) / 1000 for name in kind)
        found[label.read_text().strip()] = volt * ampere
        if old:
            assert int((label.parent / f"in_power{number}_input").read_text()) == pytest.approx(volt * ampere * 1000, abs=1)
    expected = {name: mv * ma / 1e6 for rails in fake_jetson.BOARDS[board].sensors.values() for name, mv, ma in rails}
    assert found == pytest.approx(expected)
    assert not list(bus.glob("devices/*/" + ("hwmon" if old else "iio:device*")))


def test_the_carrier_of_a_thor_tells_its_input_in_microwatts(fake_jetson: ModuleType, tmp_path: Path) -> None:
    root = fake_jetson.build(tmp_path, "jetson-thor-t5000")
    (device,) = [d for d in (root / "sys/bus/i2c/devices").iterdir() if (d / "name").read_text() == "ina238\n"]
    (sensor,) = device.glob("hwmon/hwmon*")
    volt, ampere = (int((sensor / name).read_text()) / 1000 for name in ("in1_input", "curr1_input"))
    assert int((sensor / "power1_input").read_text()) == pytest.approx(volt * ampere * 1e6)


def test_a_release_that_does_not_run_on_a_board_is_refused(fake_jetson: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"JetPack 6\.2 does not run on jetson-thor-t5000; take one of 7\.0, 7\.1, 7\.2"):
        fake_jetson.build(tmp_path, "jetson-thor-t5000", "6.2")


def test_the_super_modes_are_there_from_jetpack_6_2(fake_jetson: ModuleType, tmp_path: Path) -> None:
    modes = {jp: set(read_power_modes(fake_jetson.build(tmp_path / jp, "jetson-orin-nx-16gb", jp))) for jp in ("6.0", "6.2")}
    assert ("MAXN" in modes["6.0"], "MAXN_SUPER" in modes["6.0"], "40W" in modes["6.0"]) == (True, False, False)
    assert ("MAXN" in modes["6.2"], "MAXN_SUPER" in modes["6.2"], "40W" in modes["6.2"]) == (False, True, True)


def test_power_modes_of_a_machine_without_nvpmodel_are_none(tmp_path: Path) -> None:
    assert read_power_modes(tmp_path) == {}


def test_the_first_of_two_modes_of_one_name_counts(fake_jetson: ModuleType, tmp_path: Path) -> None:
    root = fake_jetson.build(tmp_path)
    modes = ("< POWER_MODEL ID=0 NAME=15W >", "# < POWER_MODEL ID=1 NAME=25W >", "< POWER_MODEL ID=2 NAME=15W >")
    (root / "etc/nvpmodel.conf").write_text("\n".join(modes))
    assert read_power_modes(root) == {"15W": 0}
