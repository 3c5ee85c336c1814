"""The processor that a choice among models was made on, and everything else that such a choice depends on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weckd_edge.core.store import digest_of
from weckd_edge.devices.machine.detect import read_extensions
from weckd_edge.devices.machine.identity import read_identity


@dataclass(frozen=True, kw_only=True, slots=True)
class Processor:
    """Processor of a machine, as Linux shows it.

    Attributes:
        name: Board or processor in words.
        architecture: Architecture that programs run as, such as ``aarch64``; empty where it is not known.
        cores: Number of cores that Linux shows.
        instruction_sets: Extensions that matter for inference.
    """

    name: str
    architecture: str
    cores: int
    instruction_sets: tuple[str, ...]

    def __str__(self) -> str:
        sets = f", {', '.join(self.instruction_sets)}" if self.instruction_sets else ""
        return f"{self.name} ({self.cores} cores{sets})"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessorIdentity:
    """Everything that the choice among a bundle's models depends on; equal identities share one choice.

    Attributes:
        manifest_sha256: Digest that the bundle's manifest names of itself.
        processor: The processor.
        memory_gib: Memory of the machine, whole GiB; 0 where it is not shown.
        system: Release of the kernel; empty where it is not shown.
        power_state: Power mode, clock governors and turbo in words; empty where none is shown.
        libraries: Version of this package and of each library that runs a model of the bundle, by name.
        threads: Number of processor threads that one query may use.
    """

    manifest_sha256: str
    processor: Processor
    memory_gib: int
    system: str
    power_state: str
    libraries: dict[str, str]
    threads: int

    def key(self) -> str:
        """Return the digest that a choice is kept under."""
        return digest_of(self)

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return what people want to know of it, each with its name."""
        return (
            ("processor", str(self.processor)),
            ("power state", self.power_state or "not shown"),
            ("libraries", ", ".join(f"{name} {version}" for name, version in self.libraries.items())),
            ("threads", str(self.threads)),
        )


def read_processor(root: Path = Path("/")) -> Processor:
    """Read which processor a machine has.

    Args:
        root: Folder that holds ``proc``, ``sys`` and ``etc``.
    """
    identity = read_identity(root)
    return Processor(
        name=identity.host,
        architecture=identity.architecture or "",
        cores=identity.cores,
        instruction_sets=read_extensions(root, identity.architecture),
    )
