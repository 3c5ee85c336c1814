"""The page of device profiles: what each shipped one says, and every field that a profile may have."""

from __future__ import annotations

from dataclasses import is_dataclass

from described import cell, table_of

from weckd_edge.config import GateConfig
from weckd_edge.devices.profiles import records
from weckd_edge.devices.profiles.profile import DeviceProfile, list_profiles
from weckd_edge.devices.profiles.text import int8_in_words

HEAD = """# Device profiles

`--device` takes the name of a shipped profile, or a TOML file of your own ([how-to](../how-to/devices.md)). A dash means
that no source was found; nothing is guessed. `weckd-edge devices show NAME` prints every value with its source.

This page is generated from `devices/profiles/shipped/`.

## Shipped profiles

| name | device | target | processor | GPU | int8 arithmetic | layers in int8 | published latencies | limits |
|---|---|---|---|---|---|---|---|---|
"""


def row_of(profile: DeviceProfile) -> str:
    """Return a profile as a row of the table."""
    gates = ", ".join(
        f"`{name}` {getattr(profile.gates, name):g}"
        for name in ("max_latency_p90_ms", "max_memory_mib", "max_accuracy_drop")
        if getattr(profile.gates, name) is not None
    )
    gpu = "-" if profile.gpu is None else f"{profile.gpu.cuda_cores} CUDA cores" if profile.gpu.cuda_cores else "yes"
    cells = [
        f"`{profile.id}`", profile.name, f"`{profile.target}`", profile.cpu or "-", gpu, profile.int8_arithmetic or "-",
        int8_in_words(profile.int8),
        str(len(profile.published)) if profile.published else "-", gates or "-",
    ]  # fmt: skip
    return f"| {' | '.join(map(cell, cells))} |"


def profiles_page() -> str:
    """Return the page, Markdown."""
    named = [one for one in vars(records).values() if is_dataclass(one) and one.__module__ == records.__name__]
    links = {cls: f"#{cls.__name__.lower()}" for cls in named} | {GateConfig: "settings.md#gates"}
    lines = [HEAD + "\n".join(row_of(profile) for profile in list_profiles()), ""]
    lines += ["## Fields of a profile", "", *table_of(DeviceProfile, links)]
    for cls in named:
        lines += ["", f"### {cls.__name__}", "", *table_of(cls, links)]
    return "\n".join(lines) + "\n"
