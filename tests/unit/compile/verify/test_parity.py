"""Parity, flips and accuracy, counted on answers that are known beforehand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import weckd_edge.compile.verify.parity as module
from support import factories
from support.errors import raises
from weckd_edge.artifacts import DatasetIndex, ExecutedLayer, FrameSpec, LayerDivergence, Recalibration, Verification
from weckd_edge.compile.verify.implementations import Implementation, predict_frames
from weckd_edge.compile.verify.layer_divergence import FLOAT_THRESHOLD_DB, INT8_THRESHOLD_DB
from weckd_edge.compile.verify.parity import (
    FLOAT_TOLERANCE,
    INT8_TOLERANCE,
    Implementations,
    TrainedPredictions,
    compare_outputs,
    verify,
)
from weckd_edge.core.errors import DataError, ModelError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.images.split_frames import decode_split
from weckd_edge.metrics.calibration import apply_temperature

RIGHT = {0: (0.8, 0.1, 0.1), 1: (0.1, 0.8, 0.1), 2: (0.1, 0.1, 0.8)}

INPUT = factories.input_spec(24, width=32)
FP32 = Implementation(backend="onnxruntime", model=Path("fp32.onnx"), input=INPUT, precision="fp32")
WRITTEN = Implementation(backend="onnxruntime", model=Path("int8.onnx"), input=INPUT, precision="int8", reference=True)
SHIPPED = Implementation(backend="openvino", model=Path("model.xml"), input=INPUT, precision="int8")
UNCALIBRATED = Implementation(backend="openvino", model=Path("before/model.xml"), input=INPUT, precision="int8")
EXECUTED = ExecutedLayer(name="conv", kind="Convolution", precision="u8", kernel="jit")


def pair(a: Any, b: Any, tolerance: float | None = None) -> Any:
    return compare_outputs("a", "b", {"a": np.asarray(a, np.float32), "b": np.asarray(b, np.float32)}, tolerance)


def test_differences_are_taken_frame_by_frame() -> None:
    a = [[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]]
    b = [[0.5, 0.5], [0.8, 0.2], [0.6, 0.4]]
    found = pair(a, b, 0.1)
    assert (found.a, found.b, found.frames, found.tolerance) == ("a", "b", 3, 0.1)
    assert found.max_abs == pytest.approx(0.4, abs=1e-6)
    assert found.p95_abs == pytest.approx(np.quantile([0, 0.1, 0.4], 0.95), abs=1e-6)
    assert found.flips == 1


def test_sqnr_is_the_signal_over_the_noise_in_decibel() -> None:
    assert pair([[3.0, 4.0]], [[3.0, 3.5]]).sqnr_db == pytest.approx(10 * math.log10(25 / 0.25))
    assert pair([[3.0, 3.5]], [[3.0, 4.0]]).sqnr_db == pytest.approx(10 * math.log10(21.25 / 0.25))


def test_equal_predictions_have_no_noise_to_compare_with() -> None:
    found = pair([[0.7, 0.3], [0.2, 0.8]], [[0.7, 0.3], [0.2, 0.8]], 0.0)
    assert (found.max_abs, found.p95_abs, found.sqnr_db, found.flips, found.passed) == (0.0, 0.0, None, 0, True)


@pytest.mark.parametrize(("outliers", "passed"), [(0, True), (4, True), (6, False)])
def test_the_tolerance_is_held_by_the_95th_percentile_and_not_by_the_worst_frame(outliers: int, passed: bool) -> None:
    a = np.tile([0.9, 0.1], (100, 1))
    b = a.copy()
    b[:outliers] = [0.1, 0.9]
    found = pair(a, b, 0.05)
    assert found.passed is passed
    assert found.max_abs == pytest.approx(0.8 if outliers else 0, abs=1e-6)
    assert found.flips == outliers


def test_the_tolerance_itself_is_within() -> None:
    assert pair([[0.5, 0.5]], [[0.75, 0.25]], 0.25).passed
    assert not pair([[0.5, 0.5]], [[0.75, 0.25]], 0.2499).passed


def test_without_a_tolerance_everything_passes() -> None:
    assert pair([[1.0, 0.0]], [[0.0, 1.0]]).passed


class StandIns:
    """Stands in for ``open_runner``: the answers of each model by the sum of its frame, and what was opened and closed."""

    def __init__(self) -> None:
        self.answers: dict[Path, Callable[[int], tuple[float, ...]]] = {}
        self.opened: list[tuple[str, Path, bool]] = []
        self.asked: dict[Path, list[int]] = {}
        self.closed: list[Path] = []
        self.fails: Path | None = None
        self.parted: list[tuple[Path, Path, str, tuple[str, str], float, int]] = []
        self.executed: list[tuple[bool, bool]] = []

    def find_divergence(
        self, written: Implementation, other: Implementation, frames: Any, *, threshold_db: float
    ) -> LayerDivergence:
        a, b = written.name, other.name
        self.parted.append((written.model, other.model, other.backend, (a, b), threshold_db, len(frames)))
        return LayerDivergence(a=a, b=b, frames=len(frames), threshold_db=threshold_db, first=None, steepest=None, layers=())

    def executed_layers(self, model: Path, *, reference: bool, half: bool) -> tuple[ExecutedLayer, ...]:
        self.executed.append((reference, half))
        return (EXECUTED,)

    def open_runner(self, backend: str, model: Path, *, threads: int, reference: bool, **_: Any) -> Any:
        if model == self.fails:
            raise ModelError(f"{model}: refused", code="E_MODEL_GRAPH")
        self.opened.append((backend, model, reference))
        outer = self

        class Runner:
            name, version, input_shape = backend, "1", (1, 24, 32, 3)

            def run(self, frame: Any) -> Any:
                assert frame.shape == (1, 24, 32, 3)
                assert frame.flags.c_contiguous
                light = int(frame.sum())
                outer.asked.setdefault(model, []).append(light)
                return np.array(outer.answers[model](light), np.float32)

            def close(self) -> None:
                outer.closed.append(model)

        return Runner()


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> StandIns:
    implementations = StandIns()
    monkeypatch.setattr("weckd_edge.devices.runtime.frame_runner.open_runner", implementations.open_runner)
    monkeypatch.setattr(module, "find_divergence", implementations.find_divergence)
    monkeypatch.setattr(module.openvino_backend, "executed_layers", implementations.executed_layers)
    return implementations


class Ears:
    """Test images that are told apart by the sum of their pixels, and answers looked up by it."""

    def __init__(self, networks: ModuleType, root: Path, **counts: int) -> None:
        self.index: DatasetIndex = networks.write_images(root, **counts)
        self.root = root
        self.spec: FrameSpec = networks.contract().frame
        self.test = self.index.split("test")
        self.light = [int(frame_from_file(root / r.path, self.spec).sum()) for r in self.test]
        assert len(set(self.light)) == len(self.light)

    def probabilities(
        self, *changes: tuple[int, tuple[float, ...]], shift: float = 0.0
    ) -> Callable[[int], tuple[float, ...]]:
        """Answer every test image rightly but for those whose number in the index is named."""
        other = dict(changes)

        def look_up(light: int) -> tuple[float, ...]:
            number = self.light.index(light)
            first, *rest = other.get(number, RIGHT[self.test[number].label])
            return (first + shift, *rest)

        return look_up

    def verify(
        self,
        trained: Any,
        *,
        exported: Any = (FP32,),
        quantized: Any = WRITTEN,
        deployed: Any = SHIPPED,
        layers: Any = "on-failure",
        **more: Any,
    ) -> Any:
        images = decode_split(Workspace(self.root / "work"), self.index, "test", self.root, self.spec, SilentProgress())
        answers = np.array([trained(int(frame.sum())) for frame in images], np.float32)
        found: Verification = verify(
            TrainedPredictions(probabilities=answers),
            Implementations(exported=exported, quantized=quantized, deployed=deployed, **more),
            images,
            self.index.labels,
            predict_frames,
            layers=layers,
        )
        return found


@pytest.fixture
def ears(networks: ModuleType, tmp_path: Path, stub: StandIns) -> Ears:
    found = Ears(networks, tmp_path)
    for candidate in (FP32, WRITTEN, SHIPPED):
        stub.answers[candidate.model] = found.probabilities()
    return found


def test_flips_and_accuracies_are_counted_of_what_is_deployed(ears: Ears, stub: StandIns) -> None:
    labels = [record.label for record in ears.test]
    a, b, c = labels.index(0), labels.index(1), labels.index(2)
    # Trained: wrong on a. Shipped: right on a, wrong on b and c. The quantized graph as it is written does not count.
    trained = ears.probabilities((a, RIGHT[1]))
    stub.answers[SHIPPED.model] = ears.probabilities((b, RIGHT[2]), (c, RIGHT[0]))
    stub.answers[WRITTEN.model] = ears.probabilities(*((k, (1 / 3, 1 / 3, 1 / 3)) for k in range(len(labels))))
    found = ears.verify(trained)
    assert (found.accuracy_fp32.correct, found.accuracy_fp32.images) == (8, 9)
    assert (found.accuracy_compiled.correct, found.accuracy_compiled.images) == (7, 9)
    assert found.flips == 3
    assert [rate.correct for rate in found.recall_fp32] == [2, 3, 3]
    assert [rate.correct for rate in found.recall_compiled] == [3, 2, 2]
    assert [rate.images for rate in found.recall_compiled] == [3, 3, 3]
    assert (found.backend, found.precision) == ("openvino", "int8")


def test_predictions_name_each_test_image_with_both_predictions(ears: Ears, stub: StandIns) -> None:
    stub.answers[SHIPPED.model] = ears.probabilities((0, (0.25, 0.5, 0.25)))
    found = ears.verify(ears.probabilities())
    assert [(p.path, p.group, p.label) for p in found.predictions] == [(r.path, r.group, r.label) for r in ears.test]
    assert found.predictions[0].fp32 == pytest.approx(RIGHT[ears.test[0].label])
    assert found.predictions[0].compiled == (0.25, 0.5, 0.25)
    assert found.predictions[1].compiled == pytest.approx(RIGHT[ears.test[1].label])


def test_each_pair_is_compared_under_its_own_tolerance(ears: Ears, stub: StandIns) -> None:
    stub.answers[FP32.model] = ears.probabilities(shift=2e-3)
    stub.answers[WRITTEN.model] = ears.probabilities(shift=0.05)
    stub.answers[SHIPPED.model] = ears.probabilities(shift=0.2)
    found = ears.verify(ears.probabilities())
    told = [(p.a, p.b, round(p.p95_abs, 4), p.tolerance, p.passed) for p in found.parity]
    assert told == [
        ("torch fp32", "onnxruntime fp32", 0.002, FLOAT_TOLERANCE, False),
        ("onnxruntime int8 as written", "openvino int8", 0.15, INT8_TOLERANCE, False),
        ("torch fp32", "openvino int8", 0.2, None, True),
    ]


def test_every_exported_implementation_is_held_to_the_trained_network(ears: Ears, stub: StandIns) -> None:
    second = Implementation(backend="openvino", model=Path("fp32.onnx"), input=INPUT, precision="fp32")
    found = ears.verify(ears.probabilities(), exported=(FP32, second))
    assert [(p.a, p.b) for p in found.parity[:2]] == [
        ("torch fp32", "onnxruntime fp32"),
        ("torch fp32", "openvino fp32"),
    ]
    assert all(p.passed for p in found.parity)


def test_a_quantized_graph_that_is_deployed_itself_is_opened_once_and_not_compared_with_itself(
    ears: Ears, stub: StandIns
) -> None:
    found = ears.verify(ears.probabilities(), deployed=WRITTEN)
    assert [(p.a, p.b) for p in found.parity] == [
        ("torch fp32", "onnxruntime fp32"),
        ("torch fp32", "onnxruntime int8 as written"),
    ]
    assert stub.opened == [("onnxruntime", FP32.model, False), ("onnxruntime", WRITTEN.model, True)]


def test_every_implementation_is_opened_as_asked_and_closed(ears: Ears, stub: StandIns) -> None:
    ears.verify(ears.probabilities())
    assert stub.opened == [
        ("onnxruntime", FP32.model, False),
        ("onnxruntime", WRITTEN.model, True),
        ("openvino", SHIPPED.model, False),
    ]
    assert sorted(stub.closed) == sorted(model for _, model, _ in stub.opened)


def test_after_an_error_in_the_middle_every_runner_is_closed(ears: Ears, stub: StandIns) -> None:
    def breaks(light: int) -> tuple[float, ...]:
        if light == ears.light[3]:
            raise ModelError("refuses this frame", code="E_MODEL_GRAPH")
        return RIGHT[0]

    stub.answers[SHIPPED.model] = breaks
    with raises(ModelError, "E_MODEL_BACKEND_RUN", says="refuses this frame"):
        ears.verify(ears.probabilities())
    assert stub.closed == [model for _, model, _ in stub.opened]


def test_where_one_cannot_be_opened_those_before_it_are_closed(ears: Ears, stub: StandIns) -> None:
    stub.fails = SHIPPED.model
    with raises(ModelError, "E_MODEL_GRAPH", says="refused"):
        ears.verify(ears.probabilities())
    assert stub.closed == [FP32.model, WRITTEN.model]


def test_a_test_image_that_cannot_be_read_is_named_before_anything_is_opened(ears: Ears, stub: StandIns) -> None:
    (ears.root / ears.test[4].path).write_bytes(b"no image")
    with raises(DataError, "E_DATA_IMAGE_FORMAT", says=ears.test[4].path):
        ears.verify(ears.probabilities())
    assert stub.opened == []


def test_without_test_images_nothing_is_opened(networks: ModuleType, tmp_path: Path, stub: StandIns) -> None:
    ears = Ears(networks, tmp_path, test=0)
    with raises(DataError, "E_DATA_NO_IMAGES"):
        ears.verify(ears.probabilities())
    assert stub.opened == []


def test_a_class_that_the_test_split_lacks_has_no_recall(networks: ModuleType, tmp_path: Path, stub: StandIns) -> None:
    ears = Ears(networks, tmp_path, test=2)
    for candidate in (FP32, WRITTEN, SHIPPED):
        stub.answers[candidate.model] = ears.probabilities()
    assert [record.label for record in ears.test] == [0, 1]
    found = ears.verify(ears.probabilities((0, RIGHT[2])))
    assert found.recall_fp32[2] is found.recall_compiled[2] is None
    assert [rate.correct for rate in found.recall_fp32[:2]] == [0, 1]
    assert [rate.correct for rate in found.recall_compiled[:2]] == [1, 1]


def test_only_test_images_are_classified_each_once(ears: Ears, stub: StandIns) -> None:
    ears.verify(ears.probabilities())
    assert stub.asked == {FP32.model: ears.light, WRITTEN.model: ears.light, SHIPPED.model: ears.light}


def test_of_each_pair_it_is_counted_which_alone_is_right_and_the_worst_frames_are_kept(ears: Ears, stub: StandIns) -> None:
    stub.answers[SHIPPED.model] = ears.probabilities(
        (2, (0.0, 0.0, 1.0) if ears.test[2].label != 2 else (1.0, 0.0, 0.0)), (4, (0.4, 0.3, 0.3))
    )
    stub.answers[WRITTEN.model] = ears.probabilities((5, RIGHT[(ears.test[5].label + 1) % 3]))
    found = ears.verify(ears.probabilities())
    written, last = found.parity[1], found.parity[2]
    wrong = {2} | ({4} if ears.test[4].label != 0 else set())
    assert (written.only_a_right, written.only_b_right) == (len(wrong), 1)
    assert (last.only_a_right, last.only_b_right) == (len(wrong), 0)
    assert last.mcnemar_p == 1.0 if len(wrong) == 1 else 0.5
    assert [frame.path for frame in last.worst] == [ears.test[2].path, ears.test[4].path]
    assert last.worst[0].a == pytest.approx(RIGHT[ears.test[2].label])
    assert max(last.worst[0].b) == 1.0
    assert found.parity[0].worst == ()


def recalibration(temperature: float) -> Recalibration:
    return Recalibration(
        temperature=temperature,
        unshrunk=temperature,
        val_images=40,
        val_groups=40,
        val_nll_before=0.9,
        val_nll_after=0.7,
        predicted_by="openvino int8",
        note="found on 40 validation images in 40 groups",
    )


def test_what_is_deployed_is_held_to_what_it_was_at_the_temperature(ears: Ears, stub: StandIns) -> None:
    plain = ears.probabilities()
    stub.answers[UNCALIBRATED.model] = plain

    def scaled(light: int) -> tuple[float, ...]:
        return tuple(float(v) for v in apply_temperature(np.array([plain(light)]), 2.0)[0])

    stub.answers[SHIPPED.model] = scaled
    found = ears.verify(plain, uncalibrated=UNCALIBRATED, recalibration=recalibration(2.0))
    untouched, last = found.parity[-2:]
    assert (untouched.a, untouched.b) == ("openvino int8 without temperature, scaled", "openvino int8")
    assert (untouched.tolerance, untouched.passed) == (FLOAT_TOLERANCE, True)
    assert untouched.max_abs < 1e-6
    assert (last.a, last.b) == ("torch fp32 at that temperature", "openvino int8")
    assert last.max_abs < 1e-6
    check = found.calibration
    assert check.recalibration == recalibration(2.0)
    assert check.before.nll.value == pytest.approx(-math.log(0.8), abs=1e-6)
    assert check.after.nll.value == pytest.approx(-math.log(apply_temperature(np.array([RIGHT[0]]), 2.0)[0, 0]), abs=1e-6)
    assert found.flips == 0


def test_an_int8_part_that_changed_with_the_temperature_does_not_pass(ears: Ears, stub: StandIns) -> None:
    stub.answers[UNCALIBRATED.model] = ears.probabilities(shift=0.02)
    found = ears.verify(ears.probabilities(), uncalibrated=UNCALIBRATED, recalibration=recalibration(1.5))
    assert not found.parity[-2].passed


def test_at_a_temperature_of_one_nothing_is_held_to_itself(ears: Ears, stub: StandIns) -> None:
    stub.answers[UNCALIBRATED.model] = ears.probabilities()
    found = ears.verify(ears.probabilities(), uncalibrated=UNCALIBRATED, recalibration=recalibration(1.0))
    assert [(p.a, p.b) for p in found.parity[1:]] == [
        ("onnxruntime int8 as written", "openvino int8"),
        ("torch fp32", "openvino int8"),
    ]
    assert found.calibration.before == found.calibration.after


def test_without_a_recalibration_none_is_reported(ears: Ears) -> None:
    assert ears.verify(ears.probabilities()).calibration is None


def test_layers_are_compared_where_a_pair_fails_and_on_request(ears: Ears, stub: StandIns) -> None:
    assert ears.verify(ears.probabilities()).layer_divergences == ()
    assert stub.parted == []
    ears.verify(ears.probabilities(), layers="always")
    names = ("onnxruntime int8 as written", "openvino int8")
    assert stub.parted == [(WRITTEN.model, SHIPPED.model, "openvino", names, INT8_THRESHOLD_DB, 6)]
    stub.parted.clear()
    stub.answers[SHIPPED.model] = ears.probabilities(shift=0.3)
    found = ears.verify(ears.probabilities())
    assert len(stub.parted) == 1
    assert [(p.a, p.b) for p in found.layer_divergences] == [names]


def test_two_float32_implementations_are_compared_with_each_other_where_one_fails(ears: Ears, stub: StandIns) -> None:
    second = Implementation(backend="openvino", model=FP32.model, input=INPUT, precision="fp32")
    stub.answers[FP32.model] = ears.probabilities(shift=0.01)
    ears.verify(ears.probabilities(), exported=(FP32, second))
    names = ("onnxruntime fp32", "openvino fp32")
    assert stub.parted == [(FP32.model, FP32.model, "openvino", names, FLOAT_THRESHOLD_DB, 6)]


def test_a_deployed_model_in_fp32_is_held_to_the_tolerance_of_floating_point(ears: Ears, stub: StandIns) -> None:
    written = Implementation(backend="onnxruntime", model=FP32.model, input=INPUT, precision="fp32", reference=True)
    deployed = Implementation(backend="openvino", model=Path("model.xml"), input=INPUT, precision="fp32")
    stub.answers[deployed.model] = ears.probabilities(shift=0.01)
    found = ears.verify(ears.probabilities(), quantized=written, deployed=deployed)
    pair = found.parity[1]
    assert (pair.a, pair.b, pair.tolerance, pair.passed) == (written.name, "openvino fp32", FLOAT_TOLERANCE, False)
    assert [threshold_db for *_, threshold_db, _ in stub.parted] == [FLOAT_THRESHOLD_DB]


@pytest.mark.parametrize("backend", ["onnxruntime", "litert"])
def test_other_implementations_of_the_deployed_graph_are_held_to_its_tolerance(
    ears: Ears, stub: StandIns, backend: str
) -> None:
    other = Implementation(backend=backend, model=Path("other.onnx"), input=INPUT, precision="int8")
    stub.answers[other.model] = ears.probabilities()
    pair = ears.verify(ears.probabilities(), others=(other,)).parity[2]
    assert (pair.a, pair.b, pair.tolerance, pair.passed) == (WRITTEN.name, other.name, INT8_TOLERANCE, True)
    assert stub.parted == []
    stub.answers[other.model] = ears.probabilities(shift=0.3)
    assert not ears.verify(ears.probabilities(), others=(other,)).parity[2].passed
    assert [names for _, _, _, names, _, _ in stub.parted] == ([] if backend == "litert" else [(WRITTEN.name, other.name)])


def test_every_model_of_the_bundle_is_reported_with_its_own_accuracy(ears: Ears, stub: StandIns) -> None:
    other = Implementation(backend="onnxruntime", model=WRITTEN.model, input=INPUT, precision="int8")
    plain = Implementation(backend="onnxruntime", model=FP32.model.with_name("float.onnx"), input=INPUT, precision="fp32")
    wrong = (0.0, 0.0, 1.0)
    numbers = [n for n, record in enumerate(ears.test) if record.label != 2]
    stub.answers[SHIPPED.model] = ears.probabilities((numbers[0], wrong))
    stub.answers[WRITTEN.model] = ears.probabilities((numbers[0], wrong), (numbers[1], wrong))
    stub.answers[plain.model] = ears.probabilities()
    found = ears.verify(ears.probabilities(), others=(other,), listed=(SHIPPED, other, plain))
    assert [(m.backend, m.precision, m.accuracy.correct, m.flips) for m in found.models] == [
        ("openvino", "int8", 8, 1),
        ("onnxruntime", "int8", 7, 2),
        ("onnxruntime", "fp32", 9, 0),
    ]
    assert [[rate.correct for rate in m.recall] for m in found.models] == [[2, 3, 3], [1, 3, 3], [3, 3, 3]]
    assert (found.accuracy_compiled.correct, found.flips) == (8, 1)
    assert (found.parity[-1].a, found.parity[-1].b, found.parity[-1].tolerance) == ("torch fp32", "onnxruntime fp32", None)
    assert sum(p.b == "onnxruntime int8" for p in found.parity) == 1, "it is compared with the graph as it is written"


def test_the_layers_that_really_run_are_those_of_what_is_deployed(ears: Ears) -> None:
    assert ears.verify(ears.probabilities()).executed == (EXECUTED,)
    assert ears.verify(ears.probabilities(), deployed=WRITTEN).executed == ()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("saturates", [False, True])
def test_layers_are_listed_in_the_form_in_which_the_deployed_model_runs(
    ears: Ears, stub: StandIns, monkeypatch: pytest.MonkeyPatch, half: bool, saturates: bool
) -> None:
    monkeypatch.setattr("weckd_edge.compile.verify.implementations.is_computed_as_written", lambda *_: saturates)
    deployed = Implementation(backend="openvino", model=SHIPPED.model, input=INPUT, precision="int8", half=half)
    ears.verify(ears.probabilities(), deployed=deployed)
    assert stub.executed == [(saturates, half)]


@pytest.mark.parametrize(
    ("candidate", "name"),
    [(FP32, "onnxruntime fp32"), (WRITTEN, "onnxruntime int8 as written"), (SHIPPED, "openvino int8")],
)
def test_an_implementation_is_called_by_backend_precision_and_manner(candidate: Implementation, name: str) -> None:
    assert candidate.name == name


def test_float32_implementations_of_a_real_graph_agree_and_a_wrong_one_is_found(
    networks: ModuleType, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    import torch

    from weckd_edge.compile.export.onnx_export import FrameModel

    network = networks.inverted()
    networks.export(network, tmp_path / "fp32")
    networks.export(networks.every_sum(), tmp_path / "other")
    index = networks.write_images(tmp_path / "images")
    model = FrameModel(network, networks.contract()).eval()
    workspace = Workspace(tmp_path / "work")
    images = decode_split(workspace, index, "test", tmp_path / "images", networks.contract().frame, SilentProgress())
    with torch.inference_mode():
        trained = np.stack([model(torch.tensor(frame))[0].numpy() for frame in images])

    same, other = (
        Implementation(
            backend="onnxruntime", model=tmp_path / name / "model.onnx", input=networks.contract(), precision="fp32"
        )
        for name in ("fp32", "other")
    )
    arguments = (images, index.labels, predict_frames)
    reference = TrainedPredictions(probabilities=trained)
    sound = verify(reference, Implementations(exported=(same,), quantized=same, deployed=same), *arguments)
    assert sound.parity[0].passed
    assert sound.parity[0].max_abs < 1e-5
    wrong = verify(reference, Implementations(exported=(other,), quantized=other, deployed=other), *arguments)
    assert not wrong.parity[0].passed
