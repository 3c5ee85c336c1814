"""Lines of the results: one JSON object for each piece of work, with what it ran on and of which code."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import git, processor

LIBRARIES = ("torch", "timm", "lightning-fabric", "numpy")


def describe_device() -> dict[str, Any]:
    """Return the GPU's name, memory and driver, or that there is none."""
    if not torch.cuda.is_available():
        return {"name": "cpu", "count": 0}
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "count": torch.cuda.device_count(),
        "memory_bytes": properties.total_memory,
        "multiprocessors": properties.multi_processor_count,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def describe_environment() -> dict[str, Any]:
    """Return the versions of what runs, and the machine's processor."""
    return {
        "python": platform.python_version(),
        **{library: _version(library) for library in LIBRARIES},
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
    }


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:  # carried as a plain folder
        return None


@dataclass(kw_only=True)
class Results:
    """File of the results, to which several processes may append.

    Attributes:
        path: The file.
        commit: Commit of the code; git tells it where none is given.
    """

    path: Path
    commit: str | None = None
    _device: dict[str, Any] = field(default_factory=describe_device)

    def __post_init__(self) -> None:
        self.commit = self.commit or git("rev-parse", "HEAD")

    def append(self, piece: str, key: dict[str, Any], **found: Any) -> None:
        """Append the line of a piece; ``key`` says which piece of its kind it is."""
        line = {
            "piece": piece,
            **key,
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "commit": self.commit,
            "changed": bool(git("status", "--porcelain", "--untracked-files=no")),
            "device": self._device,
            "environment": describe_environment(),
            **found,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab", buffering=0) as file:  # in one piece: the lanes of a study write at once
            file.write(json.dumps(line, sort_keys=True).encode() + b"\n")

    def has(self, piece: str, key: dict[str, Any]) -> bool:
        """Tell whether an earlier run of the same code on such a device has written this piece."""
        if not self.path.is_file():
            return False
        wanted = {"piece": piece, **key, "commit": self.commit}
        lines = map(json.loads, self.path.read_text(encoding="utf-8").splitlines())
        return any(
            line["device"]["name"] == self._device["name"] and all(line.get(name) == value for name, value in wanted.items())
            for line in lines
        )
