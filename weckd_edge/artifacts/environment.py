"""The machine that built a bundle, and the installed distributions with their licences."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """One installed Python distribution.

    Attributes:
        name: Name from its metadata.
        version: Version from its metadata.
        licence: Licence from its metadata: an SPDX expression or words; ``unknown`` where there is none.
    """

    name: str
    version: str
    licence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BackboneLicence:
    """The pretrained weights that a link started from, or that a teacher from outside the chain had, and their licence.

    Attributes:
        link: Name of the link, such as ``M1``, or of the teacher: ``teacher 1``, ``teacher 2``, ...
        model: timm name of the network; of a teacher without one, ``as its file says``.
        weights: File name of the weights; ``pretrained`` where timm's own weights were used.
        sha256: SHA-256 of that file, hexadecimal; None where timm fetched it, or where it is no longer there.
        licence: Licence as the builder stated it; None: not stated.
    """

    link: str
    model: str
    weights: str
    sha256: str | None
    licence: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """The file ``evidence/environment.json``: the machine and the software of a build's last step.

    It holds no paths, no names of users or machines and no environment variables.

    Attributes:
        python: Python version, with the implementation.
        system: Name of the operating system.
        kernel: Name, release and architecture of the kernel.
        processor: Name of the processor.
        distributions: weckd-edge and the installed distributions that it uses, with their own requirements, sorted by name.
        backbones: Pretrained weights that links started from, in the order of the chain.
        schema_version: Schema version of this record.
    """

    python: str
    system: str
    kernel: str
    processor: str
    distributions: tuple[Distribution, ...]
    backbones: tuple[BackboneLicence, ...]
    schema_version: int = SCHEMA_VERSION
