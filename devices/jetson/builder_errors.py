"""Errors of TensorRT's builder that people meet, by the words in them, and what helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weckd_edge.core.errors import DeviceError, ModelError, WeckdError
from weckd_edge.devices.jetson.version_rules import version_tuple


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownDefect:
    """A defect of TensorRT's own builder.

    Attributes:
        words: Words that one of its messages holds, all of them.
        below: First version that is reported to be free of it.
        what: What fails, in words.
    """

    words: tuple[str, ...]
    below: str
    what: str


KNOWN_DEFECTS = (
    KnownDefect(
        words=("checkSanity", "Error Code 2"),
        below="10.7",
        what="known of int8 builds with 10.1 to 10.3",
    ),
)
"""Defects that are recognised.

checkSanity: ``[checkSanity.cpp::checkLinks::218] Error Code 2: Internal Error (Assertion item.second != nullptr failed.
region should have been removed from Graph::regions)``, on Orin with the 10.3 of JetPack 6.1 and 6.2, in int8 builds that
calibrate; it was not seen with Q/DQ nodes, and FP16 builds pass. 10.7 builds the same networks (NVIDIA/TensorRT 3937 and
4797, ultralytics/ultralytics 23841 and 24368).
"""


def build_error(graph: str, version: str, errors: Sequence[str]) -> WeckdError:
    """Return the error to raise for a build that failed.

    Args:
        graph: Name of the graph.
        version: Version of TensorRT.
        errors: What the builder has logged as errors, the oldest first.
    """
    for defect in KNOWN_DEFECTS:
        found = next((text for text in errors if all(word in text for word in defect.words)), None)
        if found is not None:
            advice = "use the TensorRT of another JetPack"
            if version_tuple(version) < version_tuple(defect.below):
                advice = f"install TensorRT {defect.below} for JetPack 6 and run weckd-edge finalize again"
            return DeviceError(
                f"{graph}: TensorRT {version} fails on a defect of its own ({defect.what}: {found}); {advice}",
                code="E_DEVICE_TENSORRT_DEFECT",
            )
    reason = errors[-1] if errors else "no reason given"
    return ModelError(f"{graph}: TensorRT {version} cannot build it ({reason})", code="E_MODEL_BACKEND_BUILD")
