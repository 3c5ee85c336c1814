"""Identity that a machine shows: its device tree, processor, module, release and firmware, below a ``root``.

Programs may run on an emulated processor (``qemu-user`` or a container of another architecture): the kernel then tells them
the architecture they were built for, and most files still show the processor that does the work. Both are kept apart.
"""

from __future__ import annotations

import platform
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.devices.machine.sysfs import read_text
from weckd_edge.devices.profiles.profile import Architecture

_PART = re.compile(r"p\d{4}-\d{4}")
_L4T = re.compile(r"# R(\d+) \(release\), REVISION: ([\d.]+)")
_TREES = ("proc/device-tree", "sys/firmware/devicetree/base")
_DMI = "sys/class/dmi/id"
_MODALIAS = "sys/devices/system/cpu/modalias"
_MODALIAS_KINDS: dict[str, Architecture] = {"x86": "x86_64", "aarch64": "aarch64"}
_MACHINES: dict[str, Architecture] = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
_FILLED_IN_BY_NOBODY = re.compile(
    r"to be filled|default string|system (product|manufacturer)|not specified|^\W*$|^(none|n/a|oem)$", re.I
)
_CORES = {
    "0x41:0xd03": "Cortex-A53",
    "0x41:0xd04": "Cortex-A35",
    "0x41:0xd05": "Cortex-A55",
    "0x41:0xd07": "Cortex-A57",
    "0x41:0xd08": "Cortex-A72",
    "0x41:0xd09": "Cortex-A73",
    "0x41:0xd0a": "Cortex-A75",
    "0x41:0xd0b": "Cortex-A76",
    "0x41:0xd0c": "Neoverse-N1",
    "0x41:0xd0d": "Cortex-A77",
    "0x41:0xd0e": "Cortex-A76AE",
    "0x41:0xd40": "Neoverse-V1",
    "0x41:0xd41": "Cortex-A78",
    "0x41:0xd42": "Cortex-A78AE",
    "0x41:0xd44": "Cortex-X1",
    "0x41:0xd46": "Cortex-A510",
    "0x41:0xd47": "Cortex-A710",
    "0x41:0xd48": "Cortex-X2",
    "0x41:0xd49": "Neoverse-N2",
    "0x41:0xd4b": "Cortex-A78C",
    "0x41:0xd4d": "Cortex-A715",
    "0x41:0xd4f": "Neoverse-V2",
    "0x41:0xd80": "Cortex-A520",
    "0x41:0xd81": "Cortex-A720",
    "0x41:0xd83": "Neoverse-V3AE",
    "0x41:0xd84": "Neoverse-V3",
    "0x4e:0x003": "Denver 2",
    "0x4e:0x004": "Carmel",
}
"""Arm cores by ``implementer:part``, from Linux, arch/arm64/include/asm/cputype.h."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineIdentity:
    """Identity that a machine shows; a field is empty where the machine shows nothing.

    Attributes:
        architecture: Architecture that programs run as; None where it is neither x86-64 nor 64-bit Arm.
        model: Name of the board in the device tree.
        compatible: Names of board and chip in the device tree, the most exact first.
        modules: NVIDIA part numbers among those names, carriers too.
        cpu_model: ``model name`` of the processor.
        cpu_parts: Kinds of Arm core as ``implementer:part``, in the order they are shown.
        cores_in_words: Kinds of Arm core with their number, such as ``4 Cortex-A76``.
        cores: Number of cores that Linux shows.
        vendor: Maker of the machine, from its firmware.
        product: Product name of the machine, from its firmware.
        l4t: Release of NVIDIA's Linux, such as ``36.4.3``.
        remarks: Files that are there and could not be read, in words.
        emulated_on: Architecture of the processor that emulates the other; None where nothing shows an emulator.
    """

    architecture: Architecture | None
    model: str
    compatible: tuple[str, ...]
    modules: tuple[str, ...]
    cpu_model: str
    cpu_parts: tuple[str, ...]
    cores_in_words: str
    cores: int
    vendor: str
    product: str
    l4t: str | None
    remarks: tuple[str, ...]
    emulated_on: Architecture | None = None

    @property
    def is_tegra(self) -> bool:
        """Whether the chip is one of NVIDIA's."""
        return any(name.startswith("nvidia,tegra") for name in self.compatible)

    @property
    def socs(self) -> tuple[str, ...]:
        """Names of the chip in the device tree, without their vendor."""
        return tuple(name.partition(",")[2] for name in self.compatible if "," in name)

    @property
    def host(self) -> str:
        """Name of the machine for people: its board, else its processor, else its firmware's name."""
        machine = " ".join(word for word in (self.vendor, self.product) if word)
        named = self.model or self.cpu_model or machine or self.cores_in_words
        named = named or f"a machine of architecture {self.architecture or platform.machine()}"
        return f"{named} ({self.architecture} emulated on {self.emulated_on})" if self.emulated_on else named

    @property
    def emulation(self) -> str | None:
        """Emulated and real architecture, such as ``aarch64 on x86_64``; None where nothing shows an emulator."""
        return f"{self.architecture} on {self.emulated_on}" if self.emulated_on else None


def read_identity(root: Path = Path("/"), machine: str | None = None) -> MachineIdentity:
    """Read the identity that a machine shows; a file that is missing or unreadable leaves its field empty.

    Args:
        root: Folder that holds ``proc``, ``sys`` and ``etc``.
        machine: Architecture that the kernel tells programs, such as ``aarch64``; None asks the kernel where ``root`` is
            ``/``, and goes by the files elsewhere.
    """
    remarks: list[str] = []
    cpuinfo = _read(root / "proc/cpuinfo", remarks, root)
    model = _first(root, "model", "", remarks)
    tree = _first(root, "compatible", "\n", remarks)
    compatible = tuple(name for name in tree.split("\n") if name)
    release = _read(root / "etc/nv_tegra_release", remarks, root)
    found = _L4T.search(release)
    if release and not found:
        remarks.append(
            "/etc/nv_tegra_release does not name the release (expected '# R36 (release), REVISION: 4.3', "
            f"got '{release[:40]}')"
        )
    cores = _core_kinds(cpuinfo)
    if machine is None and root == Path("/"):
        machine = platform.machine()
    reported = _MACHINES.get(machine or "")
    return MachineIdentity(
        architecture=reported or _architecture_in(cpuinfo),
        model=model,
        compatible=compatible,
        modules=tuple(
            dict.fromkeys(part for name in compatible if name.startswith("nvidia,") for part in _PART.findall(name))
        ),
        cpu_model=field_of(cpuinfo, "model name"),
        cpu_parts=tuple(cores),
        cores_in_words=" and ".join(f"{count} {_CORES.get(part, part)}" for part, count in cores.items()),
        cores=len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE)),
        vendor=_dmi(root, "sys_vendor"),
        product=_dmi(root, "product_name"),
        l4t=f"{found[1]}.{found[2]}" if found else None,
        remarks=tuple(dict.fromkeys(remarks)),
        emulated_on=_emulated_on(reported, cpuinfo, read_text(root / _MODALIAS)),
    )


def name_core(part: str) -> str:
    """Return the name of a kind of core, such as ``Cortex-A76``; its number where no name is known."""
    return _CORES.get(part, part)


def field_of(cpuinfo: str, name: str) -> str:
    """Return the first value of a field of ``/proc/cpuinfo``; empty where there is none."""
    found = re.search(rf"^{re.escape(name)}[ \t]*:[ \t]*(.*)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else ""


def _first(root: Path, name: str, separator: str, remarks: list[str]) -> str:
    """Return an entry of the device tree from the first folder that has it."""
    return next((text for tree in _TREES if (text := _read(root / tree / name, remarks, root, separator))), "")


def _core_kinds(cpuinfo: str) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for block in re.split(r"\n\s*\n", cpuinfo):
        implementer, part = field_of(block, "CPU implementer"), field_of(block, "CPU part")
        if implementer and part:
            kinds[f"{implementer.lower()}:{part.lower()}"] += 1
    return kinds


def _dmi(root: Path, name: str) -> str:
    text = read_text(root / _DMI / name)
    return "" if _FILLED_IN_BY_NOBODY.search(text) else text


def _architecture_in(cpuinfo: str) -> Architecture | None:
    if re.search(r"^flags\s*:.*\blm\b", cpuinfo, re.MULTILINE):
        return "x86_64"
    return "aarch64" if re.search(r"^Features\s*:.*\basimd\b", cpuinfo, re.MULTILINE) else None


def _emulated_on(reported: Architecture | None, cpuinfo: str, modalias: str) -> Architecture | None:
    """Return the architecture of the processor, where programs are told another one.

    ``modalias`` comes first, as an emulator may show a ``/proc/cpuinfo`` of what it emulates, and leaves /sys as it is.
    """
    kind = re.match(r"cpu:type:(x86|aarch64)\b", modalias)
    shown = _MODALIAS_KINDS[kind[1]] if kind else _architecture_in(cpuinfo)
    return shown if reported is not None and shown != reported else None


def _read(path: Path, remarks: list[str], root: Path, separator: str = "") -> str:
    """Return a file's text with the device tree's zeros replaced; add a remark where it is there and cannot be read."""

    def remark(err: OSError) -> None:
        remarks.append(f"/{path.relative_to(root)} cannot be read ({err.strerror})")

    return read_text(path, separator=separator, refused=remark)
