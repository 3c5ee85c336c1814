import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from support.bundles.predicting import predict_images
from support.errors import raises
from weckd_edge.artifacts import BuiltModel, FileRef
from weckd_edge.bundle.reader import Bundle
from weckd_edge.cli.predict import command
from weckd_edge.core.errors import BundleError, ConfigError, DataError, DeviceError, MissingDependency, ModelError
from weckd_edge.core.store import file_ref
from weckd_edge.devices.runtime import predict
from weckd_edge.devices.runtime.backends import openvino_backend
from weckd_edge.devices.runtime.decision import ABSTAIN, decide
from weckd_edge.devices.runtime.model_choice import choose_model, find_running
from weckd_edge.devices.runtime.predict import find_images, open_bundle_model, predict_file
from weckd_edge.devices.runtime.verify_bundle import verify_bundle


def built(folder: Path, *, backend: str, path: str, kind: Any = "model", precision: Any = "fp32") -> BuiltModel:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(b"model")
    return BuiltModel(
        backend=backend,
        backend_version="1",
        precision=precision,
        kind=kind,
        files=(file_ref(folder, folder / path),),
        source_sha256="00",
    )


Without = Callable[..., None]


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Without:
    """Make libraries absent, as if they were not installed; OpenVINO and ONNX Runtime are there unless a test says so."""
    pytest.importorskip("openvino")

    def hide(*names: str) -> None:
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


@pytest.fixture
def bundle(toy: ModuleType, tmp_path: Path) -> Bundle:
    """A bundle with an OpenVINO model, a preflight of it that is no model, and the ONNX graph."""
    folder = tmp_path / "b"
    proof = built(folder, backend="openvino", path="model/proof/proof.xml", kind="preflight")
    ir = built(folder, backend="openvino", path="model/openvino/model.xml")
    found: Bundle = toy.write_bundle(folder, models=(proof, ir))
    return found


def save(path: Path, colour: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (16, 12)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def test_a_built_model_comes_before_the_onnx_graph(bundle: Bundle, without: Without) -> None:
    choice = choose_model(bundle)
    assert (choice.backend, choice.model.name, choice.precision) == ("openvino", "model.xml", "fp32")


def test_to_say_which_model_runs_none_is_read(bundle: Bundle, without: Without, monkeypatch: pytest.MonkeyPatch) -> None:
    read, as_it_is = [], Bundle.read

    def note(self: Bundle, ref: FileRef) -> bytes:
        read.append(ref.path)
        return as_it_is(self, ref)

    monkeypatch.setattr(Bundle, "read", note)
    running = find_running(bundle)
    assert read == []
    assert choose_model(bundle).running == running
    assert read == ["model/openvino/model.xml"]


def test_without_its_library_the_onnx_graph_is_run_by_another(bundle: Bundle, without: Without) -> None:
    without("openvino")
    choice = choose_model(bundle)
    assert (choice.backend, choice.model.name, choice.precision) == ("onnxruntime", "model.onnx", "int8")


def test_a_bundle_without_built_models_runs_its_onnx_graph(toy: ModuleType, tmp_path: Path, without: Without) -> None:
    choice = choose_model(toy.write_bundle(tmp_path / "b"))
    assert (choice.backend, choice.model.name) == ("openvino", "model.onnx")


def test_the_first_model_of_a_backend_is_taken_unless_another_precision_is_asked_for(
    toy: ModuleType, tmp_path: Path, without: Without
) -> None:
    ir = built(tmp_path / "b", backend="openvino", path="model/x.xml", precision="int8")
    bundle = toy.write_bundle(tmp_path / "b", models=(ir,), onnx_precision="fp32")
    assert [model.name for model in bundle.manifest.models] == ["openvino int8", "openvino fp32", "onnxruntime fp32"]
    assert choose_model(bundle, "openvino").model.name == "x.xml"
    assert choose_model(bundle, "openvino", "fp32").model.name == "model.onnx"
    assert choose_model(bundle, precision="fp32").backend == "openvino"
    without("openvino")
    assert choose_model(bundle, precision="fp32").backend == "onnxruntime"
    with raises(DeviceError, "E_DEVICE_BACKEND", says=("onnxruntime int8", "openvino int8, openvino fp32")):
        choose_model(bundle, "onnxruntime", "int8")


def test_what_a_bundle_does_not_list_is_not_chosen(toy: ModuleType, tmp_path: Path, without: Without) -> None:
    bundle = toy.write_bundle(tmp_path / "b", backends=["onnxruntime"])
    assert choose_model(bundle).backend == "onnxruntime"
    with raises(DeviceError, "E_DEVICE_BACKEND", says="onnxruntime int8"):
        choose_model(bundle, "openvino")  # it could read the graph


def model_in_half(toy: ModuleType, folder: Path) -> Any:
    """Write a graph for a bundle, and return it as a model that OpenVINO runs in float16."""
    toy.write_graph(folder / "model/model.onnx")
    onnx = file_ref(folder, folder / "model/model.onnx")
    return toy.of_graph("openvino", onnx, "fp16", settings={"INFERENCE_PRECISION_HINT": "f16"})


def test_a_model_is_opened_with_its_own_precision_hint(
    toy: ModuleType, tmp_path: Path, without: Without, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = model_in_half(toy, tmp_path / "b")
    bundle = toy.write_bundle(tmp_path / "b", models=(half,), backends=["openvino"], onnx_precision="fp32")
    asked: list[str] = []
    settings = openvino_backend.settings_for

    def note(**how: Any) -> Any:
        asked.append(settings(**how)["INFERENCE_PRECISION_HINT"])
        return settings(**how)

    monkeypatch.setattr(openvino_backend, "settings_for", note)
    monkeypatch.setattr(openvino_backend, "computes_in_half", lambda: True)
    for precision in ("fp16", "fp32"):
        choose_model(bundle, "openvino", precision).open(bundle.manifest.input).close()
    assert asked == ["f16", "f32"]
    monkeypatch.setattr(openvino_backend, "computes_in_half", lambda: False)
    with raises(DeviceError, "E_DEVICE_BACKEND", says="float16"):
        choose_model(bundle, "openvino", "fp16").open(bundle.manifest.input)


def test_float16_is_passed_over_where_the_processor_does_not_compute_in_it(
    toy: ModuleType, tmp_path: Path, without: Without, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = model_in_half(toy, tmp_path / "b")
    bundle = toy.write_bundle(tmp_path / "b", models=(half,), onnx_precision="fp32")
    assert [model.name for model in bundle.manifest.models] == ["openvino fp16", "openvino fp32", "onnxruntime fp32"]
    for here, first in ((True, "openvino fp16"), (False, "openvino fp32")):
        monkeypatch.setattr(openvino_backend, "computes_in_half", lambda here=here: here)
        assert find_running(bundle).name == first
        assert choose_model(bundle, "openvino").name == first
        assert choose_model(bundle, "openvino", "fp16").name == "openvino fp16"  # and opening it says why it cannot
    assert str(verify_bundle(bundle.folder).running) == "openvino fp32"
    model = open_bundle_model(bundle.folder)
    model.close()
    assert model.choice.name == "openvino fp32"
    with raises(DeviceError, "E_DEVICE_BACKEND", says="openvino does not compute in float16 on this processor"):
        choose_model(bundle, precision="fp16")


def test_a_backend_that_is_asked_for_is_taken_or_the_reason_given(bundle: Bundle, without: Without) -> None:
    assert choose_model(bundle, "onnxruntime").backend == "onnxruntime"
    with raises(ConfigError, "E_CONFIG_CHOICE", says=("'openvin'", "'openvino'")):
        choose_model(bundle, "openvin")
    with raises(DeviceError, "E_DEVICE_NO_ENGINE", says="weckd-edge finalize"):
        choose_model(bundle, "tensorrt")


def test_a_backend_that_is_asked_for_and_absent_is_named_when_opened(bundle: Bundle, without: Without) -> None:
    without("onnxruntime")
    with raises(MissingDependency, "E_MISSING_LIBRARY"):
        open_bundle_model(bundle.folder, backend="onnxruntime")


def test_without_any_library_every_way_to_get_one_is_named(bundle: Bundle, without: Without) -> None:
    without("openvino", "onnxruntime", "tensorrt")
    with pytest.raises(MissingDependency) as caught:
        choose_model(bundle)
    assert "openvino, onnxruntime" in str(caught.value)
    assert "pip install 'weckd-edge[cpu]' or pip install 'weckd-edge[compile]'" in str(caught.value)


def test_a_recipe_without_an_engine_falls_back_to_the_graph(toy: ModuleType, tmp_path: Path, without: Without) -> None:
    bundle = toy.write_bundle(tmp_path / "b", device="jetson-orin-nano-8gb")
    assert choose_model(bundle).backend == "openvino"
    without("openvino")
    assert choose_model(bundle).backend == "onnxruntime"


def test_images_are_classified_as_the_graph_predicts(toy: ModuleType, tmp_path: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "b")
    colours = [(200, 30, 30), (20, 220, 60), (10, 10, 230)]
    files = [save(tmp_path / f"{i}.png", colour) for i, colour in enumerate(colours)]
    found = predict_images(bundle.folder, files, backend="onnxruntime")
    frames = np.stack([np.full((toy.SIDE, toy.SIDE, 3), colour, np.uint8) for colour in colours])
    expected = toy.answers(bundle.folder / "model/model.onnx", frames)
    for answer, file, probabilities in zip(found, files, expected, strict=True):
        assert answer.file == str(file)
        assert list(answer.probabilities) == list(toy.LABELS)
        np.testing.assert_allclose(list(answer.probabilities.values()), probabilities, atol=1e-6)
        assert answer.label == answer.decision == toy.LABELS[int(probabilities.argmax())]
        assert answer.reason is None
    assert len({answer.label for answer in found}) > 1


def test_images_of_one_open_model_share_what_makes_decisions(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, make = [], predict.FramePredictor

    def note(**parts: Any) -> Any:
        made.append(make(**parts))
        return made[-1]

    monkeypatch.setattr(predict, "FramePredictor", note)
    model = open_bundle_model(toy.write_bundle(tmp_path / "b").folder, backend="onnxruntime")
    files = [save(tmp_path / f"{i}.png") for i in range(3)]
    assert {predict_file(model, file).decision for file in files} <= {*toy.LABELS, ABSTAIN}
    model.close()
    assert len(made) == 1


def test_an_unreadable_image_is_a_prediction_and_the_others_go_on(toy: ModuleType, tmp_path: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "b")
    (tmp_path / "a.png").write_bytes(b"no image")
    (tmp_path / "c.png").write_bytes(b"")
    files = [tmp_path / "a.png", save(tmp_path / "b.png"), tmp_path / "c.png"]
    first, second, third = predict_images(bundle.folder, files, backend="onnxruntime")
    assert (first.label, first.probabilities, first.decision) == (None, {}, ABSTAIN)
    assert "a.png: not an image" in str(first.reason)
    assert second.reason is None
    assert "empty file" in str(third.reason)


def test_an_unsure_prediction_abstains_and_keeps_its_probabilities(toy: ModuleType, tmp_path: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "b", confidence_threshold=0.9)
    sure = decide(np.array([0.02, 0.96, 0.02], np.float32), bundle.manifest.labels, bundle.manifest.operating_point)
    assert (sure.decision, sure.reason) == ("normal", None)
    unsure = decide(np.array([0.1, 0.85, 0.05], np.float32), bundle.manifest.labels, bundle.manifest.operating_point)
    assert (unsure.label, unsure.decision) == ("normal", ABSTAIN)
    assert set(unsure.probabilities) == set(toy.LABELS)
    assert unsure.reason == "not sure enough: the most probable label, normal, has 0.850; a decision needs 0.9"
    assert unsure.code == "low_probability"


def test_a_prediction_that_is_no_number_abstains_even_where_nothing_else_would(toy: ModuleType, tmp_path: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "b")
    found = decide(np.array([0.1, np.nan, 0.9], np.float32), bundle.manifest.labels, bundle.manifest.operating_point)
    assert (found.label, found.decision, found.probabilities) == (None, ABSTAIN, {})


def test_another_number_of_predictions_than_labels_is_refused(toy: ModuleType, tmp_path: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "b")
    with raises(ModelError, "E_MODEL_OUTPUT", says=("3", "[2]")):
        decide(np.array([0.5, 0.5], np.float32), bundle.manifest.labels, bundle.manifest.operating_point)


def test_folders_are_searched_sorted_and_by_their_suffixes(tmp_path: Path) -> None:
    for name in ("f/b.PNG", "f/a.jpg", "f/deep/c.tiff", "f/notes.txt", "single.dat"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "f/folder.png").mkdir()
    found = find_images([tmp_path / "single.dat", tmp_path / "f"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["single.dat", "f/a.jpg", "f/b.PNG", "f/deep/c.tiff"]


def test_nothing_to_predict_is_reported(tmp_path: Path) -> None:
    with raises(DataError, "E_DATA_NO_IMAGES"):
        find_images([])
    with raises(DataError, "E_DATA_SOURCE"):
        find_images([tmp_path / "none.png"])
    with raises(DataError, "E_DATA_NO_IMAGES"):
        find_images([tmp_path])


def test_a_changed_bundle_is_refused_before_any_image_is_classified(toy: ModuleType, tmp_path: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "b")
    model = bundle.folder / "model/model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with raises(BundleError, "E_BUNDLE_DIGEST", says="model/model.onnx"):
        predict_images(bundle.folder, [save(tmp_path / "a.png")])


OPEN_RUNNER = "weckd_edge.devices.runtime.frame_runner.open_runner"


class WrongSize:
    """A runner that takes other frames than the manifest says."""

    name, version, input_shape = "onnxruntime", "1", (1, 4, 4, 3)
    closed = False

    def run(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise AssertionError("must not be run")

    def close(self) -> None:
        self.closed = True


def test_a_model_for_other_frames_than_the_manifest_is_closed_and_refused(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, runner = toy.write_bundle(tmp_path / "b"), WrongSize()
    monkeypatch.setattr(OPEN_RUNNER, lambda backend, path, **settings: runner)
    with raises(ModelError, "E_MODEL_INPUT", says=("[1, 8, 8, 3]", "[1, 4, 4, 3]")):
        open_bundle_model(bundle.folder)
    assert runner.closed


def test_the_runner_is_closed_when_a_prediction_fails(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, runner = toy.write_bundle(tmp_path / "b"), WrongSize()
    runner.input_shape = (1, toy.SIDE, toy.SIDE, 3)
    monkeypatch.setattr(OPEN_RUNNER, lambda backend, path, **settings: runner)
    with pytest.raises(AssertionError):
        predict_images(bundle.folder, [save(tmp_path / "a.png")])
    assert runner.closed


def test_the_command_prints_a_list_and_fails_where_no_image_was_classified(toy: ModuleType, tmp_path: Path) -> None:
    folder = str(toy.write_bundle(tmp_path / "b").folder)
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").write_bytes(b"no image")
    arguments = [folder, str(tmp_path / "images"), "--backend", "onnxruntime", "--json"]
    bad = CliRunner().invoke(command, arguments)
    assert isinstance(bad.exception, DataError)
    assert "none of 1 images could be classified" in str(bad.exception)
    assert json.loads(bad.stdout)["images"][0]["decision"] == ABSTAIN
    save(tmp_path / "images/b.png")
    good = CliRunner().invoke(command, arguments)
    assert good.exit_code == 0
    unread, read = json.loads(good.stdout)["images"]
    keys = {"file", "label", "probabilities", "decision", "reason", "code", "guard", "quality", "ood_score", "notes"}
    assert set(unread) == set(read) == {*keys, "latency_ns"}
    assert unread["latency_ns"] is None
    assert read["latency_ns"] > 0
    shown = CliRunner().invoke(command, arguments[:-1])
    assert ABSTAIN in shown.stdout
