"""Prove on this host that a Jetson could build a candidate, with TensorRT-RTX's own parser and builder."""

from __future__ import annotations

from weckd_edge.compile.backends import tensorrt_rtx_backend
from weckd_edge.compile.quantize.candidates.base import PrecisionCandidate
from weckd_edge.compile.quantize.candidates.make import HALF_FILE, write_half
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import is_installed
from weckd_edge.core.progress import Progress

_PROVER = "tensorrt_rtx"


def find_refusal(candidate: PrecisionCandidate, progress: Progress) -> ModelError | None:
    """Return why a Jetson could not build a candidate; None where it can, or where this host cannot tell."""
    if not is_installed(_PROVER):
        return None
    with progress.task(f"prove that {candidate.trial.name} can be built", 1):
        graphs = [candidate.onnx]
        if candidate.trial.precision != "fp32":
            half = candidate.runnable or candidate.folder / HALF_FILE
            try:
                if candidate.runnable is None:
                    write_half(candidate.onnx, half)
                graphs.append(half)
            except ModelError:
                pass  # the recipe leaves this form out, and says so
        try:
            for graph in graphs:
                tensorrt_rtx_backend.preflight(graph, candidate.folder)
        except ModelError as err:
            return err
    return None
