"""Detection of the device that this machine is, from the files that Linux shows below a ``root``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weckd_edge.devices.machine.identity import MachineIdentity, field_of, read_identity
from weckd_edge.devices.machine.matching import match_profile, match_reason, module_of
from weckd_edge.devices.machine.sysfs import read_text
from weckd_edge.devices.profiles.profile import Architecture, DeviceProfile, list_profiles

# Names of extensions in /proc/cpuinfo, and in profiles.
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
class DetectedMachine:
    """Facts about this machine, and the profile that fits it.

    Attributes:
        profile: Id of the profile that fits best.
        recognised: Whether the board or processor itself was recognised, rather than its architecture alone.
        host: Board or processor in words.
        architecture: Architecture of the processor; None where it is neither x86-64 nor 64-bit Arm.
        module: NVIDIA part number of the module, on a Jetson.
        l4t: Release of NVIDIA's Linux, such as ``36.4.3``, on a Jetson.
        cores: Number of processor cores that Linux shows.
        instruction_sets: Extensions that matter for inference.
        overflow_fix_needed: Whether 8-bit sums can saturate on this processor; None where the flags are not shown.
        governors: Clock governors in use; empty where they cannot be read.
        reasons: Reasons for the profile, in words.
        identity: Identity that the machine shows; None in a record that was made elsewhere.
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
    identity: MachineIdentity | None = None


def detect(
    root: Path = Path("/"), profiles: tuple[DeviceProfile, ...] | None = None, machine: str | None = None
) -> DetectedMachine:
    """Find the profile that fits this machine.

    Args:
        root: Folder that holds ``proc``, ``sys`` and ``etc``.
        profiles: Profiles to choose from; None takes those that come with the package.
        machine: Architecture that the kernel tells programs, such as ``aarch64``; None asks the kernel where ``root`` is
            ``/``, and goes by the files elsewhere.
    """
    identity = read_identity(root, machine)
    extensions = read_extensions(root, identity.architecture)
    found, reasons = match_profile(list_profiles() if profiles is None else profiles, identity)
    return DetectedMachine(
        profile=found.id if found else "unknown",
        recognised=found is not None and not found.is_generic,
        host=identity.host,
        architecture=identity.architecture,
        module=module_of(identity, found),
        l4t=identity.l4t,
        cores=identity.cores,
        instruction_sets=extensions,
        overflow_fix_needed=sums_saturate(identity.architecture, extensions),
        governors=read_governors(root),
        reasons=reasons,
        identity=identity,
    )


def is_same_device(profile: DeviceProfile, detected: DetectedMachine) -> bool:
    """Tell whether a figure measured on the detected machine counts for a profile.

    For a generic profile an equal architecture is enough. A board must have been recognised as itself, or show the identity
    that a profile of the user's own asks for. An emulated machine is no device at all.
    """
    if detected.identity is not None and detected.identity.emulated_on is not None:
        return False
    if profile.is_generic:
        return detected.architecture == profile.architecture
    if detected.module is not None and profile.part_numbers and detected.module not in profile.part_numbers:
        return False
    if detected.identity is not None:
        return match_reason(profile, detected.identity) is not None
    return detected.recognised and detected.profile == profile.id


def needs_half_range(profile: DeviceProfile, detected: DetectedMachine) -> bool:
    """Tell whether int8 weights must stay within 7 bits, as 8-bit sums can saturate on the device or on the build machine.

    x86 processors without VNNI add two products of 8 bits in 16 (``vpmaddubsw``), which holds 255 * 127 once and not twice;
    with half the weights' range both fit. NNCF calls the same ``overflow_fix``. The profile says so, by itself or by its
    instruction sets. The processor that builds also decides, as it gives the predictions a bundle is tested by.

    Args:
        profile: Profile of the device. A Jetson computes the graph as it is written, so that its weights keep their range.
        detected: The machine that builds.
    """
    if profile.target == "jetson":
        return False
    words = profile.overflow_fix_needed
    if words is None:
        words = sums_saturate(profile.architecture, profile.instruction_sets)
    return bool(words or detected.overflow_fix_needed)


def read_l4t(root: Path) -> str | None:
    """Return the release of NVIDIA's Linux, such as ``36.4.3``; None on anything that is no Jetson."""
    return read_identity(root).l4t


def read_governors(root: Path) -> tuple[str, ...]:
    """Return the clock governors in use, sorted; empty where none is shown, as in most virtual machines."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return tuple(sorted({text for file in files if (text := read_text(file))}))


def read_extensions(root: Path, architecture: Architecture | None) -> tuple[str, ...]:
    """Return the extensions of an architecture; empty where the files show the processor of another, which emulates it."""
    cpuinfo = read_text(root / "proc/cpuinfo")
    flags = set(field_of(cpuinfo, "Features" if architecture == "aarch64" else "flags").split())
    return tuple(name for flag, name in _EXTENSIONS.items() if flag in flags)


def sums_saturate(architecture: Architecture | None, extensions: tuple[str, ...]) -> bool | None:
    """Tell whether sums of 8-bit products can saturate on a processor; None where its extensions are not known."""
    if architecture == "aarch64":
        return False
    return None if not extensions else not _VNNI & set(extensions)
