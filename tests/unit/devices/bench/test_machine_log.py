import dataclasses
import threading
from pathlib import Path
from types import ModuleType

import pytest

from weckd_edge.artifacts import MachineRecord, MachineState
from weckd_edge.devices.bench.machine_log import MachineFiles, counter_rises
from weckd_edge.devices.bench.poller import Poller
from weckd_edge.devices.bench.verdict import machine_reasons

CPU = "sys/devices/system/cpu"


def put(root: Path, path: str, content: object) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{content}\n")


@pytest.fixture
def orin(tmp_path: Path, machines: ModuleType) -> Path:
    """A Jetson Orin Nano that works."""
    machines.jetson(tmp_path)
    machines.set_governors(tmp_path, "schedutil", "schedutil")
    put(tmp_path, f"{CPU}/cpu0/cpufreq/scaling_cur_freq", 729_600)
    put(tmp_path, f"{CPU}/cpu1/cpufreq/scaling_cur_freq", 1_510_400)
    put(tmp_path, "sys/class/devfreq/17000000.gpu/cur_freq", 624_750_000)
    put(tmp_path, "sys/class/devfreq/15340000.vic/cur_freq", 998_400_000)
    put(tmp_path, "sys/class/thermal/thermal_zone0/type", "cpu-thermal")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", 48_531)
    put(tmp_path, "sys/class/thermal/thermal_zone1/type", "tj-thermal")
    put(tmp_path, "sys/class/thermal/thermal_zone1/temp", 49_250)
    put(tmp_path, "sys/class/thermal/thermal_zone2/type", "asleep")
    put(tmp_path, "sys/class/thermal/thermal_zone2/temp", "")
    put(tmp_path, "sys/class/thermal/cooling_device0/type", "pwm-fan")
    put(tmp_path, "sys/class/thermal/cooling_device0/cur_state", 3)
    put(tmp_path, "sys/class/thermal/cooling_device1/type", "cpufreq-cpu0")
    put(tmp_path, "sys/class/thermal/cooling_device1/cur_state", 0)
    put(tmp_path, "sys/class/hwmon/hwmon4/oc1_event_cnt", 7)
    put(tmp_path, "proc/loadavg", "0.42 0.30 0.20 1/345 6789")
    return tmp_path


def test_a_look_has_the_fastest_clock_the_hottest_zone_and_the_load(orin: Path) -> None:
    with MachineFiles(orin, clock=lambda: 77) as machine:
        state = machine.read_state()
        assert machine.shown == ("processor clock", "GPU clock", "temperatures", "throttling", "load")
    assert state == MachineState(
        at_ns=77, cpu_khz=1_510_400, gpu_hz=624_750_000, hottest_celsius=49.25, hottest_zone="tj-thermal", load_average=0.42
    )


def test_a_machine_that_shows_nothing_has_nothing_and_never_nought(tmp_path: Path) -> None:
    with MachineFiles(tmp_path, clock=lambda: 1) as machine:
        state = machine.read_state()
        assert (machine.shown, machine.read_counters(), machine.read_mode()) == ((), {}, None)
    assert dataclasses.astuple(state) == (1, None, None, None, None, None, ())


def test_what_changes_is_seen_by_the_files_held_open(orin: Path) -> None:
    with MachineFiles(orin) as machine:
        machine.read_state()
        put(orin, f"{CPU}/cpu1/cpufreq/scaling_cur_freq", 960_000)
        assert machine.read_state().cpu_khz == 960_000


def test_a_fan_is_no_throttling_and_a_lowered_clock_is(orin: Path) -> None:
    with MachineFiles(orin) as machine:
        assert machine.read_state().throttling == ()
        put(orin, "sys/class/thermal/cooling_device1/cur_state", 2)
        assert machine.read_state().throttling == ("cpufreq-cpu0 is held back (step 2)",)


def test_over_current_events_are_counted(orin: Path) -> None:
    with MachineFiles(orin) as machine:
        before = machine.read_counters()
        put(orin, "sys/class/hwmon/hwmon4/oc1_event_cnt", 9)
        assert counter_rises(before, machine.read_counters()) == ("oc1_event_cnt +2",)
        assert counter_rises(before, before) == ()


def test_an_alarm_of_the_supply_is_throttling(orin: Path) -> None:
    put(orin, "sys/bus/i2c/unused", 0)
    put(orin, "sys/class/hwmon/hwmon3/curr1_crit_alarm", 1)
    put(orin, "sys/class/hwmon/hwmon3/in1_label", "VDD_IN")
    with MachineFiles(orin) as machine:
        assert machine.read_state().throttling == ("VDD_IN draws more current than its limit",)


def test_x86_counts_its_thermal_interrupts(tmp_path: Path, machines: ModuleType) -> None:
    machines.x86(tmp_path)
    put(tmp_path, f"{CPU}/cpu0/thermal_throttle/core_throttle_count", 0)
    put(tmp_path, f"{CPU}/cpu0/thermal_throttle/package_throttle_count", 5)
    with MachineFiles(tmp_path) as machine:
        before = machine.read_counters()
        put(tmp_path, f"{CPU}/cpu0/thermal_throttle/core_throttle_count", 3)
        assert counter_rises(before, machine.read_counters()) == ("cpu0 core_throttle_count +3",)


def test_a_raspberry_pi_says_what_slows_it_now_and_what_has(tmp_path: Path, machines: ModuleType) -> None:
    machines.raspberry_pi_5(tmp_path)
    path = "sys/devices/platform/soc/soc:firmware/get_throttled"
    put(tmp_path, path, "50000")  # under-voltage and throttling, at some earlier time
    with MachineFiles(tmp_path) as machine:
        before = machine.read_counters()
        assert machine.read_state().throttling == ()
        put(tmp_path, path, "d0008")
        assert machine.read_state().throttling == ("soft temperature limit",)
        assert counter_rises(before, machine.read_counters()) == ("soft temperature limit since the start +1",)


def test_the_mode_has_power_mode_governors_and_turbo(orin: Path, machines: ModuleType) -> None:
    with MachineFiles(orin) as machine:
        assert machine.read_mode() == "power mode 25W; governor schedutil"
        machines.set_power_mode(orin, 2)
        assert machine.read_mode() == "power mode MAXN_SUPER; governor schedutil"


def test_a_notebook_has_a_power_profile(tmp_path: Path) -> None:
    put(tmp_path, "sys/firmware/acpi/platform_profile", "balanced")
    put(tmp_path, f"{CPU}/intel_pstate/no_turbo", 1)
    with MachineFiles(tmp_path) as machine:
        assert machine.read_mode() == "power profile balanced; turbo off"


def state(cpu_khz: int | None = 1_000_000, gpu_hz: int | None = None, throttling: tuple[str, ...] = ()) -> MachineState:
    return MachineState(
        at_ns=0,
        cpu_khz=cpu_khz,
        gpu_hz=gpu_hz,
        hottest_celsius=None,
        hottest_zone=None,
        load_average=None,
        throttling=throttling,
    )


QUIET = MachineRecord(
    before=state(400_000),
    during=(state(), state(1_050_000)),
    after=state(400_000),
    mode_before="governor performance",
    mode_after="governor performance",
    throttle_events=(),
    shown=(),
)


def test_a_machine_that_keeps_its_clocks_is_not_doubted() -> None:
    assert machine_reasons(QUIET) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"during": (state(throttling=("throttled",)),)}, "the machine throttled (throttled)"),
        ({"after": state(throttling=("under-voltage",))}, "the machine throttled (under-voltage)"),
        ({"throttle_events": ("oc1_event_cnt +2",)}, "the machine throttled (oc1_event_cnt +2)"),
        ({"mode_after": "governor powersave"}, "from governor performance to governor powersave"),
        ({"during": (state(), state(1_200_000))}, "the processor clock changed during the run, 1000 to 1200 MHz"),
        ({"during": (state(gpu_hz=600_000_000), state(gpu_hz=300_000_000))}, "the GPU clock changed"),
    ],
)
def test_what_makes_it_another_machine_is_reported(change: dict[str, object], told: str) -> None:
    (found,) = machine_reasons(dataclasses.replace(QUIET, **change))  # type: ignore[arg-type]
    assert told in found


def test_throttling_before_the_run_alone_is_no_doubt() -> None:
    assert machine_reasons(dataclasses.replace(QUIET, before=state(throttling=("throttled",)))) == []


def test_a_watch_reads_at_once_and_again_until_it_is_left() -> None:
    threads = set()
    again = threading.Semaphore(0)

    def read() -> int:
        threads.add(threading.current_thread().name)
        again.release()
        return 1

    with Poller(read, 0.001) as watch:
        for _ in range(3):
            assert again.acquire(timeout=30)
    assert len(watch.readings) >= 3
    assert set(watch.readings) == {1}
    assert threads == {"weckd-watch"}
    assert "weckd-watch" not in {thread.name for thread in threading.enumerate()}
    with Poller(read, 60) as brief:
        pass
    assert len(brief.readings) == 1


def test_a_read_that_fails_ends_the_watch_and_is_kept() -> None:
    left = [1, 2]
    failed = threading.Event()

    def read() -> int:
        if not left:
            failed.set()
        return left.pop()

    with Poller(read, 0.001) as watch:
        assert failed.wait(30)
    assert watch.readings == [2, 1]
    assert isinstance(watch.failure, IndexError)
