from pathlib import Path
from types import ModuleType

import pytest

from weckd_edge.devices.doctor.advice import Advice
from weckd_edge.devices.doctor.doctor import diagnose
from weckd_edge.devices.machine import resources


def by_topic(root: Path, folder: Path | None = None) -> dict[str, Advice]:
    found = diagnose(root, modules=(), folder=root if folder is None else folder).advice
    assert len({advice.topic for advice in found}) == len(found)
    return {advice.topic: advice for advice in found}


def test_a_jetson_in_its_best_state_is_left_alone(fake_jetson: ModuleType, tmp_path: Path) -> None:
    found = by_topic(fake_jetson.build(tmp_path, mode=2, pinned=True))
    topics = ["JetPack", "power mode", "jetson_clocks", "clock governor", "throttling", "swap", "memory", "free disk"]
    assert list(found) == topics
    assert {topic: advice.state for topic, advice in found.items() if topic != "free disk"} == dict.fromkeys(
        topics[:-1], "good"
    )
    assert all(advice.hint is None for advice in found.values() if advice.state == "good")


@pytest.mark.parametrize(
    ("board", "mode", "now", "hint"),
    [
        ("jetson-orin-nano-8gb", 3, "7W: 6.7 int8 TOPS dense, GPU up to 408 MHz", "sudo nvpmodel -m 2 (MAXN_SUPER: 33.4"),
        ("jetson-orin-nano-8gb", 0, "15W: 20.1 int8 TOPS dense, GPU up to 612 MHz", "sudo nvpmodel -m 2 (MAXN_SUPER: 33.4"),
        ("jetson-orin-nano-4gb", 2, "7W_CPU: 5 int8 TOPS dense, GPU up to 306 MHz", "sudo nvpmodel -m 0 (10W: 10.2"),
        ("jetson-orin-nx-16gb", 3, "25W: 13.4 int8 TOPS dense, GPU up to 408 MHz", "sudo nvpmodel -m 4 (40W: 38.4"),
        ("jetson-agx-orin-64gb", 1, "MODE_15W: 6.7 int8 TOPS dense, GPU up to 408 MHz", "sudo nvpmodel -m 0 (MAXN: 85.2"),
    ],
)
def test_a_low_power_mode_is_reported_with_the_best_that_the_board_has(
    fake_jetson: ModuleType, tmp_path: Path, board: str, mode: int, now: str, hint: str
) -> None:
    advice = by_topic(fake_jetson.build(tmp_path, board, mode=mode))["power mode"]
    assert (advice.state, advice.found) == ("improve", now)
    assert hint in str(advice.hint)
    assert "finalize again" in str(advice.hint)


@pytest.mark.parametrize(
    ("board", "mode"), [("jetson-orin-nano-4gb", 0), ("jetson-orin-nx-16gb", 4), ("jetson-agx-orin-64gb", 0)]
)
def test_the_best_power_mode_is_good(fake_jetson: ModuleType, tmp_path: Path, board: str, mode: int) -> None:
    assert by_topic(fake_jetson.build(tmp_path, board, mode=mode))["power mode"].state == "good"


def test_a_mode_that_this_release_does_not_have_is_not_advised(fake_jetson: ModuleType, tmp_path: Path) -> None:
    advice = by_topic(fake_jetson.build(tmp_path, "jetson-orin-nano-8gb", "6.0", mode=1))["power mode"]
    assert advice.found.startswith("7W: ")
    assert "sudo nvpmodel -m 0 (15W: 20.1" in str(advice.hint)


def test_a_mode_whose_peak_is_not_known_is_called_unknown_and_not_good(fake_jetson: ModuleType, tmp_path: Path) -> None:
    advice = by_topic(fake_jetson.build(tmp_path, "jetson-orin-nx-8gb", mode=0))["power mode"]
    assert (advice.state, advice.found) == ("unknown", "MAXN, of which no arithmetic peak is known")
    assert "10W (-m 1), 15W (-m 2), 20W (-m 3)" in str(advice.hint)
    assert by_topic(fake_jetson.build(tmp_path / "thor", "jetson-thor-t5000"))["power mode"].state == "unknown"


def test_a_board_without_nvpmodel_says_what_to_type(fake_jetson: ModuleType, tmp_path: Path) -> None:
    root = fake_jetson.build(tmp_path)
    (root / "var/lib/nvpmodel/status").unlink()
    advice = by_topic(root)["power mode"]
    assert (advice.state, advice.found) == ("unknown", "it is not shown")
    assert "sudo nvpmodel -m ID" in str(advice.hint)


@pytest.mark.parametrize(
    ("board", "jetpack", "state", "found"),
    [
        (
            "jetson-orin-nano-8gb",
            "6.2",
            "good",
            "L4T 36.4.3 (JetPack 6.1 - 6.2.3): TensorRT 10.3.0.30, the system's Python is 3.10",
        ),
        ("jetson-thor-t5000", "7.0", "good", "L4T 38.2.0 (JetPack 7.0): TensorRT 10.13.3.9, the system's Python is 3.12"),
        (
            "jetson-orin-nx-16gb",
            "5.1.1",
            "improve",
            "L4T 35.3.1 (JetPack 5.1 - 5.1.7): TensorRT 8.5.2.2, the system's Python is 3.8",
        ),
        (
            "jetson-nano-4gb",
            "4.6.1",
            "improve",
            "L4T 32.7.1 (JetPack 4.6.1 - 4.6.6): TensorRT 8.2.1, the system's Python is 3.6",
        ),
        ("jetson-tx2", "4.6.1", "unknown", "L4T 32.7.1, of which no JetPack is known"),
    ],
)
def test_a_release_with_too_old_a_python_is_reported(
    fake_jetson: ModuleType, tmp_path: Path, board: str, jetpack: str, state: str, found: str
) -> None:
    advice = by_topic(fake_jetson.build(tmp_path, board, jetpack))["JetPack"]
    assert (advice.state, advice.found) == (state, found)
    assert ("trtexec.txt" in str(advice.hint)) == (state == "improve")


def test_a_release_that_the_profile_does_not_list_is_unknown(
    fake_jetson: ModuleType, machines: ModuleType, tmp_path: Path
) -> None:
    root = fake_jetson.build(tmp_path)
    machines.write(root, "etc/nv_tegra_release", "# R39 (release), REVISION: 2.1, GCID: 1\n")
    assert by_topic(root)["JetPack"].state == "unknown"
    (root / "etc/nv_tegra_release").unlink()
    assert "mount /etc/nv_tegra_release" in str(by_topic(root)["JetPack"].hint)


def test_clocks_that_move_are_reported_and_which(fake_jetson: ModuleType, tmp_path: Path) -> None:
    advice = by_topic(fake_jetson.build(tmp_path / "free"))["jetson_clocks"]
    assert (advice.state, advice.found) == ("improve", "clocks of the cores and GPU move with the load")
    assert str(advice.hint).startswith("sudo jetson_clocks")
    root = fake_jetson.build(tmp_path / "half", pinned=True)
    (root / "sys/class/devfreq/17000000.gpu/min_freq").write_text("306000000\n")
    assert by_topic(root)["jetson_clocks"].found == "clocks of the GPU move with the load"
    for core in range(6):
        (root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_min_freq").unlink()
    (root / "sys/class/devfreq/17000000.gpu/min_freq").unlink()
    assert by_topic(root)["jetson_clocks"].state == "unknown"


@pytest.mark.parametrize(
    ("governor", "pstate", "state", "found"),
    [
        ("performance", None, "good", "performance"),
        ("powersave", None, "improve", "powersave: clocks stay low under load"),
        ("powersave", "active", "improve", "powersave: clocks follow the load"),
        ("schedutil", None, "improve", "schedutil: clocks follow the load"),
    ],
)
def test_a_governor_that_slows_is_reported_with_the_command(
    machines: ModuleType, tmp_path: Path, governor: str, pstate: str | None, state: str, found: str
) -> None:
    root = machines.x86(tmp_path)
    machines.set_governors(root, governor, governor)
    if pstate is not None:
        machines.write(root, "sys/devices/system/cpu/intel_pstate/status", f"{pstate}\n")
    advice = by_topic(root)["clock governor"]
    assert (advice.state, advice.found) == (state, found)
    assert advice.hint == (None if state == "good" else "sudo cpupower frequency-set -g performance")


def test_turbo_that_is_turned_off_is_reported(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.x86(tmp_path)
    machines.set_governors(root, "performance")
    machines.write(root, "sys/devices/system/cpu/intel_pstate/no_turbo", "1\n")
    advice = by_topic(root)["clock governor"]
    assert advice.state == "improve"
    assert "intel_pstate/no_turbo" in str(advice.hint)


def test_a_machine_that_shows_little_is_not_called_good(machines: ModuleType, tmp_path: Path) -> None:
    found = by_topic(machines.x86(tmp_path))
    assert "power mode" not in found
    assert "jetson_clocks" not in found
    unknown = {topic for topic, advice in found.items() if advice.state == "unknown"}
    assert unknown == {"clock governor", "throttling", "swap", "memory"}


def test_what_slows_the_machine_down_now_is_reported_and_not_all_of_it(fake_jetson: ModuleType, tmp_path: Path) -> None:
    advice = by_topic(fake_jetson.build(tmp_path, throttling=True))["throttling"]
    assert advice.state == "improve"
    assert advice.found.endswith("; and 3 more")
    assert "do not measure now" in str(advice.hint)


def test_what_slowed_it_down_before_is_reported_too(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.x86(tmp_path)
    machines.write(root, "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "3\n")
    advice = by_topic(root)["throttling"]
    assert (advice.state, advice.found) == ("improve", "the processor was throttled 3 times")


def test_zram_in_use_is_reported_with_the_service_on_a_jetson(fake_jetson: ModuleType, tmp_path: Path) -> None:
    advice = by_topic(fake_jetson.build(tmp_path, zram=True))["swap"]
    assert advice.state == "improve"
    assert advice.found == "94 of 3810 MiB used on /dev/zram0, /dev/zram1, /dev/zram2 and more"
    assert "sudo systemctl disable --now nvzramconfig" in str(advice.hint)


@pytest.mark.parametrize(("used", "state"), [(1024, "good"), (65 * 1024, "improve")])
def test_a_swap_file_matters_once_it_is_used(machines: ModuleType, tmp_path: Path, used: int, state: str) -> None:
    root = machines.x86(tmp_path)
    machines.write(root, "proc/swaps", f"Filename Type Size Used Priority\n/swapfile file 2097152 {used} -2\n")
    advice = by_topic(root)["swap"]
    assert advice.state == state
    assert "nvzramconfig" not in str(advice.hint)


@pytest.mark.parametrize(("available", "state"), [(511, "improve"), (512, "good")])
def test_little_memory_is_reported(machines: ModuleType, tmp_path: Path, available: int, state: str) -> None:
    root = machines.x86(tmp_path)
    machines.set_memory(root, available)
    assert by_topic(root)["memory"].state == state


@pytest.mark.parametrize(("free", "state"), [(100.0, "improve"), (5000.0, "good"), (None, "unknown")])
def test_a_full_disk_is_reported(
    machines: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float | None, state: str
) -> None:
    monkeypatch.setattr(resources, "read_free_disk_mib", lambda folder: free)
    assert by_topic(machines.x86(tmp_path))["free disk"].state == state
