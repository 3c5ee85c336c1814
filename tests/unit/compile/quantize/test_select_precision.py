"""Which precision ships, on small networks: made, judged, timed, chosen, and the reason given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support import factories
from support.errors import raises
from weckd_edge.artifacts import (
    DatasetIndex,
    ExportedModel,
    FileRef,
    FrameSpec,
    InputSpec,
    NetworkInput,
    PrecisionSelection,
    Rate,
)
from weckd_edge.compile.backends import openvino_backend, tensorrt_rtx_backend
from weckd_edge.compile.quantize import select_precision
from weckd_edge.compile.quantize.calibration_images import CalibrationImages, calibration_inputs
from weckd_edge.compile.quantize.candidates import make as making
from weckd_edge.compile.quantize.candidates import prove
from weckd_edge.compile.quantize.candidates.base import Deployment, FloatNetwork
from weckd_edge.compile.quantize.candidates.evaluate import Evaluation
from weckd_edge.compile.quantize.candidates.refused_nodes import MAX_TRIES
from weckd_edge.compile.quantize.candidates.sensitivity import divergence, quantized_nodes, rank_layers
from weckd_edge.compile.quantize.forms import PROCESSOR, Form
from weckd_edge.compile.quantize.mixed_precision import leave_float
from weckd_edge.compile.quantize.qdq_nodes import store_int8_weights
from weckd_edge.compile.quantize.quantize import Calibration, calibrate, quantize, write_quantized
from weckd_edge.compile.quantize.ranges import METHODS, with_outputs
from weckd_edge.compile.quantize.select_precision import Selector
from weckd_edge.compile.verify.implementations import predict_frames
from weckd_edge.config import QuantizeConfig
from weckd_edge.core.errors import DataError, ModelError
from weckd_edge.core.optional_imports import is_installed
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace, check_ref
from weckd_edge.devices.bench.interleaved import InterleavedTiming
from weckd_edge.devices.images.split_frames import SplitFrames, decode_split
from weckd_edge.devices.runtime import frame_runner

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

SILENT = SilentProgress()
PLAIN = QuantizeConfig(images=8, nncf=False)
LOOSE = {"max_accuracy_drop": 1.0, "min_relative_accuracy": 0.0, "max_recall_drop": 1.0}


RATE = Rate(value=0.5, low=0.4, high=0.6, correct=5, images=10, groups=10)
LINK = factories.link(
    "M3-int8",
    model="toy",
    input=InputSpec(
        frame=FrameSpec(height=8, width=8, crop="center"),
        network=NetworkInput(height=8, width=8, mean=(0.0,) * 3, std=(1.0,) * 3),
    ),
    labels=("a", "b"),
    parameters=1,
    macs=1,
    weights=FileRef(path="weights.safetensors", sha256="0" * 64, bytes=1),
    labels_used=1,
    images_used=1,
    val_accuracy=RATE,
    test_accuracy=RATE,
)


HARD_LABEL = 2


class Times:
    """Says how long each model takes, in the order they are timed, in place of a race; by default all take as long."""

    def __init__(self) -> None:
        self.milliseconds: tuple[float, ...] | None = None

    def __call__(self, *milliseconds: float) -> None:
        self.milliseconds = milliseconds

    def time_models(self, runners: Sequence[Any], frames: Any) -> list[InterleavedTiming]:
        times = self.milliseconds or (2.0,) * len(runners)
        assert len(runners) == len(times)
        ratios = [ms / times[0] for ms in times]
        return [
            InterleavedTiming(median_ns=int(ms * 1e6), relative=r, low=r, high=r)
            for ms, r in zip(times, ratios, strict=True)
        ]


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("select")


@pytest.fixture(scope="module")
def index(networks: ModuleType, place: Path) -> DatasetIndex:
    """Half of the training images as validation images."""
    made: DatasetIndex = networks.write_images(place / "images")
    train = [r.path for r in made.images if r.split == "train"]
    images = tuple(replace(r, split="val") if r.path in train[::2] else r for r in made.images)
    return replace(made, images=images)


@pytest.fixture(scope="module")
def exported(networks: ModuleType, place: Path) -> ExportedModel:
    made: ExportedModel = networks.export(networks.inverted(), place / "fp32")
    return made


@pytest.fixture(scope="module")
def calibration(exported: ExportedModel, index: DatasetIndex, place: Path) -> Calibration:
    return calibrate(exported, place / "fp32", index, place / "images", PLAIN, seed=0, progress=SILENT)


@pytest.fixture(scope="module")
def hard(
    networks: ModuleType, exported: ExportedModel, index: DatasetIndex, calibration: Calibration, place: Path
) -> DatasetIndex:
    """Validation images that FP32 decides as they are labelled, and int8, whatever its ranges, otherwise."""
    drawn = networks.frames(1500, exported.input, seed=11)
    fp32 = answers(onnx.load(place / "fp32" / exported.onnx.path), drawn[:, None]).argmax(axis=1)
    lost = fp32 == HARD_LABEL
    for method in METHODS:
        int8 = quantize(calibration, method, PROCESSOR, reduce_range=False, progress=SILENT)
        lost &= answers(int8, drawn[:, None]).argmax(axis=1) != fp32
    assert lost.sum() >= 3, "draw more frames"
    images = [record for record in index.images if record.split != "val"]
    for number in np.flatnonzero(lost):
        path = f"hard/{number:04}.png"
        (place / "images/hard").mkdir(exist_ok=True)
        Image.fromarray(drawn[number]).save(place / "images" / path)
        images.append(factories.image(path, label=HARD_LABEL, split="val"))
    return replace(index, images=tuple(sorted(images, key=lambda record: record.path)))


def validation(index: DatasetIndex, place: Path, exported: ExportedModel) -> SplitFrames:
    """Decode the validation images, or find them decoded."""
    return decode_split(Workspace(place / "work"), index, "val", place / "images", exported.input.frame, SILENT)


@pytest.fixture(autouse=True)
def litert(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether LiteRT is on the host; it is not, until a test asks for it."""

    def put(there: bool) -> None:
        known = {"ai_edge_litert": there}
        monkeypatch.setattr(select_precision, "is_installed", lambda name: known.get(name, is_installed(name)))

    put(False)
    return put


@pytest.fixture
def selector(
    exported: ExportedModel, index: DatasetIndex, place: Path, tmp_path: Path, times: Times
) -> Callable[..., Selector]:
    def make(
        target: str = "cpu", data: DatasetIndex = index, network: FloatNetwork | None = None, **settings: Any
    ) -> Selector:
        folder = tmp_path / "out"
        folder.mkdir()
        return Selector(
            network or FloatNetwork(exported=exported, folder=place / "fp32"),
            CalibrationImages(index=index, root=place / "images", seed=0),
            Evaluation(
                images=validation(data, place, network.exported if network else exported),
                labels=exported.labels,
                predict=predict_frames,
                time_models=times.time_models,
            ),
            replace(PLAIN, **settings),
            Deployment(target=target, host="here", threads=1),  # type: ignore[arg-type]  # a test's own parameter
            folder,
            SILENT,
        )

    return make


def as_written() -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def answers(model: Any, frames: Sequence[Any]) -> Any:
    session = ort.InferenceSession(model.SerializeToString(), as_written(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"frame": frame})[0] for frame in frames])


def some_frames(exported: ExportedModel, count: int = 12) -> list[Any]:
    random = np.random.default_rng(5)
    shape = (1, exported.input.frame.height, exported.input.frame.width, 3)
    return [random.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)]


def test_the_fastest_within_the_limits_is_deployed_with_its_files_and_a_reason(
    selector: Callable[..., Selector], times: Times
) -> None:
    times(2.0, 1.0, 2.0, 2.5, 1.5)
    search = selector(**LOOSE)
    found = search.run()
    assert found.precision == "int8"
    assert found.chosen.startswith("int8 ")
    assert "1.00 ms where FP32 takes 2.00 ms" in found.reason
    assert [t.name for t in found.trials] == [
        "fp32",
        "fp16",
        *(f"int8 {m}" for m in METHODS),
        "fp32 in ONNX Runtime",
        f"{found.chosen} in ONNX Runtime",
        "fp16, computed in float16",
    ]
    for ref in (found.onnx, *(ref for model in found.models for ref in model.files)):
        check_ref(search.folder, ref)
    assert sorted(p.name for p in search.folder.iterdir()) == ["float.onnx", "model.bin", "model.onnx", "model.xml"]


def test_every_backend_gets_the_precisions_that_keep_the_limits_in_the_order_of_their_times(
    selector: Callable[..., Selector], times: Times
) -> None:
    times(2.0, 1.0, 2.0, 2.5, 3.5)
    found = selector(**LOOSE).run()
    assert [(m.name, [ref.path for ref in m.files]) for m in found.models] == [
        ("openvino int8", ["model.xml", "model.bin"]),
        ("openvino fp32", ["float.onnx"]),
        ("onnxruntime fp32", ["float.onnx"]),
        ("onnxruntime int8", ["model.onnx"]),
        ("openvino fp16", ["float.onnx"]),
    ]
    assert found.backends == (
        "OpenVINO takes 1.00 ms in int8 and 2.00 ms in FP32: int8 comes first",
        "ONNX Runtime takes 3.50 ms in int8 and 2.50 ms in FP32: int8 does not pay here, and FP32 comes before it",
    )


def test_litert_int8_is_offered_to_devices_and_never_deployed(
    selector: Callable[..., Selector],
    times: Times,
    litert: Callable[[bool], None],
    networks: ModuleType,
    tmp_path: Path,
) -> None:
    pytest.importorskip("ai_edge_litert")
    litert(True)
    times(2.0, 1.0, 2.0, 2.5, 1.5, 0.5)
    takes_pixels = networks.export(networks.inverted(), tmp_path / "area", networks.contract(resize="area"))
    search = selector(network=FloatNetwork(exported=takes_pixels, folder=tmp_path / "area"), **LOOSE)
    found = search.run()
    assert found.chosen.startswith("int8 ")
    assert [(m.name, [ref.path for ref in m.files]) for m in found.models] == [
        ("openvino int8", ["model.xml", "model.bin"]),
        ("litert int8", ["int8.tflite"]),  # half as long as what is deployed
        ("onnxruntime int8", ["model.onnx"]),
        ("openvino fp32", ["float.onnx"]),
        ("onnxruntime fp32", ["float.onnx"]),
        ("openvino fp16", ["float.onnx"]),
    ]
    model = found.models[1]
    check_ref(search.folder, model.files[0])
    assert model.source_sha256 == found.onnx.sha256
    assert model.int8_layers is not None
    assert model.layers == model.int8_layers + 1, "the last layer's logits stay in floating point"
    assert f"{found.chosen} in LiteRT" in [trial.name for trial in found.trials]


def test_a_graph_that_litert_cannot_hold_is_a_row_with_the_reason(
    selector: Callable[..., Selector], times: Times, litert: Callable[[bool], None]
) -> None:
    pytest.importorskip("ai_edge_litert")
    litert(True)  # the graph resizes the frame itself
    times(2.0, 1.0, 2.0, 2.5, 1.5)
    found = selector(**LOOSE).run()
    (row,) = [trial for trial in found.trials if trial.backend == "litert"]
    assert row.note.startswith("cannot be built: node '")
    assert row.accuracy is None
    assert "litert" not in {model.backend for model in found.models}


def test_the_fastest_is_deployed_whoever_runs_it(selector: Callable[..., Selector], times: Times) -> None:
    times(2.0, 1.5, 2.0, 1.0, 1.2)
    found = selector(**LOOSE).run()
    assert (found.chosen, found.models[0].name) == ("fp32 in ONNX Runtime", "onnxruntime fp32")
    assert found.quantized is None
    assert {ref.path for ref in found.models[0].files} == {found.onnx.path}
    small = next(model for model in found.models if model.name == "onnxruntime int8")
    assert [ref.path for ref in small.files] == ["int8.onnx"]
    ir = next(model for model in found.models if model.name == "openvino int8")
    assert [ref.path for ref in ir.files] == ["int8.xml", "int8.bin"]
    assert ir.source_sha256 == small.source_sha256, "one int8 graph serves both"


def test_of_two_as_fast_openvinos_is_deployed(selector: Callable[..., Selector], times: Times) -> None:
    times(2.0, 1.0, 2.0, 2.0, 0.99)
    assert selector(**LOOSE).run().models[0].name == "openvino int8"


def test_where_int8_is_slower_float_is_deployed_and_says_so(selector: Callable[..., Selector], times: Times) -> None:
    times(5.6, 7.1, 5.6, 5.7, 7.2)
    found = selector(**LOOSE).run()
    assert found.precision in ("fp16", "fp32"), "as fast as each other; of this size there is little between them"
    assert "int8 is slower here: 7.10 ms against 5.60 ms" in found.reason


def test_an_int8_that_costs_too_much_is_not_deployed(selector: Callable[..., Selector], hard: DatasetIndex) -> None:
    found = selector(data=hard).run()
    whole = [t for t in found.trials if t.method in METHODS and not t.float_nodes]
    assert len(whole) == len(METHODS)
    assert not any(t.within_limits for t in whole)
    assert all(t.note.startswith("loses ") for t in whole)
    assert found.chosen not in {t.name for t in whole}
    mixed = [t for t in found.trials if t.float_nodes and t.backend == "openvino"]
    assert [len(t.float_nodes) for t in mixed] == [1, 2, 4, 8][: len(mixed)]
    assert mixed, "layers were left in float to save it"
    assert not any(t.within_limits for t in mixed[:-1]), "it ends with the first that holds the bars"
    within = {t.name for t in found.trials if t.within_limits}
    assert set(found.listed) <= within, "what costs too much is not in the bundle"


@pytest.mark.parametrize(
    ("precision", "trials"),
    [("fp32", ["fp32", "fp32 in ONNX Runtime"]), ("fp16", ["fp32", "fp16", "fp32 in ONNX Runtime"])],
)
def test_a_precision_that_was_asked_for_is_deployed(
    selector: Callable[..., Selector], times: Times, precision: str, trials: list[str]
) -> None:
    times(*[2.0] * len(trials))
    found = selector(precision=precision).run()
    assert found.precision == precision
    assert [t.name for t in found.trials] == trials
    assert found.reason.startswith(f"{precision} was asked for")
    assert found.models[0].precision == precision
    assert {ref.path for model in found.models for ref in model.files} == {"model.xml", "model.bin", "model.onnx"}


def test_int8_that_was_asked_for_is_listed_without_the_graph_in_floating_point(
    selector: Callable[..., Selector], times: Times
) -> None:
    times(2.0, 3.0, 4.0)
    found = selector(precision="int8", **LOOSE).run()
    assert [model.name for model in found.models] == ["openvino int8", "onnxruntime int8"]
    assert {ref.path for model in found.models for ref in model.files} == {"model.xml", "model.bin", "model.onnx"}


def test_for_a_jetson_the_graph_is_evaluated_and_not_timed(selector: Callable[..., Selector]) -> None:
    found = selector("jetson", **LOOSE).run()
    assert found.timed_on is None
    assert found.models == found.listed == ()
    assert found.precision == "int8"
    assert "not timed" in found.reason
    chosen = next(t for t in found.trials if t.name == found.chosen)
    whole = [t for t in found.trials if t.method is not None]
    assert chosen.divergence == min(t.divergence for t in whole if t.divergence is not None and t.within_limits)


def test_a_network_trained_for_int8_is_tried_where_int8_breaks_a_limit(
    selector: Callable[..., Selector],
    networks: ModuleType,
    exported: ExportedModel,
    hard: DatasetIndex,
    place: Path,
    times: Times,
) -> None:
    asked: list[str] = []

    def aware() -> Any:
        asked.append("aware")
        network = networks.inverted()
        with torch.no_grad():
            network.head.bias[HARD_LABEL] += 20  # so sure that no rounding changes its decisions
        return FloatNetwork(exported=networks.export(network, place / "aware"), folder=place / "aware", int8_link=LINK)

    search = selector(data=hard, network=FloatNetwork(exported=exported, folder=place / "fp32", train_for_int8=aware))
    times(2.0, 1.0, 2.0, 2.5, 1.5)
    found = search.run()
    assert asked == ["aware"]
    assert found.chosen.endswith(", trained for it")
    assert found.quantize_aware_link == LINK
    assert not [t for t in found.trials if t.float_nodes], "no layer need be left in float"


@pytest.mark.parametrize(("when", "asked"), [("never", 0), ("when-needed", 0), ("always", 1)])
def test_where_int8_keeps_to_the_limits_it_is_trained_for_only_when_that_is_asked(
    selector: Callable[..., Selector],
    exported: ExportedModel,
    place: Path,
    times: Times,
    when: str,
    asked: int,
) -> None:
    calls: list[int] = []

    def aware() -> Any:
        calls.append(1)
        return FloatNetwork(exported=exported, folder=place / "fp32", int8_link=LINK)

    network = FloatNetwork(exported=exported, folder=place / "fp32", train_for_int8=aware)
    search = selector(network=network, qat=when, **LOOSE)
    times(2.0, 1.0, 2.0, 2.5, 1.5)
    search.run()
    assert len(calls) == asked


def test_nncf_is_a_candidate_for_processors(selector: Callable[..., Selector], times: Times) -> None:
    pytest.importorskip("nncf")
    times(3.0, 2.0, 3.0, 1.0, 3.5, 2.5)
    search = selector(nncf=True, **LOOSE)
    found: PrecisionSelection = search.run()
    assert found.chosen == "int8 nncf"
    assert found.quantized is None
    assert found.onnx.sha256 == search.network.exported.onnx.sha256, "its source is the graph in FP32"
    own = next(model for model in found.models if model.name == "onnxruntime int8")
    assert [ref.path for ref in own.files] == ["int8.onnx"], "NNCF's IR is OpenVINO's alone"
    assert [model.name for model in found.models].count("openvino int8") == 1


def test_without_validation_images_nothing_is_chosen(
    exported: ExportedModel, index: DatasetIndex, place: Path, tmp_path: Path
) -> None:
    bare = replace(index, images=tuple(r for r in index.images if r.split != "val"))
    with raises(DataError, "E_DATA_NO_IMAGES"):
        Selector(
            FloatNetwork(exported=exported, folder=place / "fp32"),
            CalibrationImages(index=bare, root=place / "images", seed=0),
            Evaluation(images=validation(bare, place, exported), labels=exported.labels, predict=predict_frames),
            PLAIN,
            Deployment(target="cpu", host="here", threads=1),
            tmp_path,
            SILENT,
        )


def test_an_int8_that_cannot_be_made_is_reported_and_the_rest_goes_on(
    selector: Callable[..., Selector], times: Times, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ModelError("an operator nobody knows", code="E_MODEL_GRAPH")

    monkeypatch.setattr(making, "quantize", refuse)
    times(2.0, 2.0, 2.0)
    found = selector().run()
    assert "int8 an operator nobody knows" in found.reason
    assert not [model for model in found.models if model.precision == "int8"]


def test_asked_for_alone_such_an_int8_stops_the_build(
    selector: Callable[..., Selector], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ModelError("an operator nobody knows", code="E_MODEL_GRAPH")

    monkeypatch.setattr(making, "quantize", refuse)
    with raises(ModelError, "E_MODEL_PRECISION", says="nobody knows"):
        selector(precision="int8").run()


def test_biases_take_back_what_rounding_shifts(calibration: Calibration) -> None:
    model = quantize(calibration, "minmax", PROCESSOR, progress=SILENT)
    plain = {t.name: onnx.numpy_helper.to_array(t) for t in calibration.graph.graph.initializer}
    uncorrected = type(model)()
    uncorrected.CopyFrom(model)
    changed = set()
    for tensor in uncorrected.graph.initializer:
        if tensor.name in plain and not np.array_equal(plain[tensor.name], onnx.numpy_helper.to_array(tensor)):
            changed.add(tensor.name)
            tensor.CopyFrom(onnx.numpy_helper.from_array(plain[tensor.name], tensor.name))
    kernels = {n.name: [a.ints for a in n.attribute if a.name == "kernel_shape"] for n in model.graph.node}
    # Without a border, which the correction leaves out of account, it is exact.
    layers = [
        n
        for n in model.graph.node
        if n.op_type in ("Conv", "Gemm") and n.input[2] in changed and kernels[n.name] in ([], [[1, 1]])
    ]
    assert len(layers) >= 3
    frames = list(calibration_inputs(calibration.root, calibration.chosen, calibration.spec))

    def mean(graph: Any, layer: Any) -> Any:
        alone = leave_float(graph, quantized_nodes(graph.graph) - {layer.name}, calibration.graph)
        watched = with_outputs(alone, [layer.output[0]]).SerializeToString()
        session = ort.InferenceSession(watched, as_written(), providers=["CPUExecutionProvider"])
        values = np.concatenate([session.run([layer.output[0]], {"frame": frame})[0] for frame in frames])
        return values.mean(axis=(0, *range(2, values.ndim)))

    bare = leave_float(uncorrected, quantized_nodes(uncorrected.graph), calibration.graph)
    wanted = [mean(bare, layer) for layer in layers]
    for layer, want in zip(layers, wanted, strict=True):
        np.testing.assert_allclose(mean(model, layer), want, atol=1e-4)
    shifts = [np.abs(mean(uncorrected, layer) - want).max() for layer, want in zip(layers, wanted, strict=True)]
    assert max(shifts) > 1e-3


def test_int8_weights_alone_predict_as_their_pairs_do(calibration: Calibration, exported: ExportedModel) -> None:
    model = quantize(calibration, "mse", PROCESSOR, progress=SILENT)
    small = type(model)()
    small.CopyFrom(model)
    store_int8_weights(small)
    frames = some_frames(exported)
    assert np.array_equal(answers(model, frames), answers(small, frames))
    assert small.ByteSize() < model.ByteSize()


def test_layers_left_in_float_read_no_pair_and_the_last_one_leaves_the_fp32_graph(
    calibration: Calibration, exported: ExportedModel
) -> None:
    model = quantize(calibration, "mse", PROCESSOR, progress=SILENT)
    before = quantized_nodes(model.graph)
    one = min(before)
    assert quantized_nodes(leave_float(model, {one}, calibration.graph).graph) == before - {one}
    bare = leave_float(model, before, calibration.graph)
    assert quantized_nodes(bare.graph) == set()
    assert not [n for n in bare.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]


def test_layers_are_ranked_by_what_each_alone_does_to_the_predictions(
    calibration: Calibration, exported: ExportedModel
) -> None:
    model = quantize(calibration, "mse", PROCESSOR, progress=SILENT)
    frames = some_frames(exported)
    ranked = rank_layers(model, calibration.graph, "frame", frames, SILENT)
    assert [s.divergence for s in ranked] == sorted((s.divergence for s in ranked), reverse=True)
    worst = ranked[0].node
    alone = leave_float(model, quantized_nodes(model.graph) - {worst}, calibration.graph)
    again = divergence(answers(calibration.graph, frames), answers(alone, frames))
    assert ranked[0].divergence == pytest.approx(again, rel=1e-3, abs=1e-9)


def blame(operator: str, message: str) -> Callable[[Path], None]:
    """A backend that refuses a graph in which an operator of a kind reads int8, and names it."""

    def build(onnx_file: Path, *_: Any) -> None:
        graph = onnx.load(onnx_file).graph
        made_by = {output: node for node in graph.node for output in node.output}
        for node in graph.node:
            if node.op_type == operator and made_by[node.input[0]].op_type == "DequantizeLinear":
                raise ModelError(message.format(node.name), code="E_MODEL_GRAPH")

    return build


@pytest.mark.parametrize("message", ["no implementation of {}", "out of range"], ids=["named", "unnamed"])
def test_what_a_backend_refuses_stays_in_float_and_the_rest_is_int8(
    selector: Callable[..., Selector], times: Times, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    times(2.0, 1.0, 2.0, 2.5, 1.5)
    real, refuse = openvino_backend.build_ir, blame("Add", message)

    def build(onnx_file: Path, precision: str, folder: Path) -> Any:
        refuse(onnx_file)
        return real(onnx_file, precision, folder)

    monkeypatch.setattr(openvino_backend, "build_ir", build)
    found = selector(**LOOSE).run()
    chosen = next(t for t in found.trials if t.name == found.chosen)
    assert found.precision == "int8"
    assert chosen.unsupported_nodes
    assert found.quantized is not None
    assert not set(chosen.unsupported_nodes) & set(found.quantized.quantized_nodes)
    assert len(found.quantized.quantized_nodes) > 4
    refusals = [t for t in found.trials if t.note.startswith("cannot be built")]
    assert refusals
    assert all(t.accuracy is None for t in refusals)
    assert len(refusals) <= MAX_TRIES


def test_a_form_that_fails_while_it_predicts_is_a_row_and_the_others_go_on(
    selector: Callable[..., Selector], times: Times, monkeypatch: pytest.MonkeyPatch
) -> None:
    times(2.0, 1.0, 2.5, 1.5)
    real = frame_runner.open_runner

    class Failing:
        name, version = "openvino", "1"

        def __init__(self, shape: tuple[int, ...]) -> None:
            self.input_shape = shape

        def run(self, _: Any) -> Any:
            raise RuntimeError("primitive not found")

        def close(self) -> None:
            pass

    def opened(backend: str, model: Path, **settings: Any) -> Any:
        found = real(backend, model, **settings)
        return Failing(found.input_shape) if model.parent.name == "trial-1" else found

    monkeypatch.setattr(frame_runner, "open_runner", opened)
    found = selector(**LOOSE).run()
    notes = {t.name: t.note for t in found.trials}
    assert notes["fp16"] == "cannot predict: primitive not found"
    assert found.precision == "int8"


def test_where_fp32_itself_cannot_be_built_the_reason_is_the_error(
    selector: Callable[..., Selector], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise ModelError("an operator nobody knows", code="E_MODEL_GRAPH")

    monkeypatch.setattr(openvino_backend, "build_ir", refuse)
    with raises(ModelError, "E_MODEL_PRECISION", says="nobody knows"):
        selector().run()


@pytest.mark.parametrize(("refused", "ships"), [("Add", "int8"), ("Conv", "fp16"), ("everything but fp32", "fp32")])
def test_for_a_jetson_what_its_builder_refuses_stays_in_float_or_the_next_form_is_deployed(
    selector: Callable[..., Selector], monkeypatch: pytest.MonkeyPatch, refused: str, ships: str
) -> None:
    seen: list[str] = []

    def preflight(graph: Path, _: Path) -> None:
        seen.append(graph.name)
        model = onnx.load(graph)
        if refused == "Add":
            blame("Add", "cannot build {}")(graph)
        elif any(n.op_type == "QuantizeLinear" for n in model.graph.node):
            raise ModelError("cannot build it", code="E_MODEL_GRAPH")
        elif refused != "Conv" and any(t.data_type == onnx.TensorProto.FLOAT16 for t in model.graph.initializer):
            raise ModelError("cannot build it in FP16", code="E_MODEL_GRAPH")

    monkeypatch.setattr(prove, "is_installed", lambda _: True)
    monkeypatch.setattr(tensorrt_rtx_backend, "preflight", preflight)
    search = selector("jetson", **LOOSE, method="minmax")
    found = search.run()
    assert found.precision == ships
    assert "half.onnx" in seen
    notes = [t for t in found.trials if t.note.startswith("cannot be built")]
    assert notes
    assert not any(t.within_limits for t in notes)
    chosen = next(t for t in found.trials if t.name == found.chosen)
    assert bool(chosen.unsupported_nodes) == (refused == "Add")
    if ships != "int8":
        assert "int8 cannot be built" in found.reason


def test_where_no_layer_may_stay_in_float_an_int8_that_costs_too_much_leaves_floating_point(
    selector: Callable[..., Selector], hard: DatasetIndex
) -> None:
    found = selector(data=hard, max_float_layers=0).run()
    assert found.precision in ("fp16", "fp32")
    assert "int8 loses " in found.reason
    assert not [t for t in found.trials if t.float_nodes]


@pytest.fixture
def int8_of_a_user(calibration: Calibration, exported: ExportedModel, tmp_path: Path) -> FloatNetwork:
    """An int8 graph that stands for a user's own."""
    folder = tmp_path / "imported"
    folder.mkdir()
    model = quantize(calibration, "minmax", Form(name="tensorrt", open_sums=False), progress=SILENT)
    made = write_quantized(calibration, model, "minmax", small=True, folder=folder)
    return FloatNetwork(exported=replace(exported, onnx=made.onnx, quantized=True), folder=folder)


@pytest.mark.parametrize("target", ["cpu", "jetson"])
def test_int8_of_a_users_own_is_taken_as_it_is_and_nothing_else_is_tried(
    selector: Callable[..., Selector],
    int8_of_a_user: FloatNetwork,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
) -> None:
    search = selector(target, network=int8_of_a_user, precision="fp16")
    monkeypatch.setattr(making, "calibrate", lambda *_, **__: pytest.fail("nothing is to be calibrated"))
    monkeypatch.setattr(tensorrt_rtx_backend, "preflight", lambda *_: None)
    found = search.run()
    (trial,) = found.trials
    assert (trial.name, trial.precision, trial.method, found.precision) == ("int8 as imported", "int8", "imported", "int8")
    assert (trial.net_lost, trial.divergence) == (None, None), "there is no FP32 to compare with"
    assert trial.accuracy is not None
    assert "quantized already" in found.reason
    assert found.quantized is not None
    assert (found.quantized.method, found.quantized.calibration_images, found.quantized.calibration_sha256) == (
        "imported",
        0,
        "",
    )
    frames = some_frames(int8_of_a_user.exported)
    shipped, own = onnx.load(search.folder / "model.onnx"), onnx.load(int8_of_a_user.onnx)
    assert np.array_equal(answers(shipped, frames), answers(own, frames))
    pairs = [n for n in shipped.graph.node if n.op_type == "QuantizeLinear"]
    weights = {t.name for t in shipped.graph.initializer if len(t.dims) == 4}
    assert bool({n.input[0] for n in pairs} & weights) == (target == "jetson"), "TensorRT before 10 reads pairs alone"


def test_int8_of_a_users_own_that_the_device_cannot_build_is_refused(
    selector: Callable[..., Selector], int8_of_a_user: FloatNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise ModelError("node 'sum' has no implementation", code="E_MODEL_GRAPH")

    search = selector("jetson", network=int8_of_a_user)
    monkeypatch.setattr(prove, "is_installed", lambda _: True)
    monkeypatch.setattr(tensorrt_rtx_backend, "preflight", refuse)
    with raises(ModelError, "E_MODEL_QUANTIZED", says="'sum'"):
        search.run()
