"""Which device this machine is, from the files Linux shows; every path lies below a ``root`` that tests replace."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.devices.profile import Architecture, DeviceProfile, list_profiles

_PART = re.compile(r"p\d{4}-\d{4}")
_L4T = re.compile(r"# R(\d+) \(release\), REVISION: ([\d.]+)")
# Names of /proc/cpuinfo, and how profiles call the same extension.
_EXTENSIONS = {
    "sse4_2": "sse4_2",
    "avx2": "avx2",
    "fma": "fma",
    "avx_vnni": "avx_vnni",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "amx_int8": "amx_int8",
    "asimd": "neon",
    "asimdhp": "fp16",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve2": "sve2",
}
_VNNI = frozenset({"avx_vnni", "avx512_vnni", "amx_int8"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Detected:
    """What was found out about this machine.

    Attributes:
        profile: Id of the profile that fits best.
        recognised: Whether the board or processor itself was recognised, rather than its architecture alone.
        host: Board or processor in words.
        architecture: Of the processor; None where it is neither x86-64 nor 64-bit Arm.
        module: NVIDIA module part number, on a Jetson.
        l4t: Release of NVIDIA's Linux, such as ``36.4.3``, on a Jetson.
        cores: Processor cores that Linux shows.
        instruction_sets: Extensions that matter for inference.
        overflow_fix_needed: Whether 8-bit sums can saturate on this processor; None where the flags are not shown.
        governors: Clock governors in use; empty where they cannot be read.
        reasons: Why this profile, in words.
    """

    profile: str
    recognised: bool
    host: str
    architecture: Architecture | None
    module: str | None
    l4t: str | None
    cores: int
    instruction_sets: tuple[str, ...]
    overflow_fix_needed: bool | None
    governors: tuple[str, ...]
    reasons: tuple[str, ...]


def detect(root: Path = Path("/"), profiles: tuple[DeviceProfile, ...] | None = None) -> Detected:
    """Find the profile that fits this machine.

    Args:
        root: Where ``proc``, ``sys`` and ``etc`` lie.
        profiles: Those to choose from; None takes the ones that come with the package.
    """
    cpuinfo = _read(root / "proc/cpuinfo")
    extensions = _extensions(cpuinfo)
    architecture = _architecture(root, cpuinfo)
    model = _read(root / "proc/device-tree/model")
    compatible = tuple(_read(root / "proc/device-tree/compatible", separator="\n").split("\n"))
    cpu = _field(cpuinfo, "model name")
    parts = _parts(compatible)
    known = list_profiles() if profiles is None else profiles
    found, reasons = _match(known, architecture, compatible, cpu, parts)
    host = model or cpu or f"a machine of architecture {architecture or platform.machine()}"
    return Detected(
        profile=found.id if found else "unknown",
        recognised=found is not None and not found.is_generic,
        host=host,
        architecture=architecture,
        module=_module(parts, found) if _is_tegra(compatible) else None,
        l4t=read_l4t(root),
        cores=len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE)),
        instruction_sets=extensions,
        overflow_fix_needed=_overflow(architecture, extensions),
        governors=read_governors(root),
        reasons=reasons,
    )


def is_same_device(profile: DeviceProfile, detected: Detected) -> bool:
    """Tell whether a figure measured on the detected machine counts for a profile.

    For a generic profile an equal architecture is enough; a board must have been recognised as itself.
    """
    if profile.is_generic:
        return detected.architecture == profile.architecture
    if detected.module is not None and profile.part_numbers:
        return detected.module in profile.part_numbers
    return detected.recognised and detected.profile == profile.id


def needs_half_range(profile: DeviceProfile, detected: Detected) -> bool:
    """Tell whether int8 weights for a device must keep within 7 bits, as its 8-bit sums of products can saturate.

    x86 processors without VNNI add two products of 8 bits in 16 (``vpmaddubsw``), which holds 255 * 127 once and not twice;
    with half the weights' range both fit. NNCF calls the same ``overflow_fix``. The profile says so, by itself or by its
    instruction sets; a generic one says nothing, and then the processor that builds decides, if it is of that kind.
    """
    if profile.target == "jetson" or profile.architecture == "aarch64":
        return False
    if profile.overflow_fix_needed is not None:
        return profile.overflow_fix_needed
    said = _overflow(profile.architecture, profile.instruction_sets)
    if said is None and is_same_device(profile, detected):
        said = detected.overflow_fix_needed
    return bool(said)


def read_l4t(root: Path) -> str | None:
    """Return the release of NVIDIA's Linux, such as ``36.4.3``; None on anything that is no Jetson."""
    found = _L4T.search(_read(root / "etc/nv_tegra_release"))
    return f"{found[1]}.{found[2]}" if found else None


def read_governors(root: Path) -> tuple[str, ...]:
    """Return the clock governors in use, sorted; empty where none is shown, as in most virtual machines."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return tuple(sorted({text for file in files if (text := _read(file))}))


def _match(
    profiles: tuple[DeviceProfile, ...],
    architecture: Architecture | None,
    compatible: tuple[str, ...],
    cpu: str,
    parts: tuple[str, ...],
) -> tuple[DeviceProfile | None, tuple[str, ...]]:
    words = re.split(r"[^A-Za-z0-9.-]+", cpu)
    for profile in profiles:
        for part in profile.part_numbers:
            if part in parts:
                return profile, (f"the device tree names the module {part}",)
        for name in profile.compatible:
            if name in compatible:
                return profile, (f"the device tree names the board {name}",)
        for name in profile.cpu_models:
            if name in words:
                return profile, (f"the processor calls itself '{cpu}'",)
    reasons = []
    if _is_tegra(compatible):
        reasons.append(
            f"this Jetson's module {parts[-1] if parts else '(not named)'} has no profile; "
            'write one with extends = "jetson-orin-nano-8gb"'
        )
    for profile in profiles:
        if profile.is_generic and profile.architecture == architecture:
            reasons.append(f"no profile names this board or processor; its architecture is {architecture}")
            return profile, tuple(reasons)
    return None, (*reasons, "no profile fits; the architecture is neither x86-64 nor 64-bit Arm")


def _is_tegra(compatible: tuple[str, ...]) -> bool:
    return any(name.startswith("nvidia,tegra") for name in compatible)


def _parts(compatible: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for name in compatible if name.startswith("nvidia,") for part in _PART.findall(name)))


def _module(parts: tuple[str, ...], profile: DeviceProfile | None) -> str | None:
    """Return the module among carrier and module: the one a profile names, else the last (``carrier+module``)."""
    named = [part for part in parts if profile is not None and part in profile.part_numbers]
    candidates = named or list(parts)
    return candidates[-1] if candidates else None


def _architecture(root: Path, cpuinfo: str) -> Architecture | None:
    if re.search(r"^flags\s*:.*\blm\b", cpuinfo, re.MULTILINE):
        return "x86_64"
    if re.search(r"^Features\s*:.*\basimd\b", cpuinfo, re.MULTILINE):
        return "aarch64"
    machine = platform.machine() if root == Path("/") else ""
    if machine in ("x86_64", "AMD64"):
        return "x86_64"
    return "aarch64" if machine in ("aarch64", "arm64") else None


def _extensions(cpuinfo: str) -> tuple[str, ...]:
    flags = set(_field(cpuinfo, "flags").split()) | set(_field(cpuinfo, "Features").split())
    return tuple(name for flag, name in _EXTENSIONS.items() if flag in flags)


def _overflow(architecture: Architecture | None, extensions: tuple[str, ...]) -> bool | None:
    if architecture == "aarch64":
        return False
    return None if not extensions else not _VNNI & set(extensions)


def _field(cpuinfo: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)}\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else ""


def _read(path: Path, separator: str = "") -> str:
    """Return a file's text, device-tree zeros replaced; empty where it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8", "replace").replace("\0", separator).strip()
    except OSError:
        return ""
