"""Everything that a processor's choice depends on, as this machine shows it, and what makes its times doubtful."""

from __future__ import annotations

from pathlib import Path

import weckd_edge
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import MissingDependency
from weckd_edge.devices.bench.machine_log import read_power_state
from weckd_edge.devices.machine.clocks import read_core_clocks
from weckd_edge.devices.machine.detect import read_governors
from weckd_edge.devices.machine.processor import ProcessorIdentity, read_processor
from weckd_edge.devices.machine.resources import read_memory_mib
from weckd_edge.devices.machine.sysfs import read_text
from weckd_edge.devices.machine.throttling import read_throttling
from weckd_edge.devices.runtime.backends.table import BACKENDS, library_version

_STEADY = ("performance", "userspace")
"""Governors that keep the clock where it is."""


def read_processor_identity(bundle: Bundle, threads: int, root: Path = Path("/")) -> ProcessorIdentity:
    """Read everything that the choice among a bundle's models depends on.

    Args:
        bundle: The bundle.
        threads: Number of processor threads that one query may use.
        root: Folder that holds ``proc``, ``sys`` and ``etc``.
    """
    memory = read_memory_mib(root)
    return ProcessorIdentity(
        manifest_sha256=bundle.manifest.manifest_sha256,
        processor=read_processor(root),
        memory_gib=round(memory[1] / 1024) if memory is not None else 0,
        system=read_text(root / "proc/sys/kernel/osrelease"),
        power_state="; ".join(filter(None, (read_power_state(root), _clocks(root)))),
        libraries=_libraries(bundle),
        threads=threads,
    )


def doubts_about_times(root: Path = Path("/")) -> tuple[str, ...]:
    """Return what makes times of this machine doubtful, in words: clocks that move, or that something slows down."""
    governors, clocks = read_governors(root), read_core_clocks(root)
    slowed = read_throttling(root)
    found = [f"the machine is slowed down now ({', '.join(slowed)}); let it cool down and finalize again"] if slowed else []
    if not governors and not clocks:
        found.append("this machine shows no clock governor: whether its clocks were steady is not known")
    elif not (clocks and all(clock.pinned for clock in clocks)) and not set(governors) <= set(_STEADY):
        names = ", ".join(governors) or "not shown"
        found.append(
            f"the clock governor is {names}: clocks follow the load, so that times are those of this moment; set the power "
            "mode that the device will have, for steady ones: sudo cpupower frequency-set -g performance"
        )
    return tuple(found)


def _clocks(root: Path) -> str:
    spans = dict.fromkeys((clock.low_khz // 1000, clock.high_khz // 1000) for clock in read_core_clocks(root))
    return "cores at " + ", ".join(f"{low} to {high} MHz" for low, high in spans) if spans else ""


def _libraries(bundle: Bundle) -> dict[str, str]:
    found = {"weckd-edge": weckd_edge.__version__}
    for name in sorted({model.backend for model in bundle.manifest.models if model.kind == "model"} & BACKENDS.keys()):
        try:
            found[name] = library_version(name)
        except MissingDependency:
            continue
    return found
