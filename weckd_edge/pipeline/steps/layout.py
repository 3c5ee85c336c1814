"""The places of model, self-test and guard files in a bundle, and the draft of the manifest that names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from weckd_edge.artifacts import (
    Abstention,
    BuiltModel,
    ExamEvidence,
    ExamRule,
    ExportedModel,
    FileRef,
    FrameGuard,
    GoldenFrames,
    GoldenSet,
    Manifest,
    PrecisionSelection,
)
from weckd_edge.core.fingerprint import library_versions
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import sha256_bytes
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.output_paths import bundle_name
from weckd_edge.pipeline.steps.abstain import operating_point

T = TypeVar("T")

GUARD_FILE = "guard/guard.json"

_FOLDERS = {"openvino": "openvino", "litert": "litert", "tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt"}


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """An artefact and the folder its files lie in."""

    artifact: T
    folder: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The files of a bundle that its manifest names, by their paths in it.

    Attributes:
        onnx: The graph.
        models: Models that a device may run, and the recipe from which it builds its own.
        selftest: Golden frames.
        guard: The input guard; None where the bundle has none.
        files: Source of each of these files, by its path in the bundle: a file of the workspace, or bytes.
    """

    onnx: FileRef
    models: tuple[BuiltModel, ...]
    selftest: GoldenFrames
    guard: FileRef | None
    files: dict[str, Path | bytes]


def lay_out(
    selected: Part[PrecisionSelection],
    built: Sequence[Part[BuiltModel]],
    golden: Part[GoldenSet],
    guard: FrameGuard | None,
) -> Layout:
    """Choose the place of every file in the bundle; nothing is written yet.

    Args:
        selected: The graph that is deployed.
        built: Models that a device may run, and a recipe, whose files go where the engine will be built.
        golden: The self-test.
        guard: The input guard; None where the bundle has none.
    """
    files: dict[str, Path | bytes] = {}

    def place(ref: FileRef, folder: Path, below: str) -> FileRef:
        placed = replace(ref, path=f"{below}/{ref.path}")
        files[placed.path] = folder / ref.path
        return placed

    def complete(part: Part[BuiltModel]) -> BuiltModel:
        model = part.artifact
        files = tuple(
            place(ref, part.folder, "model" if ref.path.endswith(".onnx") and model.kind == "model" else _below(model))
            for ref in model.files
        )
        if model.kind == "preflight":
            return replace(model, files=files)
        test = next(t for t in golden.artifact.tests if (t.backend, t.precision) == (model.backend, model.precision))
        expected = place(test.expected, golden.folder, "selftest")
        return replace(model, files=files, expected=expected, tolerance=test.tolerance)

    return Layout(
        onnx=place(selected.artifact.onnx, selected.folder, "model"),
        models=tuple(complete(part) for part in built),
        selftest=replace(golden.artifact.golden, frames=place(golden.artifact.golden.frames, golden.folder, "selftest")),
        guard=None if guard is None else _place_guard(guard, files),
        files=files,
    )


def _below(model: BuiltModel) -> str:
    return f"model/{_FOLDERS[model.backend]}"


def _place_guard(guard: FrameGuard, files: dict[str, Path | bytes]) -> FileRef:
    data = to_json(guard).encode()
    files[GUARD_FILE] = data
    return FileRef(path=GUARD_FILE, sha256=sha256_bytes(data), bytes=len(data))


def draft_manifest(
    ctx: BuildContext,
    layout: Layout,
    exported: ExportedModel,
    selection: PrecisionSelection,
    abstention: Abstention | None,
    exams: ExamEvidence | None,
    *,
    synthetic: bool,
) -> Manifest:
    """Return the manifest of a bundle before its gates are applied and its files are sealed.

    Args:
        ctx: The build.
        layout: The files.
        exported: FP32 graph of the link that is deployed.
        selection: Precision that was chosen for that link.
        abstention: The threshold that was found; None takes the settings'.
        exams: The rule of examinations; None takes the plainest one, with the threshold of single frames.
        synthetic: Whether the images of the data set are synthetic.
    """
    point = abstention.operating_point if abstention else operating_point(ctx.config)
    return Manifest(
        name=bundle_name(ctx.out),
        target=ctx.target,
        device=ctx.profile.id,
        labels=exported.labels,
        input=exported.input,
        input_name=exported.input_name,
        network_input_name=exported.network_input_name,
        output_name=exported.output_name,
        operating_point=point,
        exam=exams.choice.rule if exams else ExamRule(confidence_threshold=point.confidence_threshold),
        models=layout.models,
        onnx=layout.onnx,
        # NNCF's int8 exists in its own IR alone: then the graph is FP32.
        onnx_precision="int8" if selection.quantized is not None else "fp32",
        guard=layout.guard,
        version=ctx.bundle_version,
        selftest=layout.selftest,
        gates=(),
        passed=False,
        synthetic=synthetic,
        files=(),
        versions=library_versions(),
    )
