"""Measure what each extra takes on disk, in the environment that this runs in: ``python docs/tools/install_sizes.py``.

Counted are the files of the distributions that ``pip install 'weckd-edge[EXTRA]'`` brings, the package's own requirements
included, as they are installed here; compiled files (``.pyc``) are left out. It prints the rows of the table in
docs/get-started/install.md.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]


class Size(NamedTuple):
    """What an extra takes.

    Attributes:
        megabytes: Of all its distributions together, 1e6 bytes each.
        missing: Names of distributions that are not installed here, so that they are not counted.
    """

    megabytes: float
    missing: tuple[str, ...]


APART = {"dev", "docs", "heic", "mlflow", "postgres", "tensorboard", "tensorrt", "torch-tensorrt", "video"}
"""Extras that are not measured: tools for work on the package, and libraries that do not come with ``all``."""


def extras() -> list[str]:
    """Return the names of the extras that are measured."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [name for name in project["optional-dependencies"] if name not in APART]


def requirements(extra: str | None) -> list[Requirement]:
    """Return what the package requires, with one of its extras or without any."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = list(project["dependencies"])
    wanted = [extra] if extra else []
    while wanted:
        for line in project["optional-dependencies"][wanted.pop()]:
            one = Requirement(line)
            if canonicalize_name(one.name) == "weckd-edge":
                wanted += sorted(one.extras)
            else:
                lines.append(line)
    return [Requirement(line) for line in lines]


def size_of(extra: str | None) -> Size:
    """Return what an extra takes on disk, with everything that it requires."""
    seen: dict[str, float] = {}
    missing: set[str] = set()
    waiting = [(one, "") for one in requirements(extra)]
    while waiting:
        one, of_extra = waiting.pop()
        name = canonicalize_name(one.name)
        if one.marker is not None and not one.marker.evaluate({"extra": of_extra}):
            continue
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            missing.add(name)
            continue
        needed = [Requirement(line) for line in found.requires or ()]
        for inner in sorted(one.extras):
            waiting += [(other, inner) for other in needed if other.marker and "extra" in str(other.marker)]
        if name not in seen:
            seen[name] = sum(_bytes(file.locate()) for file in found.files or ()) / 1e6
            waiting += [(other, "") for other in needed]
    return Size(sum(seen.values()), tuple(sorted(missing)))


def _bytes(path: object) -> int:
    file = Path(str(path))
    return file.stat().st_size if file.is_file() and file.suffix != ".pyc" else 0


if __name__ == "__main__":
    for name in (None, *extras()):
        size = size_of(name)
        left_out = f" (without {', '.join(size.missing)})" if size.missing else ""
        print(f"{name or 'base':18} {size.megabytes:8.0f} MB{left_out}")  # noqa: T201
