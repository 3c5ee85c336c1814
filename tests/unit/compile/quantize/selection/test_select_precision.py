"""Which precision ships, on small networks: made, judged, timed, chosen, and the reason given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from support import factories
from support.errors import raises
from support.graphs.precision_search import HARD_LABEL, LOOSE, PLAIN, SILENT, Times, validation
from support.machines.int8 import needs_exact_int8
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
from weckd_edge.compile.quantize.calibration_images import CalibrationImages
from weckd_edge.compile.quantize.candidates.base import Deployment, FloatNetwork
from weckd_edge.compile.quantize.candidates.evaluate import Evaluation
from weckd_edge.compile.quantize.ranges import METHODS
from weckd_edge.compile.quantize.select_precision import Selector
from weckd_edge.compile.verify.implementations import predict_frames
from weckd_edge.core.errors import DataError
from weckd_edge.core.store import check_ref

pytest.importorskip("openvino")
torch = pytest.importorskip("torch")

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


@needs_exact_int8
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


@needs_exact_int8
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


class StandInMaker:
    """Makes int8 candidates that all break a limit, but for mixed ones with enough layers in floating point."""

    def __init__(self, divergences: dict[str, float], layers: int, needed: int) -> None:
        self.divergences, self.layers, self.needed = divergences, layers, needed
        self.made: list[Any] = []
        self.tried: list[tuple[str, int]] = []

    def add_ranges(self, network: FloatNetwork) -> None:
        name = "trained" if network.int8_link else "plain"
        self._add(name, self.divergences[name], ())

    def add_int8(self, whole: str, left: tuple[str, ...]) -> Any:
        self.tried.append((whole, len(left)))
        return self._add(whole, 0.0, left)

    def _add(self, name: str, divergence: float, left: tuple[str, ...]) -> Any:
        trial = SimpleNamespace(
            precision="int8",
            method="mse",
            float_nodes=left,
            divergence=divergence,
            within_limits=bool(left) and len(left) >= self.needed,
        )
        self.made.append(SimpleNamespace(trial=trial, probabilities=(), whole=name))
        return self.made[-1]

    def find(self, trial: Any) -> Any:
        return next(candidate for candidate in self.made if candidate.trial is trial)

    def rank_layers(self, _: Any) -> list[str]:
        return [f"layer {number}" for number in range(self.layers)]


@pytest.mark.parametrize(
    ("most", "layers", "needed", "tried"),
    [
        (6, 50, 99, [1, 2, 4, 6]),
        (7, 50, 99, [1, 2, 4, 7]),
        (8, 50, 99, [1, 2, 4, 8]),
        (1, 50, 99, [1]),
        (0, 50, 99, []),
        (8, 4, 99, [1, 2, 3]),
        (8, 1, 99, []),
        (6, 50, 2, [1, 2]),
        (6, 50, 5, [1, 2, 4, 6]),
    ],
)
def test_as_many_layers_stay_in_float_as_the_setting_allows(
    selector: Callable[..., Selector], most: int, layers: int, needed: int, tried: list[int]
) -> None:
    search: Any = selector(max_float_layers=most)
    search.maker = StandInMaker({"plain": 0.5}, layers, needed)
    search._score = lambda _: None
    search._add_int8()
    assert search.maker.tried == [("plain", count) for count in tried]


@pytest.mark.parametrize(("trained", "mixed"), [(0.1, "trained"), (0.9, "plain")])
def test_layers_stay_in_float_of_the_int8_that_is_closest_once_it_was_trained_for(
    selector: Callable[..., Selector], exported: ExportedModel, place: Path, trained: float, mixed: str
) -> None:
    def aware() -> FloatNetwork:
        return FloatNetwork(exported=exported, folder=place / "fp32", int8_link=LINK)

    network = FloatNetwork(exported=exported, folder=place / "fp32", train_for_int8=aware)
    search: Any = selector(network=network, max_float_layers=1)
    search.maker = StandInMaker({"plain": 0.5, "trained": trained}, 5, 99)
    search._score = lambda _: None
    search._add_int8()
    assert search.maker.tried == [(mixed, 1)]


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
