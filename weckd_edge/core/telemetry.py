"""Switches that keep libraries from reporting to their makers, set before the libraries load.

``weckd_edge.core.optional_imports.require`` and the package ``weckd_edge.train`` call this before they load such a library.
A process that imports ``weckd_edge`` and loads none of them is left as it is. Environment variables of the own process are
set because the libraries read nothing else, and read them once, while they load.
"""

from __future__ import annotations

import os
import sys
from typing import Any, cast

OUTSIDE_KEYS = "keeps libraries from reporting"

VARIABLES = {
    "HF_HUB_DISABLE_TELEMETRY": "huggingface_hub and hf_xet: which libraries a download was for, and how it went",
    "MLFLOW_DISABLE_TELEMETRY": "MLflow: a lasting installation id, the system, and the functions that are called",
    "ORT_DISABLE_TELEMETRY": "ONNX Runtime: a lasting device id, a database of events, the processor and the program's name",
}
"""Environment variables that stop a report where they are 1, with what the report holds. Libraries read them when they load.
"""

MODULES = {"openvino_telemetry": "OpenVINO and NNCF: a lasting client id, each import and each conversion"}
"""Modules that send reports, with what they send."""

ON = "0"
"""Value of a variable by which a user asks for a report; every other value becomes 1."""


def switch_off_telemetry() -> None:
    """Keep libraries that load from now on from reporting to their makers.

    A variable that is ``0`` is left, as somebody chose it. So is a module that a program has imported before it called this.
    """
    for name in VARIABLES:
        if os.environ.get(name) not in (ON, "1"):
            os.environ[name] = "1"
    modules = cast(dict[str, Any], sys.modules)
    for name in MODULES:
        modules.setdefault(name, None)  # None: it cannot be imported, as the language defines it
