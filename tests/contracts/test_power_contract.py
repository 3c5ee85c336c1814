"""What every power source must do, whatever it reads; a machine is a folder, and a clock is a number."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.errors import raises
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.bench.power.base import PowerSource, PowerSourceError, Reading
from weckd_edge.devices.bench.power.ina238_source import Ina238Source
from weckd_edge.devices.bench.power.ina3221_source import Ina3221Source
from weckd_edge.devices.bench.power.null_source import NullSource
from weckd_edge.devices.bench.power.rapl_source import RaplSource
from weckd_edge.devices.bench.power.replay_source import ReplaySource, read_recording, to_lines
from weckd_edge.devices.bench.power.table import METERS, open_source

SECOND = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 5 * SECOND

    def __call__(self) -> int:
        return self.now


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{content}\n")
    return path


class PowerContract:
    """A subclass makes a machine that draws 5 W for ever, and opens its source."""

    name = ""
    rails: tuple[str, ...] = ()

    def make(self, root: Path) -> None:
        raise NotImplementedError

    def open(self, root: Path, clock: Clock) -> PowerSource:
        raise NotImplementedError

    def pass_a_second(self, root: Path, clock: Clock) -> None:
        clock.now += SECOND

    def break_it(self, root: Path, clock: Clock) -> None:
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def source(self, tmp_path: Path, clock: Clock) -> PowerSource:
        self.make(tmp_path)
        return self.open(tmp_path, clock)

    def test_it_says_what_it_measures(self, source: PowerSource) -> None:
        assert (source.name, source.rails) == (self.name, self.rails)
        assert 0 < source.period_s <= 1

    def test_a_reading_has_the_clocks_time_and_one_of_power_and_energy(self, source: PowerSource, clock: Clock) -> None:
        reading = source.read()
        assert reading is not None
        assert reading.at_ns == clock.now
        assert (reading.power_mw is None) != (reading.energy_mj is None)

    def test_five_watts_are_five_watts(self, source: PowerSource, tmp_path: Path, clock: Clock) -> None:
        first = source.read()
        self.pass_a_second(tmp_path, clock)
        second = source.read()
        assert first is not None
        assert second is not None
        assert second.at_ns - first.at_ns == SECOND
        if second.power_mw is not None:
            assert second.power_mw == pytest.approx(5000)
        else:
            assert second.energy_mj is not None
            assert first.energy_mj is not None
            assert second.energy_mj - first.energy_mj == pytest.approx(5000)

    def test_every_reading_is_of_the_same_kind(self, source: PowerSource, tmp_path: Path, clock: Clock) -> None:
        kinds = set()
        for _ in range(3):
            reading = source.read()
            assert reading is not None
            kinds.add(reading.power_mw is None)
            self.pass_a_second(tmp_path, clock)
        assert len(kinds) == 1

    def test_a_meter_that_goes_away_is_an_error_that_names_it(
        self, source: PowerSource, tmp_path: Path, clock: Clock
    ) -> None:
        source.read()
        self.break_it(tmp_path, clock)
        with raises(PowerSourceError, "E_DEVICE_POWER_SOURCE", says=str(tmp_path)):
            source.read()

    def test_it_may_be_closed_twice(self, source: PowerSource) -> None:
        source.close()
        source.close()


class MeterContract(PowerContract):
    """Of sources that are found below a root."""

    value = ""

    def break_it(self, root: Path, clock: Clock) -> None:
        (root / self.value).unlink()

    def open(self, root: Path, clock: Clock) -> PowerSource:
        return METERS[self.name](root, clock)

    def test_a_machine_without_one_is_an_error_that_says_so(self, tmp_path: Path, clock: Clock) -> None:
        with raises(PowerSourceError, "E_DEVICE_POWER_SOURCE"):
            self.open(tmp_path, clock)

    def test_auto_finds_it(self, tmp_path: Path, clock: Clock) -> None:
        self.make(tmp_path)
        assert open_source("auto", tmp_path, clock).name == self.name
        assert open_source(self.name, tmp_path, clock).rails == self.rails

    def test_a_file_that_shows_no_number_is_an_error(self, source: PowerSource, tmp_path: Path) -> None:
        write(tmp_path / self.value, "N/A")
        with raises(PowerSourceError, "E_DEVICE_POWER_SOURCE", says="'N/A'"):
            source.read()

    def test_a_file_that_may_not_be_read_says_what_to_do(
        self, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.make(tmp_path)
        real = Path.read_text

        def denied(path: Path, *args: Any, **kw: Any) -> str:
            if path == tmp_path / self.value:
                raise PermissionError(13, "Permission denied")
            return real(path, *args, **kw)

        monkeypatch.setattr(Path, "read_text", denied)
        with raises(PowerSourceError, "E_DEVICE_POWER_SOURCE"):
            self.open(tmp_path, clock)
        none = open_source("auto", tmp_path, clock)
        assert isinstance(none, NullSource)
        assert "this user may not read it" in none.reason


INA = "sys/bus/i2c/devices/1-0040"


class TestIna3221Hwmon(MeterContract):
    """JetPack 5 and later, an Orin Nano: one rail carries everything."""

    name, rails, value = "ina3221", ("VDD_IN",), f"{INA}/hwmon/hwmon3/curr1_input"

    def make(self, root: Path) -> None:
        write(root / INA / "name", "ina3221")
        for channel, rail, mv, ma in (
            (1, "VDD_IN", 5000, 1000),
            (2, "VDD_CPU_GPU_CV", 5000, 300),
            (3, "VDD_SOC", 5000, 200),
        ):
            hwmon = root / INA / "hwmon/hwmon3"
            write(hwmon / f"in{channel}_label", rail)
            write(hwmon / f"in{channel}_input", mv)
            write(hwmon / f"curr{channel}_input", ma)
        write(root / INA / "hwmon/hwmon3/in7_label", "sum of shunt voltages")
        write(root / "sys/bus/i2c/devices/1-0041/name", "lm75")

    def test_without_a_rail_for_everything_all_rails_of_all_chips_are_added(self, tmp_path: Path, clock: Clock) -> None:
        for chip, names in ((INA, ("VDD_GPU_SOC", "VDD_CPU_CV")), ("sys/bus/i2c/devices/1-0041", ("VIN_SYS_5V0", "NC"))):
            write(tmp_path / chip / "name", "ina3221")
            for channel, rail in enumerate(names, start=1):
                write(tmp_path / chip / f"hwmon/hwmon{len(chip)}/in{channel}_label", rail)
                write(tmp_path / chip / f"hwmon/hwmon{len(chip)}/in{channel}_input", 5000)
                write(tmp_path / chip / f"hwmon/hwmon{len(chip)}/curr{channel}_input", 100 * channel)
        source = Ina3221Source(tmp_path, clock)
        assert source.rails == ("VDD_CPU_CV", "VDD_GPU_SOC", "VIN_SYS_5V0")
        reading = source.read()
        assert reading is not None
        assert reading.power_mw == pytest.approx(5 * (200 + 100 + 100))


class TestIna3221Iio(MeterContract):
    """JetPack 4."""

    name, rails, value = "ina3221", ("POM_5V_IN",), f"{INA}/iio:device0/in_current0_input"

    def make(self, root: Path) -> None:
        write(root / INA / "name", "ina3221")
        for channel, rail, ma in ((0, "POM_5V_IN", 1000), (1, "POM_5V_GPU", 100)):
            write(root / INA / f"iio:device0/rail_name_{channel}", rail)
            write(root / INA / f"iio:device0/in_voltage{channel}_input", 5000)
            write(root / INA / f"iio:device0/in_current{channel}_input", ma)


class TestIna238(MeterContract):
    """The Thor carrier, in microwatt."""

    name, rails, value = "ina238", ("VIN",), "sys/bus/i2c/devices/2-0044/hwmon/hwmon1/power1_input"

    def make(self, root: Path) -> None:
        write(root / "sys/bus/i2c/devices/2-0044/name", "ina238")
        write(root / self.value, 5_000_000)

    def test_another_chip_with_a_power_file_is_left_alone(self, tmp_path: Path, clock: Clock) -> None:
        write(tmp_path / "sys/bus/i2c/devices/2-0045/name", "pmbus")
        write(tmp_path / "sys/bus/i2c/devices/2-0045/hwmon/hwmon1/power1_input", 1)
        with raises(PowerSourceError, "E_DEVICE_POWER_SOURCE", says="ina238"):
            Ina238Source(tmp_path, clock)


RAPL = "sys/class/powercap"
RANGE_UJ = 262_143_328_850


class TestRapl(MeterContract):
    """Two packages' worth of counters and one memory; parts of a package and its copy over MMIO are not counted twice."""

    name, rails, value = "rapl", ("package-0", "dram"), f"{RAPL}/intel-rapl:0/energy_uj"

    def make(self, root: Path, start_uj: int = 1_000_000) -> None:
        rows = (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "core"), ("intel-rapl:0:2", "dram"))
        for folder, name in (*rows, ("intel-rapl-mmio:0", "package-0"), ("intel-rapl:1", "psys")):
            write(root / RAPL / folder / "name", name)
            write(root / RAPL / folder / "max_energy_range_uj", RANGE_UJ)
            write(root / RAPL / folder / "energy_uj", start_uj)

    def pass_a_second(self, root: Path, clock: Clock) -> None:
        clock.now += SECOND
        for folder, step in (("intel-rapl:0", 4_000_000), ("intel-rapl:0:2", 1_000_000), ("intel-rapl:0:0", 3_000_000)):
            file = root / RAPL / folder / "energy_uj"
            write(file, (int(file.read_text()) + step) % RANGE_UJ)

    def test_a_counter_that_wraps_goes_on(self, tmp_path: Path, clock: Clock) -> None:
        self.make(tmp_path, start_uj=RANGE_UJ - 6_000_000)
        source = RaplSource(tmp_path, clock)
        energies = []
        for _ in range(4):
            reading = source.read()
            assert reading is not None
            energies.append(reading.energy_mj)
            self.pass_a_second(tmp_path, clock)
        assert energies == pytest.approx([0, 5000, 10_000, 15_000])
        assert int((tmp_path / self.value).read_text()) < 20_000_000  # it did wrap


class TestReplay(PowerContract):
    """A recorded file."""

    name, rails = "replay", ("power.jsonl",)

    def make(self, root: Path) -> None:
        lines = [{"at_ns": 77 + index * SECOND, "power_mw": 5000.0} for index in range(4)]
        write(root / "power.jsonl", "\n".join(map(json.dumps, lines)))

    def open(self, root: Path, clock: Clock) -> PowerSource:
        return ReplaySource(root / "power.jsonl", clock)

    def break_it(self, root: Path, clock: Clock) -> None:
        clock.now += 10 * SECOND

    def test_the_end_of_the_record_is_reported(self, source: PowerSource, clock: Clock) -> None:
        source.read()
        clock.now += 3 * SECOND
        source.read()
        clock.now += 2 * SECOND
        with raises(PowerSourceError, "E_DEVICE_POWER_SOURCE", says="3.0"):
            source.read()

    def test_what_was_written_is_read_again(self, tmp_path: Path) -> None:
        readings = [Reading(at_ns=1, energy_mj=2.5), Reading(at_ns=4, energy_mj=3.0)]
        write(tmp_path / "r.jsonl", to_lines(readings).rstrip())
        assert read_recording(tmp_path / "r.jsonl") == readings

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "r.jsonl: "),
            ("nonsense", "r.jsonl:1: "),
            ('{"at_ns": 1}', "r.jsonl:1: "),
            ('{"at_ns": 1, "power_mw": 1.0, "energy_mj": 1.0}', "r.jsonl:1: "),
            ('{"at_ns": 2, "power_mw": 1.0}\n{"at_ns": 1, "power_mw": 1.0}', "r.jsonl:2: "),
            ('{"at_ns": 1, "power_mw": 1.0}\n{"at_ns": 2, "energy_mj": 1.0}', "r.jsonl:2: "),
        ],
    )
    def test_another_file_is_refused_with_its_line(self, tmp_path: Path, text: str, told: str) -> None:
        (tmp_path / "r.jsonl").write_text(text)
        with raises(ConfigError, "E_CONFIG_POWER_FILE", says=told):
            ReplaySource(tmp_path / "r.jsonl")

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with raises(ConfigError, "E_FILE_MISSING", says="none.jsonl"):
            open_source(f"replay:{tmp_path / 'none.jsonl'}")


def test_no_source_reads_nothing_and_says_why(tmp_path: Path) -> None:
    none = open_source("none", tmp_path)
    assert isinstance(none, NullSource)
    assert (none.read(), none.rails, none.name) == (None, (), "none")
    none.close()
    auto = open_source("auto", tmp_path)
    assert isinstance(auto, NullSource)
    assert "this machine shows no power meter (ina3221, ina238, rapl)" in auto.reason


def test_an_unknown_source_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with raises(ConfigError, "E_CONFIG_CHOICE", says=("'ina3222'", "'ina3221'")):
        open_source("ina3222", tmp_path)
