"""The last step: parts are copied, judged, described and sealed as one bundle, or nothing is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import weckd_edge.pipeline.steps.write_bundle as module
from support import factories
from support.errors import raises
from weckd_edge.artifacts import (
    BuiltModel,
    ChainRecord,
    DatasetIndex,
    ExportedModel,
    FileRef,
    FrameSpec,
    Gate,
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
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.config import AbstainConfig, BuildConfig, GateConfig, LinkConfig, ReportConfig
from weckd_edge.core.errors import BundleError, ConfigError, StoreError
from weckd_edge.core.fingerprint import library_versions
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace, check_ref, file_ref, refs_in
from weckd_edge.devices.gates.gates import merge_limits
from weckd_edge.devices.images.split_frames import SplitFrames, decode_split
from weckd_edge.devices.machine.detect import detect
from weckd_edge.devices.profiles.profile import load_profile
from weckd_edge.devices.runtime.golden_arrays import load_expected, load_golden_frames
from weckd_edge.metrics import measure_metrics
from weckd_edge.pipeline.context import BuildContext, StepTimes
from weckd_edge.pipeline.steps.gates import apply_gates
from weckd_edge.pipeline.steps.layout import Part, draft_manifest, lay_out
from weckd_edge.pipeline.steps.sdk import sdk_files
from weckd_edge.pipeline.steps.write_bundle import ReportImages, record_build, write_bundle
from weckd_edge.report import BundleContents, read_contents
from weckd_edge.report.documents.licences import read_environment

pytest.importorskip("jinja2")
pytest.importorskip("cyclonedx")

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


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sample frames that the report is given."""
    found: list[Any] = []
    real = module.write_report

    def watch(contents: BundleContents, out: Path, samples: Any = (), frames: Any = None) -> None:
        found.extend(samples)
        real(contents, out, samples, frames)

    monkeypatch.setattr(module, "write_report", watch)
    return found


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
            manifest=draft_manifest(ctx, layout, exported, selection, None, synthetic=True),
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
            environment=read_environment(settings.link, host="Xeon"),
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


def verdicts(manifest: Manifest) -> dict[str, str]:
    return {gate.name: gate.verdict for gate in manifest.gates}


def test_a_bundle_for_a_processor_holds_each_part_where_it_belongs(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    manifest = assemble(parts)
    found = {p.relative_to(parts.out).as_posix() for p in parts.out.rglob("*") if p.is_file()}
    assert found == {
        *("manifest.json", "model/model.onnx", "model/openvino/model.xml", "model/openvino/model.bin"),
        *("selftest/frames.npy", "selftest/expected.npy", "evidence/report.html", "evidence/model_card.md"),
        *("evidence/sbom.cdx.json", "evidence/measurements.jsonl", "evidence/dataset_index.json"),
        *("evidence/chain.json", "evidence/verification.json", "evidence/build.json", "evidence/precision_selection.json"),
        *("evidence/metrics.json", "evidence/environment.json"),
        *("evidence/link_selection.json", "evidence/confusion_matrix.csv"),
        *(f"sdk/{path.as_posix()}" for path in sdk_files()),
    }
    assert "sdk/include/weckd_edge.h" in {file.path for file in manifest.files}
    assert open_bundle(parts.out).manifest == manifest
    for reference in refs_in(manifest):
        check_ref(parts.out, reference)
    assert (parts.out / manifest.models[0].files[1].path).read_bytes() == b"b" * (1 << 20)
    golden = (tmp_path / "golden/expected.npy").read_bytes()
    assert load_golden_frames(open_bundle(parts.out)).shape == (2, 16, 16, 3)
    for model in manifest.models:
        assert model.expected is not None
        assert (parts.out / model.expected.path).read_bytes() == golden
        assert load_expected(open_bundle(parts.out), model, 2).shape == (2, 3)
    assert (parts.out / manifest.onnx.path).read_bytes() == b"a graph"


def test_a_bundle_for_a_jetson_holds_the_recipe_and_no_file_of_a_preflight(tmp_path: Path) -> None:
    manifest = assemble(make_parts(tmp_path, target="jetson"))
    assert [(m.backend, [f.path for f in m.files]) for m in manifest.models] == [
        ("tensorrt", ["model/tensorrt/recipe.json"]),
        ("onnxruntime", ["model/model.onnx"]),
        ("tensorrt-rtx", []),
    ]
    assert [model.tolerance for model in manifest.models] == [0.1, 0.02, None]
    assert (manifest.target, manifest.device) == ("jetson", "jetson-orin-nano-8gb")


def test_the_manifest_says_what_the_parts_are(tmp_path: Path) -> None:
    manifest = assemble(make_parts(tmp_path, abstain=AbstainConfig(threshold=0.6)))
    assert (manifest.name, manifest.target, manifest.device) == ("bundle", "cpu", "generic-x86")
    assert (manifest.labels, manifest.input) == (LABELS, INPUT)
    assert (manifest.input_name, manifest.network_input_name, manifest.output_name) == (
        *("frame", "network_input", "probabilities"),
    )
    assert manifest.operating_point.confidence_threshold == 0.6
    assert [(model.backend, model.tolerance) for model in manifest.models] == [("openvino", 0.02), ("onnxruntime", 0.02)]
    assert manifest.synthetic is True
    assert manifest.passed is True
    assert manifest.versions == library_versions()


def test_the_evidence_is_what_the_stages_found(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    assemble(parts)
    found, made = read_contents(parts.out, open_bundle(parts.out).manifest), parts.contents
    assert (found.dataset, found.chain, found.verification) == (made.dataset, made.chain, made.verification)
    assert (found.measurement, found.link_measurements) == (made.measurement, made.link_measurements)
    assert (found.build.steps, found.build.data_name) == (parts.ctx.times.taken, "ears")


def test_versions_name_what_is_installed_and_leave_out_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weckd_edge.core.fingerprint.LIBRARIES", ("numpy", "a-library-nobody-has"))
    found = library_versions()
    assert list(found) == ["weckd-edge", "python", "numpy"]
    assert found["numpy"] == np.__version__


def test_paths_of_weights_are_not_written(tmp_path: Path) -> None:
    secret = str(Path("/") / "home" / "somebody" / "clinic")
    links = (
        LinkConfig(model="resnet10t", weights=f"{secret}/large.safetensors"),
        LinkConfig(model="resnet10t"),
    )
    parts = make_parts(tmp_path, link=links)
    assemble(parts)
    config = json.loads(json.loads((parts.out / "evidence/build.json").read_text())["config"])
    assert [entry["weights"] for entry in config["link"]] == ["large.safetensors", None]
    assert parts.ctx.config.link == links, "the settings themselves are as they were"
    for path in parts.out.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
            assert str(tmp_path).encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("bars", "failed"),
    [
        ({"max_latency_p90_ms": 0.5}, "max_latency_p90_ms"),
        ({"max_memory_mib": 50.0}, "max_memory_mib"),
        ({"max_size_mib": 1.0}, "max_size_mib"),
        ({"min_accuracy": 0.95}, "min_accuracy"),
    ],
)
def test_a_failed_gate_makes_a_whole_bundle_that_has_not_passed(tmp_path: Path, bars: dict[str, float], failed: str) -> None:
    parts = make_parts(tmp_path, decided="000111220", gates=replace(NO_LIMITS, **bars))
    manifest = assemble(parts)
    assert manifest.passed is False
    assert [name for name, verdict in verdicts(manifest).items() if verdict == "FAIL"] == [failed]
    assert open_bundle(parts.out).manifest.passed is False


def test_lost_accuracy_fails(tmp_path: Path) -> None:
    parts = make_parts(tmp_path, decided="000111220", gates=replace(NO_LIMITS, max_accuracy_drop=0.05))
    right = [replace(p, fp32=answer(p.label)) for p in parts.contents.verification.predictions]
    manifest = assemble(parts.holding(verification=factories.verification(right, LABELS, parity=(parity(),))))
    assert verdicts(manifest)["max_accuracy_drop"] == "FAIL"
    assert not manifest.passed


def test_implementations_that_differ_fail(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    differing = replace(parts.contents.verification, parity=(parity(0.01), parity(0.3)))
    manifest = assemble(parts.holding(verification=differing))
    assert verdicts(manifest)["parity"] == "FAIL"
    assert not manifest.passed


def test_a_limit_that_cannot_be_evaluated_here_does_not_fail(tmp_path: Path) -> None:
    manifest = assemble(make_parts(tmp_path, target="jetson", gates=replace(NO_LIMITS, max_latency_p90_ms=0.5)))
    assert verdicts(manifest)["max_latency_p90_ms"] == verdicts(manifest)["max_memory_mib"] == "INCONCLUSIVE"
    assert manifest.passed is True


def gate(manifest: Manifest, name: str) -> Gate:
    return next(g for g in manifest.gates if g.name == name)


def test_the_profiles_limits_hold_where_the_build_sets_none(tmp_path: Path) -> None:
    manifest = assemble(make_parts(tmp_path, gates=GateConfig(max_memory_mib=7.0)))
    assert gate(manifest, "max_latency_p90_ms").limit == load_profile("generic-x86").gates.max_latency_p90_ms
    assert gate(manifest, "max_memory_mib").limit == 7.0


def test_size_is_that_of_what_the_device_loads(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    bars = replace(NO_LIMITS, max_size_mib=2.0)
    assert gate(assemble(make_parts(tmp_path / "a", gates=bars)), "max_size_mib").value == ((1 << 20) + 100) / 2**20
    on_jetson = assemble(make_parts(tmp_path / "b", target="jetson", gates=bars))
    assert gate(on_jetson, "max_size_mib").value == len(b"a graph") / 2**20, "the engine is made of the graph alone"


def test_the_bench_of_what_is_deployed_is_evaluated_and_not_that_of_a_link(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    slow = factories.latency([900_000_000] * 64)
    link_bench = replace(MEASUREMENT, link="M1", precision="fp32", end_to_end=slow)
    manifest = assemble(parts.holding(link_measurements=(link_bench,)))
    assert gate(manifest, "max_latency_p90_ms").value == 1.0


def sample_rows(shown: list[Any]) -> list[tuple[int, str, str]]:
    """Number of the image (from its grey), truth and decision of each sample."""
    return [(int(s.image[0, 0, 0]) // 20, s.truth[0], s.predicted[0]) for s in shown]


def test_right_predictions_are_shown_each_class_in_turn(tmp_path: Path, shown: list[Any]) -> None:
    assemble(make_parts(tmp_path, samples=5))
    assert sample_rows(shown) == [(0, "e", "e"), (3, "n", "n"), (6, "w", "w"), (1, "e", "e"), (4, "n", "n")]
    assert [s.probability for s in shown] == [0.8] * 5
    assert shown[0].image.shape == (16, 16, 3)


def test_wrong_predictions_come_first_and_are_at_most_half(tmp_path: Path, shown: list[Any]) -> None:
    assemble(make_parts(tmp_path, truth="000111222", decided="111111200", samples=4))
    assert sample_rows(shown) == [(0, "e", "n"), (1, "e", "n"), (3, "n", "n"), (6, "w", "w")]


def test_of_an_odd_number_right_ones_have_the_larger_half(tmp_path: Path, shown: list[Any]) -> None:
    assemble(make_parts(tmp_path, truth="000111222", decided="111111200", samples=3))
    assert [truth == decided for _, truth, decided in sample_rows(shown)] == [False, True, True]


def test_few_wrong_predictions_leave_their_places_to_right_ones(tmp_path: Path, shown: list[Any]) -> None:
    assemble(make_parts(tmp_path, truth="000111222", decided="000111221", samples=6))
    rows = sample_rows(shown)
    assert len(rows) == 6
    assert rows[0] == (8, "w", "n")
    assert [truth for _, truth, _ in rows[1:]] == ["e", "n", "w", "e", "n"]


def test_where_right_predictions_are_few_wrong_ones_take_their_places(tmp_path: Path, shown: list[Any]) -> None:
    assemble(make_parts(tmp_path, truth="000111222", decided="111222220", samples=6))
    assert sample_rows(shown) == [
        *((0, "e", "n"), (1, "e", "n"), (2, "e", "n"), (3, "n", "w")),
        *((6, "w", "w"), (7, "w", "w")),
    ]


@pytest.mark.parametrize("decided", ["000111222", "111222000"])
def test_more_samples_than_test_images_show_each_once(tmp_path: Path, shown: list[Any], decided: str) -> None:
    assemble(make_parts(tmp_path, decided=decided, samples=200))
    assert sorted(number for number, _, _ in sample_rows(shown)) == list(range(9))


@pytest.mark.parametrize("decided", ["000111222", "111222000", "000111220"])
def test_with_no_samples_no_image_is_read_or_shown(tmp_path: Path, shown: list[Any], decided: str) -> None:
    parts = make_parts(tmp_path, decided=decided, samples=0)
    for path in parts.root.iterdir():
        path.unlink()
    assemble(parts)
    assert shown == []
    assert "data:image" not in (parts.out / "evidence/report.html").read_text()


def lose_a_sample(parts: Made) -> Made:
    images = parts.images.test.take(range(len(parts.images.test) - 1))
    return replace(parts, images=replace(parts.images, test=images))


def break_the_answers(parts: Made) -> Made:
    (parts.golden / "expected.npy").unlink()
    return parts


def change_the_graph_behind_its_digest(parts: Made) -> Made:
    (parts.selected / "model.onnx").write_bytes(b"another")
    return parts


def give_an_unusable_key(parts: Made) -> Made:
    pytest.importorskip("model_signing")
    key = parts.root / "key.pem"
    key.write_text("no key")
    return parts.built_with(key=key)


ERRORS: list[tuple[Callable[[Made], Made], type[Exception]]] = [
    (lose_a_sample, KeyError),
    (break_the_answers, FileNotFoundError),
    (change_the_graph_behind_its_digest, BundleError),
    (give_an_unusable_key, ConfigError),
]


@pytest.mark.parametrize(("spoil", "error"), ERRORS, ids=[spoil.__name__ for spoil, _ in ERRORS])
def test_after_an_error_in_the_middle_nothing_is_left(
    tmp_path: Path, spoil: Callable[[Made], Made], error: type[Exception]
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    parts = spoil(make_parts(place))
    before = {path.name for path in place.iterdir()}
    with pytest.raises(error):
        assemble(parts)
    assert {path.name for path in place.iterdir()} == before
    assert "bundle" not in before


def test_after_an_error_the_bundle_that_stood_there_is_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    parts = make_parts(place)
    first = assemble(parts)
    with pytest.raises(BundleError):
        assemble(change_the_graph_behind_its_digest(parts))
    assert open_bundle(parts.out).manifest == first
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


def test_a_new_bundle_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    parts = make_parts(place)
    assemble(parts)
    (parts.out / "device").mkdir()
    (parts.out / "device/engine").write_bytes(b"of the old graph")
    (parts.golden / "frames.npy").write_bytes(b"others")
    draft = parts.contents.manifest
    frames = replace(file_ref(parts.golden, parts.golden / "frames.npy"), path=draft.selftest.frames.path)
    manifest = assemble(parts.holding(manifest=replace(draft, selftest=replace(draft.selftest, frames=frames))))
    assert open_bundle(parts.out).manifest == manifest
    assert (parts.out / "selftest/frames.npy").read_bytes() == b"others"
    assert not (parts.out / "device").exists()


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    parts = make_parts(tmp_path).built_with(out=tmp_path / "file/bundle")
    with raises(StoreError, "E_STORE_UNWRITABLE"):
        assemble(parts)


def test_with_a_key_the_bundle_is_signed_with_it(tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (tmp_path / "key.pub").write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    parts = make_parts(tmp_path).built_with(key=tmp_path / "key.pem")
    assemble(parts)
    assert open_bundle(parts.out, key=tmp_path / "key.pub").signature == "valid"


def test_without_a_key_it_is_unsigned(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    assemble(parts)
    assert open_bundle(parts.out).signature == "unsigned"


def test_the_same_parts_give_the_same_bytes(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    parts = make_parts(place)

    def written() -> dict[str, bytes]:
        assemble(parts)
        return {p.relative_to(parts.out).as_posix(): p.read_bytes() for p in parts.out.rglob("*") if p.is_file()}

    first, again = written(), written()
    assert [name for name in first if first[name] != again[name]] == []
