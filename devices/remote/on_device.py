"""Program of the bench on the device: it writes a beat once a second, and at the end how the bench went."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from weckd_edge.core.errors import DeviceError, WeckdError
from weckd_edge.core.serialization import from_json
from weckd_edge.devices.remote.agent import OUT
from weckd_edge.devices.remote.bench_request import BUNDLE, REQUEST_FILE, BenchRequest

_BEAT_S = 1.0
_SCRATCH = "scratch"


def use_installed_library() -> None:
    """Put an installed package's compiled library in place of the one that was sent, where that cannot be loaded here.

    It is taken only where it was compiled of the very sources that were sent; otherwise NumPy computes on frames.
    """
    from weckd_edge.devices.native.library import MissingLibrary, open_library
    from weckd_edge.devices.native.sources import LIBRARY

    places = (Path(folder) / "weckd_edge/devices/native" / LIBRARY.name for folder in sys.path)
    for path in (LIBRARY, *places):
        try:
            open_library(path)
        except MissingLibrary:
            continue
        if path != LIBRARY:
            LIBRARY.unlink(missing_ok=True)
            shutil.copyfile(path, LIBRARY)
        return


def run_request(folder: Path) -> None:
    """Run the bench that a folder's request asks for, and keep it in the folder.

    Raises:
        WeckdError: The bench cannot be run here.
    """
    # Imported late, as a slow device takes seconds over it and must be heard meanwhile.
    from weckd_edge.bundle.reader import open_bundle
    from weckd_edge.devices.bench.bench import bench
    from weckd_edge.devices.bench.power.table import open_source
    from weckd_edge.devices.bench.watched_run import BenchMachine
    from weckd_edge.devices.finalize.finalize import FinalizeOptions, finalize

    use_installed_library()
    request = from_json(BenchRequest, (folder / REQUEST_FILE).read_bytes(), where=REQUEST_FILE, error=DeviceError)
    bundle = open_bundle(folder / BUNDLE if request.bundle is None else Path(request.bundle))
    if request.finalize:
        processor = bundle.manifest.target != "jetson"
        finalize(bundle, options=FinalizeOptions(threads=request.settings.threads if processor else None))
    source = open_source(request.power)
    try:
        bench(
            bundle,
            request.settings,
            backend=request.backend,
            precision=request.precision,
            machine=BenchMachine(power=source),
            out=folder / OUT,
        )
    finally:
        source.close()


def _write_line(fields: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _beat(ended: threading.Event) -> None:
    while not ended.wait(_BEAT_S):
        _write_line({"beat": True})


def main() -> None:
    """Run the bench of the folder that the second argument names; write JSON lines."""
    ended = threading.Event()
    beats = threading.Thread(target=_beat, args=(ended,), daemon=True)
    beats.start()
    folder = Path(sys.argv[2])
    try:
        (folder / _SCRATCH).mkdir()
        tempfile.tempdir = str(folder / _SCRATCH)  # so that nothing lies elsewhere where this process is killed
        run_request(folder)
        outcome: dict[str, Any] = {"done": True}
    except (WeckdError, OSError) as err:
        outcome = {"error": str(err)}
    ended.set()
    beats.join()
    _write_line(outcome)
