"""Facts of a Jetson that an engine depends on: module, L4T, power mode and TensorRT's full version."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.core.errors import DeviceError
from weckd_edge.core.store import digest_of
from weckd_edge.devices.machine.detect import detect
from weckd_edge.devices.machine.sysfs import read_text

_STATUS = "var/lib/nvpmodel/status"
_MODES = "etc/nvpmodel.conf"
_TIMES_THE_GRAPH = 3
"""Memory, and disk space, that a build needs, as a multiple of the graph's size."""

_SPARE_MIB = 32
"""Further disk space that a build needs for kernels and timings, MiB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineIdentity:
    """Everything an engine depends on; equal identities may share an engine.

    Attributes:
        onnx_sha256: Digest of the quantized graph.
        graph_sha256: Digest of the form of the graph that this TensorRT reads.
        tensorrt_version: Full version of TensorRT, with the build number where the package manager has it.
        module: Part number of the module.
        compute_capability: Compute capability of the GPU, such as ``8.7``.
        l4t: Release of NVIDIA's Linux.
        power_mode: Name of the power mode; the builder times kernels at that mode's clocks.
        flags: Names of build flags, the DLA where the engine is for one, then the workspace limit.
    """

    onnx_sha256: str
    graph_sha256: str
    tensorrt_version: str
    module: str
    compute_capability: str
    l4t: str
    power_mode: str
    flags: tuple[str, ...]

    def key(self) -> str:
        """Return the digest that an engine is kept under."""
        return digest_of(self)

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return what people want to know of it, each with its name."""
        return (
            ("processor", "DLA" if any(flag.startswith("DLA") for flag in self.flags) else "GPU"),
            ("module", self.module),
            ("TensorRT", self.tensorrt_version),
            ("L4T", self.l4t),
            ("power mode", self.power_mode),
        )


def read_module(root: Path) -> tuple[str, str]:
    """Return the part number of a Jetson's module and its release of L4T.

    Raises:
        DeviceError: The machine is no Jetson, or names no module.
    """
    found = detect(root)
    if found.l4t is None:
        raise DeviceError(
            f"this is no Jetson ({found.host}; no /etc/nv_tegra_release); an engine is built by the device it runs on: "
            "copy the bundle there and run weckd-edge finalize on it",
            code="E_DEVICE_NOT_JETSON",
        )
    if found.module is None:
        raise DeviceError(
            "this Jetson's device tree names no module part number (expected pNNNN-NNNN in "
            "/proc/device-tree/compatible); flash NVIDIA's own device tree",
            code="E_DEVICE_MODULE",
        )
    return found.module, found.l4t


def read_power_mode(root: Path) -> str:
    """Return the name of the power mode in use.

    The number in nvpmodel's status is looked up in its configuration, as numbers differ between boards and releases.

    Raises:
        DeviceError: nvpmodel has left no status, or its configuration does not name that mode.
    """
    try:
        status = (root / _STATUS).read_text(encoding="utf-8", errors="replace")
        modes = (root / _MODES).read_text(encoding="utf-8", errors="replace")
    except OSError as err:
        raise DeviceError(
            f"the power mode is unknown ({err.filename}: {err.strerror}); set one with: sudo nvpmodel -m ID "
            "(in a container, mount /etc/nvpmodel.conf and /var/lib/nvpmodel)",
            code="E_DEVICE_POWER_MODE",
        ) from err
    number = re.search(r"pmode:\s*(\d+)", status)
    if number is None:
        raise DeviceError(
            f"/{_STATUS}: expected pmode:NNNN, got '{status.strip()[:40]}'; set a mode with: sudo nvpmodel -m ID",
            code="E_DEVICE_POWER_MODE",
        )
    for name, known in _modes_in(modes).items():
        if known == int(number[1]):
            return name
    raise DeviceError(
        f"/{_MODES} names no power mode {int(number[1])}; set a known one with: sudo nvpmodel -m ID",
        code="E_DEVICE_POWER_MODE",
    )


def read_power_modes(root: Path) -> dict[str, int]:
    """Return the numbers of a board's power modes by nvpmodel's names; empty where there is no nvpmodel."""
    return _modes_in(read_text(root / _MODES))


def _modes_in(text: str) -> dict[str, int]:
    modes: dict[str, int] = {}
    for entry in re.findall(r"^[ \t]*<\s*POWER_MODEL\s+([^>]*)>", text, re.MULTILINE):
        values = dict(re.findall(r"(\w+)\s*=\s*(\S+)", entry))
        if values.get("ID", "").isdigit() and "NAME" in values:
            modes.setdefault(str(values["NAME"]), int(values["ID"]))
    return modes


def check_resources(folder: Path, graph_bytes: int, workspace_mib: int, root: Path) -> None:
    """Refuse to build with too little memory or disk, as a build that runs out of memory is killed without a word.

    Args:
        folder: Folder of the bundle.
        graph_bytes: Size of the graph, bytes; the engine and the builder's memory beside its workspace grow with it.
        workspace_mib: Largest workspace of the builder, MiB.
        root: Folder that holds ``proc``; a machine that does not show its free memory is not refused.

    Raises:
        DeviceError: There is too little; the message says how much there is and how much is needed.
    """
    needed = _TIMES_THE_GRAPH * graph_bytes + _SPARE_MIB * 2**20
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DeviceError(
            f"{folder}: {free / 2**20:.0f} MiB are free on its disk, building an engine needs {needed / 2**20:.0f} MiB; "
            "delete what is not needed",
            code="E_DEVICE_DISK",
        )
    found = re.search(r"^MemAvailable:\s+(\d+) kB", read_text(root / "proc/meminfo"), re.MULTILINE)
    available = int(found[1]) * 1024 if found else None
    needed = _TIMES_THE_GRAPH * graph_bytes + workspace_mib * 2**20
    if available is not None and available < needed:
        raise DeviceError(
            f"{available / 2**20:.0f} MiB of memory are available, building an engine may take {needed / 2**20:.0f} MiB; "
            "close other programs (sudo systemctl isolate multi-user.target stops the desktop)",
            code="E_DEVICE_MEMORY",
        )
