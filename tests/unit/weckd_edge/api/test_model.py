"""An open model predicts files and arrays of any size, one at a time, until it is closed."""

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import weckd_edge
from support.errors import raises
from weckd_edge.api.model import Model
from weckd_edge.core.errors import ConfigError, DataError, ModelError, StoreError
from weckd_edge.core.serialization import to_data
from weckd_edge.devices.runtime.decision import ABSTAIN
from weckd_edge.devices.runtime.frame_runner import FrameRunner

pytest.importorskip("onnxruntime")


@pytest.fixture
def model(here: Path) -> Iterator[Model]:
    with weckd_edge.load("ear-bundle").open("onnxruntime") as opened:
        yield opened


def picture(height: int = 37, width: int = 53, seed: int = 0) -> NDArray[np.uint8]:
    """Return a coloured picture ``[H, W, 3]`` whose halves differ."""
    found = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found[:, : width // 2, 0] //= 2
    return found


def test_a_model_says_what_it_runs_on(model: Model) -> None:
    assert model.labels == ("effusion", "normal", "wax")
    assert (model.backend, model.precision) == ("onnxruntime", "int8")
    assert model.backend_version
    assert "onnxruntime" in repr(model)


def test_a_prediction_holds_label_probabilities_decision_and_latency(model: Model) -> None:
    found = model.predict("eardrum.png")
    assert isinstance(found, weckd_edge.Prediction)
    assert (found.file, found.label, found.decision) == ("eardrum.png", "normal", "normal")
    assert (found.reason, found.code) == (None, None)
    assert list(found.probabilities) == list(model.labels)
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert found.latency_ns is not None
    assert found.latency_ns > 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.label = "wax"  # type: ignore[misc]  # that is the test


def test_under_the_threshold_there_is_no_decision_and_a_reason(model: Model) -> None:
    found = model.predict(np.zeros((480, 640, 3), np.uint8))
    assert (found.decision, found.code) == (ABSTAIN, "low_probability")
    assert "0.5" in str(found.reason)
    assert found.label in model.labels


@pytest.mark.parametrize("size", [(8, 8), (37, 53), (53, 37), (480, 640), (8, 2000)])
def test_an_array_of_any_size_predicts_as_the_file_of_it_does(model: Model, here: Path, size: tuple[int, int]) -> None:
    image = picture(*size)
    Image.fromarray(image).save(here / "saved.png")
    from_array, from_file = model.predict(image), model.predict(here / "saved.png")
    assert from_array.probabilities == from_file.probabilities
    assert from_array.quality == from_file.quality


def test_an_array_of_fewer_pixels_than_the_network_takes_is_refused_and_a_file_enlarged(model: Model, here: Path) -> None:
    Image.fromarray(picture(7, 9)).save(here / "saved.png")
    assert model.predict(here / "saved.png").probabilities
    with raises(ModelError, "E_MODEL_FRAME_GEOMETRY", says=("9 x 7", "8 x 8")):
        model.predict(picture(7, 9))


def test_blue_first_is_named_by_the_caller(model: Model) -> None:
    image = picture()
    assert model.predict(image[:, :, ::-1].copy(), colour="bgr").probabilities == model.predict(image).probabilities
    assert model.predict(image, colour="bgr").probabilities != model.predict(image).probabilities


def test_a_grey_array_predicts_as_three_equal_channels(model: Model) -> None:
    grey = picture()[:, :, 1]
    assert model.predict(grey) == model.predict(np.repeat(grey[:, :, None], 3, axis=2))
    assert model.predict(grey, colour="bgr") == model.predict(grey)


def test_a_view_is_taken_and_left_as_it_was(model: Model) -> None:
    image = picture(40, 40)
    before = image.copy()
    assert model.predict(image[::2, ::-2]) == model.predict(image[::2, ::-2].copy())
    assert (image == before).all()
    image.setflags(write=False)
    assert model.predict(image) == model.predict(before)


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.zeros((4, 4, 3), np.uint16), "uint16"),
        (np.zeros((1, 4, 4, 3), np.uint8), "predict_many"),
        (np.zeros((3, 4, 4), np.uint8), "[3, 4, 4]"),
        (np.zeros((4, 4, 4), np.uint8), "[4, 4, 4]"),
        (np.zeros(4, np.uint8), "[4]"),
        ([[0, 0, 0]], "list"),
        (None, "NoneType"),
        (Image.new("RGB", (4, 4)), "numpy.asarray"),
    ],
    ids=["float32", "int64", "uint16", "batch", "planes", "four channels", "one axis", "list", "none", "image"],
)
def test_anything_but_an_array_of_the_right_type_and_shape_is_refused(model: Model, image: Any, found: str) -> None:
    with raises(ModelError, "E_MODEL_FRAME", says=found):
        model.predict(image)


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (np.zeros((1, 8193, 3), np.uint8), {}),
        (np.zeros((0, 4, 3), np.uint8), {}),
        (np.zeros((6, 5), np.uint8), {"colour": "nv12"}),
        (np.zeros((4, 4, 3), np.uint8), {"region": (0, 0, 5, 4)}),
    ],
    ids=["too large", "no rows", "odd", "region outside"],
)
def test_an_array_whose_geometry_cannot_be_is_refused(model: Model, image: Any, options: dict[str, Any]) -> None:
    with raises(ModelError, "E_MODEL_FRAME_GEOMETRY"):
        model.predict(image, **options)


def test_frames_of_a_camera_are_predicted_as_the_picture_that_they_show(model: Model) -> None:
    shown = np.repeat(np.repeat(np.random.default_rng(3).integers(0, 256, (20, 30), np.uint8), 2, axis=0), 2, axis=1)
    neutral = {"nv12": np.full((20, 60), 128, np.uint8), "yuyv": np.full((40, 60), 128, np.uint8)}
    expected = model.predict(shown, colour="grey")
    assert expected.probabilities
    nv12 = np.concatenate([shown, neutral["nv12"]])
    assert model.predict(nv12, colour="nv12", matrix="bt601_full") == expected
    assert model.predict(shown, colour="nv12", matrix="bt601_full", chroma=neutral["nv12"]) == expected
    assert model.predict(np.stack([shown, neutral["yuyv"]], axis=2), colour="yuyv", matrix="bt709_full") == expected
    wide = np.pad(shown, ((6, 2), (4, 8)), constant_values=99)
    assert model.predict(wide, colour="grey", region=(4, 6, 60, 40)) == expected
    assert model.predict(wide, colour="grey") != expected


@pytest.mark.parametrize("colour", ["RGB", "gbr", "", None])
def test_an_unknown_channel_order_is_refused(model: Model, colour: Any) -> None:
    with raises(ConfigError, "E_CONFIG_CHOICE", says=("'rgb'", "'bgr'")):
        model.predict(picture(), colour=colour)


def test_a_path_that_is_missing_or_a_folder_is_refused(model: Model) -> None:
    with raises(DataError, "E_DATA_SOURCE", says="no.png"):
        model.predict("no.png")
    with raises(DataError, "E_DATA_SOURCE", says=("pictures", "predict_many")):
        model.predict("pictures")


def test_a_file_that_cannot_be_read_is_a_prediction_without_latency(model: Model, here: Path) -> None:
    (here / "damaged.png").write_bytes(b"\x89PNG, not really")
    found = model.predict("damaged.png")
    assert (found.decision, found.code, found.label, found.latency_ns) == (ABSTAIN, "unreadable", None, None)


def test_many_images_are_predicted_in_order_files_arrays_and_folders_alike(model: Model) -> None:
    found = list(model.predict_many(["eardrum.png", picture(), Path("pictures")]))
    assert [prediction.file for prediction in found] == ["eardrum.png", "", "pictures/a.png", "pictures/b.png"]
    assert found[0] == model.predict("eardrum.png")
    assert found[1] == model.predict(picture())
    assert (found[2].decision, found[3].decision) == ("normal", "effusion")


def test_many_images_are_taken_one_at_a_time(model: Model) -> None:
    taken: list[int] = []

    def camera() -> Iterator[NDArray[np.uint8]]:
        for number in range(1000):
            taken.append(number)
            yield picture(seed=number)

    predictions = model.predict_many(camera())
    assert taken == []
    first, second = next(predictions), next(predictions)
    assert taken == [0, 1]
    assert first != second


def test_a_folder_without_images_and_a_missing_path_are_refused_among_many(model: Model, here: Path) -> None:
    (here / "empty").mkdir()
    with raises(DataError, "E_DATA_NO_IMAGES", says="empty"):
        list(model.predict_many(["empty"]))
    with raises(DataError, "E_DATA_SOURCE", says="no.png"):
        list(model.predict_many(["no.png"]))


def test_an_explanation_is_a_prediction_with_a_picture(model: Model, here: Path) -> None:
    first, second = model.explain(["pictures"], "maps")
    assert first.prediction == model.predict("pictures/a.png")
    assert (first.overlay, second.overlay) == ("maps/a.png", "maps/b.png")
    assert sorted(path.name for path in (here / "maps").iterdir()) == ["a.png", "b.png"]
    with raises(StoreError, "E_STORE_OCCUPIED", says="maps/a.png"):
        list(model.explain(["pictures"], "maps"))


def test_nothing_is_explained_once_the_model_is_closed(here: Path) -> None:
    with weckd_edge.load("ear-bundle").open("onnxruntime") as model:
        explanations = model.explain(["pictures"], "maps")
        next(explanations)
    with raises(ModelError, "E_MODEL_CLOSED"):
        next(explanations)
    with raises(ModelError, "E_MODEL_CLOSED"):
        next(model.explain(["eardrum.png"], "more"))


def test_the_command_prints_what_the_model_predicts(model: Model, run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = run("predict", "ear-bundle", "pictures", "--backend", "onnxruntime", "--json")
    assert code == 0, err
    printed = json.loads(out)["images"]
    assert [one.pop("latency_ns") > 0 for one in printed] == [True, True]
    predicted = [to_data(one) for one in model.predict_many(["pictures"])]
    assert [one.pop("latency_ns") > 0 for one in predicted] == [True, True]
    assert printed == predicted


def test_a_closed_model_predicts_nothing(here: Path) -> None:
    with weckd_edge.load("ear-bundle").open("onnxruntime") as model:
        pending = model.predict_many(["eardrum.png"])
    with raises(ModelError, "E_MODEL_CLOSED", says="bundle.open()"):
        model.predict("eardrum.png")
    with raises(ModelError, "E_MODEL_CLOSED"):
        model.predict(picture())
    with raises(ModelError, "E_MODEL_CLOSED"):
        next(pending)
    model.close()
    assert "closed" in repr(model)


def test_a_model_is_closed_after_an_error_too(here: Path) -> None:
    with pytest.raises(ZeroDivisionError), weckd_edge.load("ear-bundle").open("onnxruntime") as model:
        1 / 0  # noqa: B018 - that is the test
    with raises(ModelError, "E_MODEL_CLOSED"):
        model.predict(picture())


class SlowRunner:
    """Waits in each query until it is let go on, and counts queries at the same time."""

    name, version, input_shape = "onnxruntime", "0", (1, 8, 8, 3)

    def __init__(self) -> None:
        self.inside = 0
        self.most_inside = 0
        self.closed_inside = False
        self.entered = threading.Event()
        self.second = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def run(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        (self.second if self.inside > 1 else self.entered).set()
        assert self.go_on.wait(60)
        self.inside -= 1
        return np.array([0.1, 0.8, 0.1], np.float32)

    def close(self) -> None:
        self.closed_inside = self.inside > 0


@pytest.fixture
def slow(model: Model) -> tuple[Model, SlowRunner]:
    """A model whose first query is under way only once it is asked for, and waits."""
    runner = SlowRunner()
    opened = model._opened
    predictor = dataclasses.replace(opened.predictor, runner=FrameRunner(runner, opened.runner.front_end))
    shared = Model(dataclasses.replace(opened, predictor=predictor))
    runner.entered.clear()
    runner.go_on.clear()
    return shared, runner


def test_threads_that_share_a_model_predict_one_after_another(slow: tuple[Model, SlowRunner]) -> None:
    model, runner = slow
    found: list[weckd_edge.Prediction] = []
    threads = [threading.Thread(target=lambda: found.append(model.predict(picture()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert runner.entered.wait(60)
    assert not runner.second.wait(0.2)  # long enough to see a second query that did not wait
    runner.go_on.set()
    for thread in threads:
        thread.join(60)
    assert [prediction.decision for prediction in found] == ["normal", "normal"]
    assert runner.most_inside == 1


def test_closing_waits_for_the_prediction_that_is_under_way(slow: tuple[Model, SlowRunner]) -> None:
    model, runner = slow
    found: list[weckd_edge.Prediction] = []
    predicting = threading.Thread(target=lambda: found.append(model.predict(picture())))
    predicting.start()
    assert runner.entered.wait(60)
    closing = threading.Thread(target=model.close)
    closing.start()
    runner.go_on.set()
    predicting.join(60)
    closing.join(60)
    assert [prediction.decision for prediction in found] == ["normal"]
    assert not runner.closed_inside
    with raises(ModelError, "E_MODEL_CLOSED"):
        model.predict(picture())
