"""Everything that the last step of a build makes a bundle of, without a build."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from support import factories
from weckd_edge.artifacts import (
    BuiltModel,
    ChainRecord,
    DatasetIndex,
    ExportedModel,
    FileRef,
    FrameSpec,
    GoldenFrames,
    GoldenSet,
    GoldenTest,
    InputSpec,
    Link,
    LinkSelection,
    Manifest,
    NetworkInput,
    Parity,
    PrecisionSelection,
    Prediction,
    QuantizationTrial,
    QuantizedModel,
    Rate,
)
from weckd_edge.config import BuildConfig, GateConfig, ReportConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace, file_ref
from weckd_edge.devices.gates.gates import merge_limits
from weckd_edge.devices.images.split_frames import SplitFrames, decode_split
from weckd_edge.devices.machine.detect import detect
from weckd_edge.devices.profiles.profile import load_profile
from weckd_edge.metrics import measure_metrics
from weckd_edge.pipeline.context import BuildContext, StepTimes
from weckd_edge.pipeline.steps.gates import apply_gates
from weckd_edge.pipeline.steps.layout import Part, draft_manifest, lay_out
from weckd_edge.pipeline.steps.write_bundle import ReportImages, record_build, write_bundle
from weckd_edge.report import BundleContents
from weckd_edge.report.documents.licences import read_environment

LABELS = ("effusion", "normal", "wax")
INPUT = InputSpec(
    frame=FrameSpec(height=16, width=16, crop="center"),
    network=NetworkInput(height=16, width=16, mean=(0.5,) * 3, std=(0.5,) * 3),
)
RATE = Rate(value=0.9, low=0.8, high=0.95, correct=9, images=10, groups=10)
MEASUREMENT = factories.measurement()
NO_IMAGES = SplitFrames(split="test", records=(), frames=np.zeros((0, 16, 16, 3), np.uint8))
NO_LIMITS = GateConfig(max_latency_p90_ms=1e9, max_memory_mib=1e9, max_accuracy_drop=1.0)


@dataclass(frozen=True)
class Made:
    """A build at its last step: the context, what the bundle will hold, and what the files are copied from."""

    ctx: BuildContext
    contents: BundleContents
    images: ReportImages
    selected: Path
    golden: Path

    @property
    def out(self) -> Path:
        return self.ctx.out

    @property
    def root(self) -> Path:
        return self.ctx.root

    def holding(self, **changes: Any) -> Made:
        return replace(self, contents=replace(self.contents, **changes))

    def built_with(self, **changes: Any) -> Made:
        return replace(self, ctx=replace(self.ctx, **changes))


def assemble(made: Made) -> Manifest:
    return write_bundle(made.ctx, apply_gates(made.ctx, made.contents), made.images).manifest


def answer(label: int) -> tuple[float, ...]:
    return tuple(0.8 if k == label else 0.1 for k in range(3))


def ref(folder: Path, name: str, data: bytes) -> FileRef:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return file_ref(folder, folder / name)


def array(folder: Path, name: str, values: NDArray[Any]) -> FileRef:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / name, values)
    return file_ref(folder, folder / name)


def link(name: str, parent: str | None, share: int) -> Link:
    return factories.link(
        name,
        model="resnet10t",
        input=INPUT,
        labels=LABELS,
        parameters=1000,
        macs=1000,
        weights=FileRef(path="weights.safetensors", sha256=name[-1] * 64, bytes=4000),
        parent=parent,
        labelled_subset=share,
        labels_used=1,
        images_used=2,
        val_accuracy=RATE,
        test_accuracy=RATE,
    )


def make_parts(
    place: Path,
    *,
    decided: str = "000111222",
    truth: str = "000111222",
    target: str = "cpu",
    gates: GateConfig = NO_LIMITS,
    samples: int = 4,
    **config: Any,
) -> Made:
    """Everything a bundle is made of: one test image for each digit, its true label and what was decided."""
    root = place / "images"
    root.mkdir()
    records, predictions = [], []
    for number, (label, given) in enumerate(zip(truth, decided, strict=True)):
        # The file's digest, by which samples are put in order, rises with the number; its path falls.
        path = f"{len(truth) - number:02}.png"
        Image.fromarray(np.full((16, 16, 3), number * 20, np.uint8)).save(root / path)
        sha = f"{number:064}"
        records.append(
            factories.image(path, label=int(label), group=path, sha256=sha, pixels_sha256=sha, width=16, height=16)
        )
        predictions.append(
            Prediction(
                path=path, group=path, label=int(label), fp32=answer((int(label) + 1) % 3), compiled=answer(int(given))
            )
        )
    for number in range(6):
        sha = f"{900 + number:064}"
        records.append(
            factories.image(
                f"train/{number}.png",
                label=number % 3,
                group=f"t{number}",
                split="train",
                labelled_subset=number % 2,
                sha256=sha,
                pixels_sha256=sha,
                width=16,
                height=16,
            )
        )
    onnx = ref(place / "quantize", "model.onnx", b"a graph")
    built = _models(place, target, onnx)
    backend = "openvino" if target == "cpu" else "onnxruntime"
    verification = factories.verification(
        sorted(predictions, key=lambda p: p.path), LABELS, parity=(parity(),), backend=backend
    )
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    expected = array(place / "golden", "expected.npy", np.full((2, 3), 1 / 3, np.float32))
    golden = GoldenSet(
        golden=GoldenFrames(frames=array(place / "golden", "frames.npy", frames), reference=f"{backend} int8 (1)"),
        tests=tuple(
            GoldenTest(backend=name, precision="int8", expected=expected, tolerance=allowed)
            for name, allowed in (("openvino", 0.02), ("onnxruntime", 0.02), ("tensorrt", 0.1))
        ),
    )
    index = DatasetIndex(name="ears", labels=LABELS, images=tuple(sorted(records, key=lambda r: r.path)), synthetic=True)
    report = ReportConfig(sample_frames=samples)
    settings = BuildConfig(gates=gates, report=report, **config)
    profile = load_profile("generic-x86" if target == "cpu" else "jetson-orin-nano-8gb")
    times = StepTimes()
    times.add("data", 1.5, reused=False)
    ctx = BuildContext(
        data=root,
        root=root,
        out=place / "bundle",
        config=settings,
        profile=profile,
        machine=detect(),
        limits=merge_limits(gates, profile.gates),
        on_device=target == "cpu",
        workspace=Workspace(place / "bundle.work"),
        progress=SilentProgress(),
        times=times,
    )
    exported = ExportedModel(
        onnx=onnx,
        opset=17,
        input_name="frame",
        network_input_name="network_input",
        output_name="probabilities",
        input=INPUT,
        labels=LABELS,
        link_sha256="2" * 64,
    )
    selection = _selection(onnx)
    layout = lay_out(Part(selection, place / "quantize"), built, Part(golden, place / "golden"), None)
    return Made(
        ctx=ctx,
        selected=place / "quantize",
        golden=place / "golden",
        images=ReportImages(
            test=decode_split(ctx.workspace, index, "test", root, INPUT.frame, ctx.progress) if samples else NO_IMAGES,
            predicted={},
        ),
        contents=BundleContents(
            manifest=draft_manifest(ctx, layout, exported, selection, None, None, synthetic=True),
            dataset=index,
            chain=ChainRecord(
                links=(link("M1", None, 0), link("M2", "1" * 64, 1)), baseline=None, labels_used=2, deployed="M2"
            ),
            verification=verification,
            measurement=replace(MEASUREMENT, backend=backend),
            build=record_build(ctx, "ears"),
            selection=selection,
            link_selection=LinkSelection(chosen="M2", reason="M2 was asked for"),
            metrics=measure_metrics(verification, index, report),
            environment=read_environment([(f"M{at}", link) for at, link in enumerate(settings.link, start=1)], host="Xeon"),
            files=layout.files,
        ),
    )


def _selection(onnx: FileRef) -> PrecisionSelection:
    return PrecisionSelection(
        trials=(
            QuantizationTrial(name="fp32", precision="fp32", method=None),
            QuantizationTrial(name="int8 mse", precision="int8", method="mse"),
        ),
        chosen="int8 mse",
        reason="int8 mse takes 1 ms where FP32 takes 2 ms",
        images=12,
        timed_on="Xeon",
        precision="int8",
        onnx=onnx,
        quantized=QuantizedModel(
            onnx=onnx,
            method="mse",
            calibration_images=6,
            calibration_sha256="0" * 64,
            quantized_nodes=("conv",),
            float_nodes=(),
            source_sha256="0" * 64,
        ),
    )


def _models(place: Path, target: str, onnx: FileRef) -> tuple[Part[BuiltModel], ...]:
    def model(backend: str, kind: Any, *files: FileRef) -> BuiltModel:
        return BuiltModel(
            backend=backend, backend_version="1", precision="int8", kind=kind, files=files, source_sha256=onnx.sha256
        )

    of_graph = Part(model("onnxruntime", "model", onnx), place / "quantize")
    if target == "cpu":
        folder = place / "openvino-stage"
        files = (ref(folder, "model.xml", b"x" * 100), ref(folder, "model.bin", b"b" * (1 << 20)))
        return (Part(model("openvino", "model", *files), folder), of_graph)
    folder, empty = place / "recipe-stage", place / "rtx-stage"
    return (
        Part(model("tensorrt", "recipe", ref(folder, "recipe.json", b"{}")), folder),
        of_graph,
        Part(model("tensorrt-rtx", "preflight"), empty),
    )


def parity(p95_abs: float = 0.01, tolerance: float | None = 0.1) -> Parity:
    return Parity(
        a="onnxruntime int8 as written",
        b="openvino int8",
        frames=9,
        max_abs=p95_abs,
        p95_abs=p95_abs,
        sqnr_db=30.0,
        flips=0,
        tolerance=tolerance,
        passed=tolerance is None or p95_abs <= tolerance,
    )
