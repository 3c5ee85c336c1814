"""Program that a bench runs in a fresh process: open a model, run it on one frame, and print time and memory."""

from __future__ import annotations

import importlib
import json
import re
import sys
import time
from pathlib import Path

import numpy as np

from weckd_edge.artifacts import InputSpec
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require
from weckd_edge.core.serialization import from_json
from weckd_edge.devices.machine.sysfs import read_text
from weckd_edge.devices.runtime.backends.table import find_backend
from weckd_edge.devices.runtime.frame_runner import open_frame_runner


def peak_rss_bytes(status: Path = Path("/proc/self/status")) -> int | None:
    """Return the largest resident memory of this process so far, bytes; None where Linux does not show it."""
    found = re.search(r"^VmHWM:\s*(\d+) kB", read_text(status), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def first_prediction_ns(backend: str, model: Path, spec: InputSpec, frame: Path, threads: int, *, half: bool = False) -> int:
    """Return the time from opening a model to its first prediction, nanoseconds; loading the library is not counted."""
    frames = np.load(frame, allow_pickle=False)
    row = find_backend(backend)
    require(row.library, "measure a model")
    importlib.import_module(row.module)
    start_ns = time.monotonic_ns()
    runner = open_frame_runner(backend, model, spec, threads=threads, half=half)
    runner.run(frames)
    return time.monotonic_ns() - start_ns


def main() -> None:
    """Read backend, model, its input as JSON, frame file, threads and ``f16`` or ``f32`` from the arguments; write JSON."""
    backend, model, described, frame, threads, compute = sys.argv[1:]
    spec = from_json(InputSpec, described, where="input", error=ModelError)
    cold_start_ns = first_prediction_ns(backend, Path(model), spec, Path(frame), int(threads), half=compute == "f16")
    sys.stdout.write(json.dumps({"cold_start_ns": cold_start_ns, "peak_rss_bytes": peak_rss_bytes()}) + "\n")
