from pathlib import Path
from types import ModuleType

import pytest

from weckd_edge.devices.bench.machine_log import MachineFiles
from weckd_edge.devices.machine.clocks import Clocks, read_core_clocks, read_gpu_clocks
from weckd_edge.devices.machine.resources import read_free_disk_mib, read_memory_mib, read_swap
from weckd_edge.devices.machine.throttling import find_throttling_signs, read_throttled_before, read_throttling

PI = "sys/devices/platform/soc/soc:firmware/get_throttled"
BOARDS = ["jetson-nano-4gb", "jetson-tx2", "jetson-xavier-nx", "jetson-orin-nano-8gb", "jetson-thor-t5000"]


def test_nothing_is_reported_of_a_machine_that_shows_nothing(tmp_path: Path) -> None:
    assert (read_core_clocks(tmp_path), read_gpu_clocks(tmp_path), read_throttling(tmp_path)) == ((), None, None)
    assert (read_throttled_before(tmp_path), read_swap(tmp_path), read_memory_mib(tmp_path)) == ((), None, None)
    assert read_free_disk_mib(tmp_path / "none") is None


@pytest.mark.parametrize("board", BOARDS)
def test_clocks_move_until_they_are_pinned(fake_jetson: ModuleType, tmp_path: Path, board: str) -> None:
    free, pinned = (fake_jetson.build(tmp_path / str(p), board, pinned=p) for p in (False, True))
    assert not any(clock.pinned for clock in read_core_clocks(free))
    assert all(clock.pinned for clock in read_core_clocks(pinned))
    made = fake_jetson.BOARDS[board]
    low, high = (hertz // 1000 for hertz in made.gpu_hz)
    assert read_gpu_clocks(free) == Clocks(name=made.gpu, low_khz=low, high_khz=high)
    gpu = read_gpu_clocks(pinned)
    assert gpu is not None
    assert gpu.pinned


def test_cores_come_in_the_order_of_their_numbers(fake_jetson: ModuleType, tmp_path: Path) -> None:
    clocks = read_core_clocks(fake_jetson.build(tmp_path, "jetson-agx-orin-64gb"))
    assert [clock.name for clock in clocks] == [f"cpu{n}" for n in range(12)]
    assert clocks[0].limit_khz == 1728000


def test_another_device_with_clocks_is_no_gpu(machines: ModuleType, tmp_path: Path) -> None:
    machines.write(tmp_path, "sys/class/devfreq/17000000.emc/min_freq", "1\n")
    machines.write(tmp_path, "sys/class/devfreq/17000000.emc/max_freq", "2\n")
    assert read_gpu_clocks(tmp_path) is None


@pytest.mark.parametrize("board", BOARDS)
def test_a_cool_jetson_is_slowed_down_by_nothing(fake_jetson: ModuleType, tmp_path: Path, board: str) -> None:
    assert read_throttling(fake_jetson.build(tmp_path, board)) == ()


@pytest.mark.parametrize("board", BOARDS)
def test_a_hot_jetson_is_reported_where_and_how_far(fake_jetson: ModuleType, tmp_path: Path, board: str) -> None:
    said = read_throttling(fake_jetson.build(tmp_path, board, throttling=True))
    assert said is not None
    zone = fake_jetson.BOARDS[board].zones[0]
    assert f"{zone} has reached its limit of 99 C" in said
    assert "cpufreq-cpu0 is held back (step 3)" in said


def test_a_fan_that_turns_slows_nothing_down(machines: ModuleType, tmp_path: Path) -> None:
    machines.write(tmp_path, "sys/class/thermal/cooling_device0/type", "pwm-fan\n")
    machines.write(tmp_path, "sys/class/thermal/cooling_device0/cur_state", "4\n")
    assert read_throttling(tmp_path) is None


def test_the_lowest_passive_trip_is_the_limit_and_others_are_none(machines: ModuleType, tmp_path: Path) -> None:
    zone = "sys/class/thermal/thermal_zone0"
    for n, (kind, degrees) in enumerate(
        (("active", 30), ("passive", 90), ("passive", 80), ("passive", 0), ("critical", 50))
    ):
        machines.write(tmp_path, f"{zone}/trip_point_{n}_type", f"{kind}\n")
        machines.write(tmp_path, f"{zone}/trip_point_{n}_temp", f"{degrees}000\n")
    machines.write(tmp_path, f"{zone}/type", "cpu\n")
    for degrees, said in ((79_000, ()), (80_000, ("cpu has reached its limit of 80 C",))):
        machines.write(tmp_path, f"{zone}/temp", f"{degrees}\n")
        assert read_throttling(tmp_path) == said


def test_a_rail_over_its_limit_is_named(fake_jetson: ModuleType, tmp_path: Path) -> None:
    root = fake_jetson.build(tmp_path)
    (alarm,) = root.glob("sys/bus/i2c/devices/*/hwmon/hwmon*/curr1_max_alarm")
    alarm.write_text("1\n")
    assert read_throttling(root) == ("VDD_IN draws more current than its limit",)


@pytest.mark.parametrize(
    ("bits", "now", "before"),
    [
        ("0", (), ()),
        ("0x5", ("under-voltage", "throttled"), ()),
        ("50000", (), ("under-voltage since the start", "throttled since the start")),
        ("80008", ("soft temperature limit",), ("soft temperature limit since the start",)),
    ],
)
def test_the_bits_of_a_raspberry_pi_are_reported_in_words(
    machines: ModuleType, tmp_path: Path, bits: str, now: tuple[str, ...], before: tuple[str, ...]
) -> None:
    machines.write(tmp_path, PI, f"{bits}\n")
    assert (read_throttling(tmp_path), read_throttled_before(tmp_path)) == (now, before)


def test_bits_that_are_none_are_not_read(machines: ModuleType, tmp_path: Path) -> None:
    machines.write(tmp_path, PI, "throttled=0x0\n")
    assert (read_throttling(tmp_path), read_throttled_before(tmp_path)) == (None, ())


def test_an_x86_machine_tells_how_often_it_was_throttled(machines: ModuleType, tmp_path: Path) -> None:
    for core, count in enumerate((0, 7)):
        machines.write(tmp_path, f"sys/devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count", f"{count}\n")
    assert read_throttled_before(tmp_path) == ("the processor was throttled 7 times",)


def test_swap_into_the_memory_itself_is_distinguished_from_a_file(
    fake_jetson: ModuleType, machines: ModuleType, tmp_path: Path
) -> None:
    none = read_swap(fake_jetson.build(tmp_path / "none"))
    assert none is not None
    assert (none.devices, none.total_mib, none.used_mib, none.is_zram) == ((), 0.0, 0.0, False)
    zram = read_swap(fake_jetson.build(tmp_path / "zram", zram=True))
    assert zram is not None
    assert (len(zram.devices), zram.is_zram) == (6, True)
    assert zram.total_mib == pytest.approx(6 * 650172 / 1024)
    assert zram.used_mib == pytest.approx(6 * 16000 / 1024)
    machines.write(tmp_path, "proc/swaps", "Filename Type Size Used Priority\n/swapfile file 2048 1024 -2\nbroken\n")
    file = read_swap(tmp_path)
    assert file is not None
    assert (file.devices, file.total_mib, file.used_mib, file.is_zram) == (("/swapfile",), 2.0, 1.0, False)


def test_memory_is_reported_only_where_both_figures_are_there(machines: ModuleType, tmp_path: Path) -> None:
    machines.write(tmp_path, "proc/meminfo", "MemTotal: 2048 kB\n")
    assert read_memory_mib(tmp_path) is None
    machines.write(tmp_path, "proc/meminfo", "MemTotal: 2048 kB\nMemAvailable: 1024 kB\n")
    assert read_memory_mib(tmp_path) == (1.0, 2.0)


def test_free_disk_is_that_of_the_folder(tmp_path: Path) -> None:
    free = read_free_disk_mib(tmp_path)
    assert free is not None
    assert free > 0


def test_an_alarm_that_is_shown_twice_is_reported_once(fake_jetson: ModuleType, tmp_path: Path) -> None:
    root = fake_jetson.build(tmp_path)
    (alarm,) = root.glob("sys/bus/i2c/devices/*/hwmon/hwmon*/curr1_max_alarm")
    before = len(find_throttling_signs(root))
    link = root / "sys/class/hwmon" / alarm.parent.name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(alarm.parent)
    assert len(find_throttling_signs(root)) == before


def test_settings_and_accelerators_are_no_throttling(machines: ModuleType, tmp_path: Path) -> None:
    for n, kind in enumerate(("TCC Offset", "cpu-fan", "iwlwifi_1")):
        machines.write(tmp_path, f"sys/class/thermal/cooling_device{n}/type", f"{kind}\n")
        machines.write(tmp_path, f"sys/class/thermal/cooling_device{n}/cur_state", "10\n")
    assert read_throttling(tmp_path) is None
    machines.write(tmp_path, "sys/class/thermal/cooling_device3/type", "cv0-throttle-alert\n")
    machines.write(tmp_path, "sys/class/thermal/cooling_device3/cur_state", "1\n")
    assert read_throttling(tmp_path) == ("cv0-throttle-alert is held back (step 1)",)


def test_over_current_events_since_the_start_are_reported(machines: ModuleType, tmp_path: Path) -> None:
    machines.write(tmp_path, "sys/class/hwmon/hwmon4/oc1_event_cnt", "0\n")
    assert read_throttled_before(tmp_path) == ()
    machines.write(tmp_path, "sys/class/hwmon/hwmon4/oc2_event_cnt", "3\n")
    assert read_throttled_before(tmp_path) == ("the supply's current was over its limit 3 times",)


@pytest.mark.parametrize("board", BOARDS)
def test_a_bench_sees_the_same_throttling_as_doctor(fake_jetson: ModuleType, tmp_path: Path, board: str) -> None:
    root = fake_jetson.build(tmp_path, board, throttling=True)
    with MachineFiles(root) as machine:
        assert machine.read_state().throttling == read_throttling(root) != ()
