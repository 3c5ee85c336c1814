"""How busy a GPU is, by NVML: read by a thread while something runs."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PERIOD_S = 0.1


@contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """Yield a dictionary that holds, after the block, the GPU's load, memory and power in it; empty without NVML."""
    found: dict[str, Any] = {}
    handle = _open()
    if handle is None:
        yield found
        return
    samples: list[tuple[int, int, float]] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.wait(PERIOD_S):
            samples.append(_read(handle))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
        if samples:
            loads, memory, watts = zip(*samples, strict=True)
            found.update(
                load_percent=round(statistics.mean(loads), 1),
                memory_bytes=max(memory),
                power_w=round(statistics.mean(watts), 1),
                samples=len(samples),
            )


def _open() -> Any:
    try:
        import pynvml

        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByIndex(0)
    except Exception:  # no library, no driver, no GPU: there is nothing to read
        return None


def _read(handle: Any) -> tuple[int, int, float]:
    import pynvml

    return (
        pynvml.nvmlDeviceGetUtilizationRates(handle).gpu,
        pynvml.nvmlDeviceGetMemoryInfo(handle).used,
        pynvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
    )
