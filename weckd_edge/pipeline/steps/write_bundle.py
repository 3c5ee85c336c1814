"""The last stage of a build: everything that was made, laid out as a bundle, judged, described, sealed and signed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Literal, TypeVar

from weckd_edge.artifacts import (
    Abstention,
    BuildRecord,
    BuiltModel,
    ChainRecord,
    DataAudit,
    DatasetIndex,
    ExportedModel,
    FileRef,
    FrameGuard,
    Gate,
    GoldenFrames,
    LinkSelection,
    Manifest,
    Measurement,
    MetricsRecord,
    OperatingPoint,
    PrecisionSelection,
    Prediction,
    StageTime,
    Verification,
)
from weckd_edge.bundle.signing import sign
from weckd_edge.bundle.writer import seal
from weckd_edge.config import BuildConfig
from weckd_edge.core.fingerprint import library_versions
from weckd_edge.core.sampling import round_robin
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import atomic_folder, file_ref, write_atomic
from weckd_edge.devices.gates.gates import evaluate_gates, evaluate_parity, merge_limits
from weckd_edge.devices.gates.slices import evaluate_slices
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.machine.detect import detect, is_same_device
from weckd_edge.devices.profiles.profile import DeviceProfile
from weckd_edge.pipeline.output_paths import bundle_name
from weckd_edge.pipeline.steps.sdk import write_sdk
from weckd_edge.report import Evidence, Picture, Sample, write_documents, write_evidence, write_report
from weckd_edge.report.chapters.gallery import MAX_FRAMES, by_severity
from weckd_edge.report.documents.licences import read_environment
from weckd_edge.report.evidence import EVIDENCE_FOLDER, REPORT_FILE
from weckd_edge.report.frames import picture_frames

T = TypeVar("T")

GUARD_FILE = "guard/guard.json"

_FOLDERS = {"openvino": "openvino", "tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt"}


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """An artefact and the folder its files lie in."""

    artifact: T
    folder: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Everything a bundle is made of.

    Attributes:
        out: Where the bundle goes.
        root: The data set's folder, for the sample frames of the report.
        config: The build's settings.
        profile: The device.
        key: PEM private key; None leaves the bundle unsigned.
        index: The data set.
        chain: Links and twin.
        exported: The FP32 graph of the link that is deployed.
        selected: The precision that was chosen, and its graph.
        shipping: Which link was chosen, and why.
        built: What backends made of it.
        verification: Accuracy, parity and flips.
        performance: Clinical figures, by class and slice.
        golden: The self-test.
        measurements: Of what is deployed first, then of each link.
        stages: How long everything took.
        bundle_version: Of the bundle; 0: none.
        probes: Of the data set; None where they are switched off.
        guard: The frame guard; None: none ships.
        abstention: What is not answered, and what that is worth; None: nobody looked.
        more_gates: Judged elsewhere.
    """

    out: Path
    root: Path
    config: BuildConfig
    profile: DeviceProfile
    key: Path | None
    index: DatasetIndex
    chain: ChainRecord
    exported: ExportedModel
    selected: Part[PrecisionSelection]
    shipping: LinkSelection
    built: tuple[Part[BuiltModel], ...]
    verification: Verification
    performance: MetricsRecord
    golden: Part[GoldenFrames]
    measurements: tuple[Measurement, ...]
    stages: tuple[StageTime, ...]
    bundle_version: int = 0
    probes: DataAudit | None = None
    guard: FrameGuard | None = None
    abstention: Abstention | None = None
    more_gates: tuple[Gate, ...] = ()


def assemble(parts: Parts) -> Manifest:
    """Write the bundle: whole, or not at all.

    Returns:
        The manifest as sealed; its ``passed`` is False where a gate failed.

    Raises:
        StoreError: It cannot be written.
        ConfigError: The key cannot be used.
    """
    with atomic_folder(parts.out) as folder:
        onnx = _copy(parts.selected.artifact.onnx, parts.selected.folder, folder, "model")
        models = tuple(_copy_model(part, folder) for part in parts.built)
        golden = parts.golden.artifact
        selftest = replace(
            golden,
            frames=_copy(golden.frames, parts.golden.folder, folder, "selftest"),
            expected=_copy(golden.expected, parts.golden.folder, folder, "selftest"),
        )
        gates = _judge(parts, models, onnx)
        draft = Manifest(
            name=bundle_name(parts.out),
            target=parts.profile.target,
            device=parts.profile.id,
            labels=parts.exported.labels,
            input=parts.exported.input,
            input_name=parts.exported.input_name,
            network_input_name=parts.exported.network_input_name,
            output_name=parts.exported.output_name,
            operating_point=OperatingPoint(
                abstain_below=parts.abstention.abstain_below if parts.abstention else parts.config.abstain_below,
                refuse_labels=parts.config.guard.refuse_labels,
            ),
            models=models,
            onnx=onnx,
            onnx_precision=_onnx_precision(parts.selected.artifact),
            guard=_write_guard(parts.guard, folder),
            version=parts.bundle_version,
            selftest=selftest,
            gates=gates,
            passed=all(gate.verdict != "FAIL" for gate in gates),
            synthetic=parts.index.synthetic,
            files=(),
            versions=library_versions(),
        )
        _write_evidence(parts, draft, folder)
        write_sdk(folder)
        manifest = seal(folder, draft)
        if parts.key is not None:
            sign(folder, parts.key)
    return manifest


def _onnx_precision(selection: PrecisionSelection) -> Literal["int8", "fp32"]:
    """Return the precision of the graph itself; int8 without a quantized graph stands in NNCF's IR alone."""
    return "int8" if selection.quantized is not None else "fp32"


def _copy(ref: FileRef, source: Path, bundle: Path, below: str) -> FileRef:
    target = bundle / below / ref.path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / ref.path, target)
    return replace(ref, path=f"{below}/{ref.path}")


def _copy_model(part: Part[BuiltModel], bundle: Path) -> BuiltModel:
    built = part.artifact
    if not built.files:
        return built
    below = f"model/{_FOLDERS[built.backend]}"
    return replace(built, files=tuple(_copy(ref, part.folder, bundle, below) for ref in built.files))


def _judge(parts: Parts, models: Sequence[BuiltModel], onnx: FileRef) -> tuple[Gate, ...]:
    measured = parts.measurements[0]
    loaded = [ref.bytes for model in models if model.kind == "model" for ref in model.files] or [onnx.bytes]
    limits = merge_limits(parts.config.gates, parts.profile.bars)
    gates = evaluate_gates(
        limits,
        parts.profile,
        measured,
        parts.verification,
        sum(loaded),
        is_same_device(parts.profile, detect()),
        parts.index.labels,
        predicted=next((link.latency for link in parts.shipping.links if link.name == parts.shipping.chosen), None),
    )
    slices = evaluate_slices(limits, parts.performance.slices, parts.index.labels)
    return (*gates, *slices, *evaluate_parity(parts.verification), *parts.more_gates)


def _write_guard(guard: FrameGuard | None, bundle: Path) -> FileRef | None:
    if guard is None:
        return None
    path = bundle / GUARD_FILE
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, to_json(guard))
    return file_ref(bundle, path)


def _write_evidence(parts: Parts, draft: Manifest, folder: Path) -> None:
    # A path of this machine has no place in a bundle; the weights' digests are in the chain's record.
    links = tuple(replace(link, weights=Path(link.weights).name if link.weights else None) for link in parts.config.link)
    pool = parts.config.data.unlabelled
    data = replace(parts.config.data, unlabelled=Path(pool).name if pool else None)
    timed = parts.config.ship.measurements
    ship = replace(parts.config.ship, measurements=Path(timed).name if timed else None)
    masks = parts.config.probes.masks
    probes = replace(parts.config.probes, masks=Path(masks).name if masks else None)
    others = tuple(Path(folder).name for folder in parts.config.guard.other_frames)
    guard = replace(parts.config.guard, other_frames=others)
    config = replace(parts.config, link=links, data=data, ship=ship, guard=guard, probes=probes)
    evidence = Evidence(
        dataset=parts.index,
        chain=parts.chain,
        verification=parts.verification,
        measurements=parts.measurements,
        build=BuildRecord(config=to_json(config), stages=parts.stages, data_name=parts.index.name),
        selection=parts.selected.artifact,
        shipping=parts.shipping,
        probes=parts.probes,
        performance=parts.performance,
        abstention=parts.abstention,
        environment=read_environment(parts.config.link, host=detect().host),
    )
    write_evidence(folder, evidence)
    write_documents(folder, draft)
    samples = tuple(_samples(parts, draft))
    frames = _frames(parts, draft, folder) if parts.config.report.sample_frames else None
    write_report(folder, draft, folder / EVIDENCE_FOLDER / REPORT_FILE, samples, frames)


def _frames(parts: Parts, draft: Manifest, folder: Path) -> dict[str, Picture]:
    """Return pictures of the frames whose decision changed, and of those on which implementations differ most."""
    changed = [frame.path for frame in by_severity(parts.performance)][:MAX_FRAMES]
    difference = sorted({frame.path for pair in parts.verification.parity for frame in pair.worst})
    return picture_frames(folder, draft, parts.root, changed, difference)


def _samples(parts: Parts, draft: Manifest) -> Iterator[Sample]:
    """Yield test frames for the report: wrong answers for at most half of them, then right ones, each class in turn.

    Where there are too few right ones, wrong ones take their place.
    """
    count = parts.config.report.sample_frames
    digest = {record.path: record.sha256 for record in parts.index.images}
    ordered = sorted(parts.verification.predictions, key=lambda p: digest[p.path])
    wrong: list[Prediction] = []
    right: list[Prediction] = []
    for prediction in ordered:
        decided = prediction.compiled.index(max(prediction.compiled))
        (right if decided == prediction.label else wrong).append(prediction)
    shown = wrong[: max(count // 2, count - len(right))]
    shown += round_robin(right)[: count - len(shown)]
    for prediction in shown:
        best = max(prediction.compiled)
        yield Sample(
            image=frame_from_file(parts.root / prediction.path, draft.input)[0],
            truth=draft.labels[prediction.label],
            predicted=draft.labels[prediction.compiled.index(best)],
            probability=best,
        )
