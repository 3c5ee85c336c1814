"""What built a bundle: the machine, and every installed distribution with its licence."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """One installed Python distribution.

    Attributes:
        name: As it calls itself.
        version: Of it.
        licence: What its own metadata say: an SPDX expression, or words; ``unknown`` where they say nothing.
    """

    name: str
    version: str
    licence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BackboneLicence:
    """The pretrained weights a link started from.

    Attributes:
        link: Such as ``M1``.
        model: Of the link.
        weights: Name of their file, or ``pretrained`` where the model library's own were asked for.
        sha256: Digest of that file; None where the model library fetched it, or where it is no longer there.
        licence: As the builder stated it; None: not stated.
    """

    link: str
    model: str
    weights: str
    sha256: str | None
    licence: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """What the last stage of a build ran on; it holds no paths, no names of users or machines and no variables.

    Attributes:
        python: Version, with the implementation.
        system: The operating system as it calls itself.
        kernel: Its kernel's name, release and architecture.
        processor: In words.
        distributions: This package and what it can use of what is installed, with what those require, by name.
        backbones: Pretrained weights that links started from, in the order of the chain.
        schema_version: Of this record.
    """

    python: str
    system: str
    kernel: str
    processor: str
    distributions: tuple[Distribution, ...]
    backbones: tuple[BackboneLicence, ...]
    schema_version: int = SCHEMA_VERSION
