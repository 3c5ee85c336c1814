"""Installed distributions with their licences, read from their metadata."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import weckd_edge
from weckd_edge.artifacts import BackboneLicence, Distribution, Environment
from weckd_edge.config import LinkConfig, TeacherConfig
from weckd_edge.core.optional_imports import require
from weckd_edge.core.store import sha256_file

UNKNOWN = "unknown"
OWN_NAME = "weckd-edge"
ROOTS = ("click", "numpy", "pillow", "rich", "openvino", "torch", "timm", "onnx", "onnxruntime", "ai-edge-litert", "jinja2")
"""Distributions to start from where this package runs from its source folder and has no metadata of its own."""

_LEFT_OUT = frozenset({"dev"})
_LONGEST = 120


class Metadata(Protocol):
    """Metadata of a distribution, as far as they are read."""

    def get_all(self, name: str, failobj: None = None) -> list[str] | None:
        """Return every value of a field; None where there is none."""


class Installed(Protocol):
    """An installed distribution, as far as it is read."""

    @property
    def metadata(self) -> Metadata: ...

    @property
    def version(self) -> str: ...

    @property
    def requires(self) -> list[str] | None: ...


def read_environment(trained: Sequence[tuple[str, LinkConfig | TeacherConfig]], *, host: str) -> Environment:
    """Return a description of this machine and of the installed distributions that this package uses.

    Args:
        trained: Name and settings of each link that was trained, and of each teacher that taught, for the weights that they
            start from.
        host: Name of the processor.
    """
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        system = platform.system() or UNKNOWN
    return Environment(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=system,
        kernel=" ".join((platform.system(), platform.release(), platform.machine())),
        processor=host,
        distributions=used_distributions(metadata.distribution),
        backbones=tuple(
            BackboneLicence(
                link=name,
                model=link.model or "as its file says",
                weights=Path(link.weights).name if link.weights else "pretrained",
                sha256=sha256_file(Path(link.weights)) if link.weights and Path(link.weights).is_file() else None,
                licence=link.weights_licence,
            )
            for name, link in trained
            if link.weights or link.pretrained or ":" in (link.model or "")
        ),
    )


def used_distributions(find: Callable[[str], Installed]) -> tuple[Distribution, ...]:
    """Return this package and every installed distribution that it requires, directly or not, sorted by name.

    Markers are evaluated for this Python and machine: what is required elsewhere alone does not count, even where it is
    installed.

    Args:
        find: Function that returns an installed distribution by name, or raises ``PackageNotFoundError``.

    Raises:
        MissingDependency: packaging is not installed.
    """
    found: dict[str, Distribution] = {}
    requested: set[tuple[str, frozenset[str]]] = set()
    try:
        own = find(OWN_NAME)
        extras = frozenset(own.metadata.get_all("Provides-Extra") or ()) - _LEFT_OUT
        waiting = list(requirements(own.requires or (), extras))
    except metadata.PackageNotFoundError:
        waiting = [(name, frozenset[str]()) for name in ROOTS]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in requested or name == OWN_NAME:
            continue
        requested.add((name, extras))
        try:
            about = find(name)
        except metadata.PackageNotFoundError:
            continue
        named = (about.metadata.get_all("Name") or [name])[0]
        found[name] = Distribution(name=named, version=about.version, licence=licence_of(about.metadata))
        waiting += requirements(about.requires or (), extras)
    found[OWN_NAME] = Distribution(name=OWN_NAME, version=weckd_edge.__version__, licence="Apache-2.0")
    return tuple(found[name] for name in sorted(found))


def requirements(lines: Iterable[str], extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the normalised name and the extras of each requirement that counts on this Python and machine.

    A line that is no requirement (PEP 508), as a few old distributions have, is left out.

    Args:
        lines: Requirements, such as ``fsspec[http]>=2; extra == 'all'``.
        extras: Extras that were asked for.

    Raises:
        MissingDependency: packaging is not installed.
    """
    parsing: Any = require("packaging.requirements", "list what made a bundle")
    naming: Any = require("packaging.utils", "list what made a bundle")
    for line in lines:
        try:
            requested = parsing.Requirement(line)
        except parsing.InvalidRequirement:
            continue
        marker = requested.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield naming.canonicalize_name(requested.name), frozenset(requested.extras)


def licence_of(about: Metadata) -> str:
    """Return a distribution's licence, from its own metadata.

    Its ``License-Expression``, else its licence classifiers, else the first line of its ``License`` text, else ``unknown``.

    Args:
        about: The distribution's metadata.
    """
    for line in about.get_all("License-Expression") or ():
        if line.strip():
            return line.strip()
    classifiers = [line for line in about.get_all("Classifier") or () if line.startswith("License ::")]
    names = [line.split(" :: ")[-1].strip() for line in classifiers if line.count("::") > 1]
    if names:
        return " and ".join(dict.fromkeys(names))
    first = next((line.strip() for text in about.get_all("License") or () for line in text.splitlines() if line.strip()), "")
    return UNKNOWN if first.upper() in ("", "UNKNOWN") else first[:_LONGEST]
