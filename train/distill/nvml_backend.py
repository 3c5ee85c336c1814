"""Read the energy of NVIDIA's GPUs since their driver was loaded, by NVML."""

from __future__ import annotations


def read_gpu_joules() -> dict[str, float]:
    """Return the energy counter of each GPU, joules, by name; empty where there is no library, driver, or counter."""
    try:
        import pynvml

        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        handles = {f"gpu{i}": pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)}
        return {name: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3 for name, handle in handles.items()}
    except Exception:  # NVML has a class for each reason, and a broken driver raises others; training must not fail by it
        return {}
