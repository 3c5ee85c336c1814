"""weckd-edge: from a folder of labelled images to a verified model bundle for a small device.

``load`` opens a bundle, which predicts, verifies and measures itself. ``build`` makes one from images, ``compile_model``
from a network that was trained elsewhere. Every error is a ``weckd_edge.errors.WeckdError`` with a code. Importing this
package loads no library: each name is loaded when it is first used.

Example:
    >>> import weckd_edge
    >>> with weckd_edge.load("ear-bundle").open() as model:
    ...     prediction = model.predict("eardrum.png")
    >>> prediction.decision
    'normal'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weckd_edge.api.build import build, compile_model
    from weckd_edge.api.bundle import Bundle, load
    from weckd_edge.api.exam import Examination
    from weckd_edge.api.model import Model
    from weckd_edge.config import BuildConfig
    from weckd_edge.core import errors
    from weckd_edge.core.progress import Progress
    from weckd_edge.devices.bench.settings import BenchSettings
    from weckd_edge.devices.runtime.decision import Prediction
    from weckd_edge.devices.runtime.exam import ExamDecision, ExamFrame

__version__ = "0.1.0"

__all__ = [
    "BenchSettings",
    "BuildConfig",
    "Bundle",
    "ExamDecision",
    "ExamFrame",
    "Examination",
    "Model",
    "Prediction",
    "Progress",
    "__version__",
    "build",
    "compile_model",
    "errors",
    "load",
]

_MODULES = {
    "BenchSettings": "devices.bench.settings",
    "BuildConfig": "config",
    "Bundle": "api.bundle",
    "ExamDecision": "devices.runtime.exam",
    "ExamFrame": "devices.runtime.exam",
    "Examination": "api.exam",
    "Model": "api.model",
    "Prediction": "devices.runtime.decision",
    "Progress": "core.progress",
    "build": "api.build",
    "compile_model": "api.build",
    "errors": "core.errors",
    "load": "api.bundle",
}
"""Module of each public name, relative to this package."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f"{__name__}.{_MODULES[name]}")
        return module if name == "errors" else getattr(module, name)


def __dir__() -> list[str]:
    return list(__all__)
