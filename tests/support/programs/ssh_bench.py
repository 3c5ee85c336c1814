"""Requests, servers and results of benches over ssh, for their tests."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from weckd_edge.devices.bench.settings import BenchSettings
from weckd_edge.devices.remote.bench_request import BenchRequest
from weckd_edge.devices.remote.records import HostResult

LONG = BenchRequest(
    settings=BenchSettings(rules="mobile", generator="builtin", warmup=3), backend="onnxruntime", power="none"
)
SHORT = replace(LONG, settings=replace(LONG.settings, rules="quick", queries=70))


def wrapper(path: Path, text: str) -> str:
    """Write a shell script that stands for the device's Python."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def gone(server: Any, within_s: float = 5.0) -> bool:
    """Tell whether neither a process nor a folder of a bench is left; ending takes a moment."""
    end = time.monotonic() + within_s
    while server.processes() or server.left_behind():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def failure(results: tuple[HostResult, ...]) -> str:
    (result,) = results
    assert (result.record.state, result.measurement) == ("failed", None)
    return str(result.record.reason)
