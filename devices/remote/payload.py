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

from weckd_edge.bundle.reader import Bundle, sealed_files
from weckd_edge.core.serialization import to_json
from weckd_edge.devices.remote.agent import CODE
from weckd_edge.devices.remote.bench_request import BUNDLE, JOB_FILE, BenchRequest

PACKAGES = (
    "artifacts",
    "bundle",
    "config",
    "core",
    "devices",
    "devices.bench",
    "devices.bench.power",
    "devices.images",
    "devices.jetson",
    "devices.machine",
    "devices.profiles",
    "devices.runtime",
    "devices.runtime.backends",
)
"""What a bench on the device imports of this package."""

ON_DEVICE = ("__init__", "agent", "bench_request", "on_device")
"""Modules of ``devices.remote`` that run on the device."""

_LEVEL = 6


def code_files() -> Iterator[tuple[str, Path]]:
    """Yield each file of the code that is sent: its place below the code's folder, and where it lies here."""
    top = _place("weckd_edge")
    yield "weckd_edge/__init__.py", top / "__init__.py"
    for package in PACKAGES:
        for path in sorted(_place(f"weckd_edge.{package}").iterdir()):
            if path.suffix == ".py":
                yield f"weckd_edge/{package.replace('.', '/')}/{path.name}", path
    for path in sorted((_place("weckd_edge.devices.profiles") / "shipped").glob("*.toml")):
        yield f"weckd_edge/devices/profiles/shipped/{path.name}", path
    for name in ON_DEVICE:
        yield f"weckd_edge/devices/remote/{name}.py", _place("weckd_edge.devices.remote") / f"{name}.py"
    # Python 3.10 reads TOML by tomli alone; from 3.11 on the standard library holds the same, pure Python.
    for path in sorted(_place("tomllib" if sys.version_info >= (3, 11) else "tomli").glob("*.py")):
        yield f"tomli/{path.name}", path


def _place(package: str) -> Path:
    return Path(importlib.import_module(package).__path__[0])


def make_payload(bundle: Bundle | None, request: BenchRequest) -> bytes:
    """Pack code, bundle and job; equal contents give equal bytes.

    Args:
        bundle: What to send; None where the job names one on the device. What ``finalize`` built here stays here.
        request: What to measure.
    """
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=_LEVEL, mtime=0) as file,
        tarfile.open(fileobj=file, mode="w") as archive,
    ):
        _add(archive, JOB_FILE, to_json(request).encode())
        for name, path in code_files():
            _add(archive, f"{CODE}/{name}", path.read_bytes())
        if bundle is not None:
            for name, data in sealed_files(bundle):
                _add(archive, f"{BUNDLE}/{name}", data)
    return packed.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    archive.addfile(info, io.BytesIO(data))
