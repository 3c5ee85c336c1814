"""Libraries that report to their makers are told not to, before they load.

``weckd_edge.core.optional_imports.require`` and the package ``weckd_edge.train`` call this, and all such libraries come in
by these two doors. A process that imports ``weckd_edge`` and loads none of them is left as it is. Setting variables of the
own process is no choice of this module: the libraries ask nothing else, and ask once, while they load.
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
"""What each variable keeps back where it is 1. They are read while the library loads."""

MODULES = {"openvino_telemetry": "OpenVINO and NNCF: a lasting client id, each import and each conversion"}
"""What each module sends. Its users do without it where it cannot be imported; no variable or argument of theirs stops it,
only a file in the home folder, which is not ours to write."""

ON = "0"
"""The value of a variable by which a user asks for a report; every other value becomes 1."""


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
