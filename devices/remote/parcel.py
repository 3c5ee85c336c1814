"""What is sent to a device: the part of this package that measures, a bundle, and the job; no network is needed there.

It is always sent, also where the package is installed: every device of one call is measured by the same code.
"""

from __future__ import annotations

import gzip
import importlib
import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from weckd_edge.bundle import Bundle
from weckd_edge.devices.remote.agent import CODE
from weckd_edge.devices.remote.job import BUNDLE, JOB_FILE, Job
from weckd_edge.schema import to_json
from weckd_edge.signing import MANIFEST_FILE, SIGNATURE_FILE

MODULES = (
    "__init__",
    "bounds",
    "bundle",
    "errors",
    "files",
    "optional",
    "progress",
    "schema",
    "signing",
    "stats",
    "store",
    "telemetry",
    "toml_file",
)
"""Modules of the package itself that a bench imports."""

PACKAGES = (
    "artifacts",
    "config",
    "devices",
    "devices.backends",
    "devices.power",
    "devices.profiles",
    "report",
    "report.charts",
)
ON_DEVICE = ("__init__", "agent", "job", "on_device")
"""Modules of ``devices.remote`` that run on the device."""

_LEVEL = 6


def code_files() -> Iterator[tuple[str, Path]]:
    """Yield each file of the code that is sent: its place below the code's folder, and where it lies here."""
    top = _place("weckd_edge")
    for name in MODULES:
        yield f"weckd_edge/{name}.py", top / f"{name}.py"
    for path in sorted(p for p in (top / "templates").rglob("*") if p.is_file()):
        yield path.relative_to(top.parent).as_posix(), path
    for package in PACKAGES:
        for path in sorted(_place(f"weckd_edge.{package}").iterdir()):
            if path.suffix in (".py", ".toml"):
                yield f"weckd_edge/{package.replace('.', '/')}/{path.name}", path
    for name in ON_DEVICE:
        yield f"weckd_edge/devices/remote/{name}.py", _place("weckd_edge.devices.remote") / f"{name}.py"
    # Python 3.10 reads TOML by tomli alone; from 3.11 on the standard library holds the same, pure Python.
    for path in sorted(_place("tomllib" if sys.version_info >= (3, 11) else "tomli").glob("*.py")):
        yield f"tomli/{path.name}", path


def _place(package: str) -> Path:
    return Path(importlib.import_module(package).__path__[0])


def make_parcel(bundle: Bundle | None, job: Job) -> bytes:
    """Pack code, bundle and job; equal contents give equal bytes.

    Args:
        bundle: What to send; None where the job names one on the device. What ``finalize`` built here stays here.
        job: What to measure.
    """
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=_LEVEL, mtime=0) as file,
        tarfile.open(fileobj=file, mode="w") as archive,
    ):
        _add(archive, JOB_FILE, to_json(job).encode())
        for name, path in code_files():
            _add(archive, f"{CODE}/{name}", path.read_bytes())
        if bundle is not None:
            for name in _bundle_files(bundle):
                _add(archive, f"{BUNDLE}/{name}", (bundle.folder / name).read_bytes())
    return packed.getvalue()


def _bundle_files(bundle: Bundle) -> tuple[str, ...]:
    signed = (SIGNATURE_FILE,) if (bundle.folder / SIGNATURE_FILE).is_file() else ()
    return (MANIFEST_FILE, *signed, *(ref.path for ref in bundle.manifest.files))


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    archive.addfile(info, io.BytesIO(data))
