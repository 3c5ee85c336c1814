"""Payload for a device: the part of this package that measures, a bundle and the request; no network is needed there.

The code is always sent, also where the package is installed, so that every device of one call is measured by the same code.
Its files are found from their imports (``weckd_edge.core.import_graph``).
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
from weckd_edge.core.import_graph import needs_to_run, read_source
from weckd_edge.core.serialization import to_json
from weckd_edge.devices.native.library import pixels_library
from weckd_edge.devices.native.sources import HERE, LIBRARY, files_of_digest
from weckd_edge.devices.remote.agent import CODE
from weckd_edge.devices.remote.bench_request import BUNDLE, REQUEST_FILE, BenchRequest

ON_DEVICE = "weckd_edge.devices.remote.on_device"
"""Module of the program that runs on the device."""

PROFILES = "weckd_edge.devices.profiles"
"""Package whose folder holds the device profiles."""

DEVICES = HERE.parent
"""Folder of the code that runs on a device."""

_LEVEL = 6


def code_files() -> Iterator[tuple[str, Path]]:
    """Yield each file of the code that is sent: its path below the code's folder, and its path here.

    Raises:
        StoreError: A source is missing here.
    """
    for module in needs_to_run(ON_DEVICE):
        source = read_source(module)
        place = module.replace(".", "/")
        yield f"{place}/__init__.py" if source.is_package else f"{place}.py", source.path
    profiles = read_source(PROFILES).path.parent
    for path in sorted(profiles.rglob("*.toml")):
        yield f"{PROFILES.replace('.', '/')}/{path.relative_to(profiles).as_posix()}", path
    if pixels_library() is not None:  # a device of another kind cannot load it, and computes with NumPy
        for path in (LIBRARY, *files_of_digest()):
            yield f"weckd_edge/devices/{path.relative_to(DEVICES).as_posix()}", path
    # Python 3.10 reads TOML by tomli alone; from 3.11 on the standard library holds the same, pure Python.
    tomli = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    for path in sorted(Path(tomli.__path__[0]).glob("*.py")):
        yield f"tomli/{path.name}", path


def make_payload(bundle: Bundle | None, request: BenchRequest) -> bytes:
    """Pack code, bundle and request; equal contents give equal bytes.

    Args:
        bundle: Bundle to send, without the engines that ``finalize`` built here; None where the request names a bundle on
            the device.
        request: The bench that the device is asked for.
    """
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=_LEVEL, mtime=0) as file,
        tarfile.open(fileobj=file, mode="w") as archive,
    ):
        _add(archive, REQUEST_FILE, to_json(request).encode())
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
