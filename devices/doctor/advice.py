"""Advice on a machine's settings, so that it runs fast and evenly, each with the command to type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.jetson.board import read_power_mode, read_power_modes
from weckd_edge.devices.machine import resources
from weckd_edge.devices.machine.clocks import read_core_clocks, read_gpu_clocks
from weckd_edge.devices.machine.detect import DetectedMachine
from weckd_edge.devices.machine.sysfs import read_text
from weckd_edge.devices.machine.throttling import read_throttled_before, read_throttling
from weckd_edge.devices.profiles.profile import DeviceProfile, PowerMode

_MIN_DISK_MIB = 1024
_MIN_MEMORY_MIB = 512
_SWAPPED_MIB = 64
"""Use of the swap under which a machine is as usual, MiB."""
_MIN_PYTHON = (3, 10)
_SHOWN = 3
_PERFORMANCE = "sudo cpupower frequency-set -g performance"


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """Advice on one setting or condition of a machine.

    Attributes:
        topic: Name of the setting or condition, such as ``power mode``.
        state: ``good``: leave it; ``improve``: follow the hint; ``unknown``: the machine does not show it.
        found: Present state, in words.
        hint: What to type or do; None where nothing is to be done.
    """

    topic: str
    state: Literal["good", "improve", "unknown"]
    found: str
    hint: str | None = None


def advise(root: Path, detected: DetectedMachine, profile: DeviceProfile | None, folder: Path) -> tuple[Advice, ...]:
    """Check a machine's settings and condition, and advise on each.

    Args:
        root: Folder that holds ``proc``, ``sys`` and ``etc``.
        detected: The detected machine.
        profile: Profile of the machine; None where it was not recognised.
        folder: Folder for bundles and engines; the free space of its disk is checked.
    """
    jetson = detected.l4t is not None or detected.module is not None
    found = []
    if jetson:
        found += [_release(detected, profile), _power_mode(root, profile), _jetson_clocks(root)]
    found += [_governor(root, detected, jetson), _throttling(root), _swap(root, jetson), _memory(root), _disk(folder)]
    return tuple(found)


def _release(detected: DetectedMachine, profile: DeviceProfile | None) -> Advice:
    topic = "JetPack"
    if detected.l4t is None:
        hint = "in a container, mount /etc/nv_tegra_release; finalize keys an engine by it"
        return Advice(topic=topic, state="unknown", found="the release of NVIDIA's Linux is not shown", hint=hint)
    rows = [row for row in (profile.tensorrt if profile else ()) if row.holds(detected.l4t)]
    if not rows:
        hint = (
            "its TensorRT is not in the device's profile; finalize asks the library itself and says whether it can be used"
        )
        return Advice(topic=topic, state="unknown", found=f"L4T {detected.l4t}, of which no JetPack is known", hint=hint)
    row = rows[0]
    brings = f"TensorRT {row.tensorrt}" + ("" if row.bundled else " may be installed")
    text = f"L4T {detected.l4t} (JetPack {row.jetpack}): {brings}, the system's Python is {row.python or 'not known'}"
    if row.python is not None and tuple(int(part) for part in row.python.split(".")) < _MIN_PYTHON:
        hint = (
            "TensorRT's binding is for that Python alone, and finalize needs 3.10: build by the lines in the bundle's "
            "trtexec.txt, or flash JetPack 6 where the module takes it"
        )
        return Advice(topic=topic, state="improve", found=text, hint=hint)
    return Advice(topic=topic, state="good", found=text)


def _power_mode(root: Path, profile: DeviceProfile | None) -> Advice:
    topic = "power mode"
    try:
        name = read_power_mode(root)
    except DeviceError as err:
        return Advice(topic=topic, state="unknown", found="it is not shown", hint=str(err))
    numbers = read_power_modes(root)
    known = {mode.name: mode for mode in (profile.power_modes if profile else ()) if mode.name in numbers}
    others = ", ".join(f"{other} (-m {number})" for other, number in numbers.items() if other != name)
    now = known.get(name)
    if now is None or now.int8_tops_dense is None:
        hint = f"this board also has {others}; what they give is not known here" if others else None
        return Advice(topic=topic, state="unknown", found=f"{name}, of which no arithmetic peak is known", hint=hint)
    text = f"{name}: {_peak(now)}"
    best = max(known.values(), key=lambda mode: mode.int8_tops_dense or 0.0)
    if (best.int8_tops_dense or 0.0) <= now.int8_tops_dense:
        return Advice(topic=topic, state="good", found=text)
    hint = (
        f"if supply and cooling allow, sudo nvpmodel -m {numbers[best.name]} ({best.name}: {_peak(best)}), then weckd-edge "
        "finalize again: an engine belongs to the mode it was built in"
    )
    return Advice(topic=topic, state="improve", found=text, hint=hint)


def _peak(mode: PowerMode) -> str:
    clock = f", GPU up to {mode.gpu_mhz:g} MHz" if mode.gpu_mhz is not None else ""
    return f"{mode.int8_tops_dense:g} int8 TOPS dense{clock}"


def _jetson_clocks(root: Path) -> Advice:
    topic = "jetson_clocks"
    clocks = read_core_clocks(root)
    gpu = read_gpu_clocks(root)
    if gpu is None and not clocks:
        hint = "in a container, mount /sys; on the board itself, look with: sudo jetson_clocks --show"
        return Advice(topic=topic, state="unknown", found="no clock is shown here", hint=hint)
    moving = [clock for clock in (*clocks, *((gpu,) if gpu else ())) if not clock.pinned]
    if not moving:
        return Advice(topic=topic, state="good", found="clocks are pinned to the power mode's highest")
    what = " and ".join(
        word
        for word, there in (("cores", any(c is not gpu for c in moving)), ("GPU", any(c is gpu for c in moving)))
        if there
    )
    hint = (
        "sudo jetson_clocks (until the next start; draws more power when idle); else the first frames after a pause are slow"
    )
    return Advice(topic=topic, state="improve", found=f"clocks of the {what} move with the load", hint=hint)


def _governor(root: Path, detected: DetectedMachine, jetson: bool) -> Advice:
    topic = "clock governor"
    names = detected.governors
    if not names:
        return Advice(topic=topic, state="unknown", found="not shown here (usual in a virtual machine or container)")
    text = ", ".join(names)
    if names == ("performance",):
        turbo = read_text(root / "sys/devices/system/cpu/intel_pstate/no_turbo")
        if turbo == "1":
            hint = "echo 0 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo (where cooling is good)"
            return Advice(topic=topic, state="improve", found=f"{text}, with turbo clocks turned off", hint=hint)
        return Advice(topic=topic, state="good", found=text)
    clocks = read_core_clocks(root)
    if jetson and clocks and all(clock.pinned for clock in clocks):
        return Advice(topic=topic, state="good", found=f"{text}; the clocks are pinned all the same")
    if "powersave" in names and read_text(root / "sys/devices/system/cpu/intel_pstate/status") != "active":
        return Advice(topic=topic, state="improve", found=f"{text}: clocks stay low under load", hint=_PERFORMANCE)
    hint = "sudo jetson_clocks" if jetson else _PERFORMANCE
    return Advice(topic=topic, state="improve", found=f"{text}: clocks follow the load", hint=hint)


def _throttling(root: Path) -> Advice:
    topic = "throttling"
    now, before = read_throttling(root), read_throttled_before(root)
    if now:
        hint = "let it cool down, give it more air or a stronger supply, or take a lower power mode; do not measure now"
        return Advice(topic=topic, state="improve", found=_some_names(now), hint=hint)
    if before:
        hint = "see to cooling and supply: it was slowed down since it was started"
        return Advice(topic=topic, state="improve", found=_some_names(before), hint=hint)
    if now is None:
        return Advice(topic=topic, state="unknown", found="no temperature limits are shown here")
    return Advice(topic=topic, state="good", found="nothing slows it down now")


def _some_names(names: tuple[str, ...]) -> str:
    more = f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return "; ".join(names[:_SHOWN]) + more


def _swap(root: Path, jetson: bool) -> Advice:
    topic = "swap"
    swap = resources.read_swap(root)
    if swap is None:
        return Advice(topic=topic, state="unknown", found="/proc/swaps cannot be read")
    if not swap.devices:
        return Advice(topic=topic, state="good", found="none")
    names = ", ".join(swap.devices[:_SHOWN]) + (" and more" if len(swap.devices) > _SHOWN else "")
    text = f"{swap.used_mib:.0f} of {swap.total_mib:.0f} MiB used on {names}"
    if swap.used_mib < _SWAPPED_MIB:
        return Advice(topic=topic, state="good", found=text)
    if swap.is_zram:
        hint = "zram takes memory and time of the cores: close other programs" + (
            "; where memory is enough: sudo systemctl disable --now nvzramconfig" if jetson else ""
        )
    else:
        hint = "what was swapped out runs late: close other programs, then sudo swapoff -a && sudo swapon -a"
    return Advice(topic=topic, state="improve", found=text, hint=hint)


def _memory(root: Path) -> Advice:
    topic = "memory"
    memory = resources.read_memory_mib(root)
    if memory is None:
        return Advice(topic=topic, state="unknown", found="/proc/meminfo does not show it")
    available, total = memory
    text = f"{available:.0f} of {total:.0f} MiB are free for programs"
    if available < _MIN_MEMORY_MIB:
        hint = "close other programs; sudo systemctl isolate multi-user.target stops the desktop"
        return Advice(topic=topic, state="improve", found=text, hint=hint)
    return Advice(topic=topic, state="good", found=text)


def _disk(folder: Path) -> Advice:
    topic = "free disk"
    free = resources.read_free_disk_mib(folder)
    if free is None:
        return Advice(topic=topic, state="unknown", found=f"the disk of {folder} cannot be asked")
    text = f"{free / 1024:.1f} GiB free"
    if free < _MIN_DISK_MIB:
        return Advice(topic=topic, state="improve", found=text, hint="make room: weights, graphs and frames go there")
    return Advice(topic=topic, state="good", found=text)
