"""What ``weckd-edge predict`` writes and draws, and how its images are named."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import weckd_edge
from support.errors import raises
from weckd_edge.cli.parsing.image_patterns import expand_pattern
from weckd_edge.core.errors import DataError, ModelError
from weckd_edge.devices.runtime.decision import Prediction
from weckd_edge.devices.runtime.prediction_file import write_predictions

Run = Callable[..., tuple[int, str, str]]

BACKEND = ("--backend", "onnxruntime")


@pytest.fixture
def bundle(toy: ModuleType, tmp_path: Path) -> Path:
    folder: Path = toy.write_bundle(tmp_path / "bundle").folder
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for number, name in enumerate(("a/1.png", "b/1.png", "c.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def predicted(run: Run, *args: str | Path) -> dict[str, object]:
    code, out, err = run("predict", *args, *BACKEND, "--json", "-q")
    assert code == 0, err
    found: dict[str, object] = json.loads(out)
    return found


def test_a_table_has_one_row_an_image_with_the_probability_of_each_label(
    run: Run, bundle: Path, images: Path, tmp_path: Path
) -> None:
    listed = predicted(run, bundle, images)["images"]
    code, out, err = run("predict", bundle, images, *BACKEND, "--out", tmp_path / "p.csv")
    assert code == 0
    assert f"written: {tmp_path / 'p.csv'}, 4 images" in err
    assert "1.png" not in out  # the rows are in the file
    assert "unable to analyze" in out
    rows = list(csv.DictReader(io.StringIO((tmp_path / "p.csv").read_text())))
    assert isinstance(listed, list)
    assert [row["file"] for row in rows] == [one["file"] for one in listed]
    for row, one in zip(rows, listed, strict=True):
        assert (row["decision"], row["label"]) == (one["decision"], one["label"] or "")
        assert (row["code"], row["reason"]) == (one["code"] or "", one["reason"] or "")
        assert {
            name.removeprefix("probability_"): float(value)
            for name, value in row.items()
            if name.startswith("probability_") and value
        } == one["probabilities"]
        assert (int(row["latency_ns"]) > 0) if one["code"] != "unreadable" else row["latency_ns"] == ""


def test_json_lines_hold_what_json_prints(run: Run, bundle: Path, images: Path, tmp_path: Path) -> None:
    listed = predicted(run, bundle, images)["images"]
    summary = predicted(run, bundle, images, "--out", tmp_path / "p.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert isinstance(listed, list)
    for one in (*rows, *listed):
        assert one.pop("latency_ns") is not None or one["code"] == "unreadable"
    assert rows == listed
    assert summary["predicted"] == 4
    assert summary["file"] == str(tmp_path / "p.jsonl")
    assert summary["decisions"] == {
        decision: sum(one["decision"] == decision for one in listed) for decision in {one["decision"] for one in listed}
    }


@pytest.mark.parametrize("name", ["p.txt", "p", "p.json"])
def test_a_file_whose_name_does_not_say_how_it_is_written_is_refused_before_any_work(
    name: str, run: Run, images: Path, tmp_path: Path
) -> None:
    code, out, err = run("predict", tmp_path / "no-bundle", images, "--out", tmp_path / name)
    assert (code, out) == (2, "")
    assert err.startswith("error[E_CONFIG_VALUE]: ")
    assert ".csv (a table) or .jsonl (JSON lines)" in err


def prediction(file: str) -> Prediction:
    return Prediction(file=file, label="a", probabilities={"a": 0.75, "b, c": 0.25}, decision="a", reason=None)


def test_an_interrupted_run_keeps_its_rows_beside_and_the_earlier_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("earlier\n")

    def stop_after_one() -> None:
        with write_predictions(path, ("a", "b, c")) as file:
            file.write(prediction("1.png"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_after_one()
    assert path.read_text() == "earlier\n"
    assert len((tmp_path / "p.csv.part").read_text().splitlines()) == 2
    with write_predictions(path, ("a", "b, c")) as file:
        file.write(prediction("1.png"))
        file.write(prediction('x"\n.png'))
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [row["file"] for row in rows] == ["1.png", 'x"\n.png']
    assert rows[0]["probability_b, c"] == "0.25"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["p.csv"]


def test_a_name_that_is_not_utf_8_goes_through_both_files_unharmed(tmp_path: Path) -> None:
    name = "\u00e9\udcff.png"
    with write_predictions(tmp_path / "p.csv", ("a", "b, c")) as file:
        file.write(prediction(name))
    assert "\u00e9".encode() + b"\xff.png" in (tmp_path / "p.csv").read_bytes()
    with write_predictions(tmp_path / "p.jsonl", ("a", "b, c")) as file:
        file.write(prediction(name))
    assert json.loads((tmp_path / "p.jsonl").read_text())["file"] == name


def test_every_image_that_can_be_read_gets_a_picture_under_a_name_of_its_own(
    run: Run, bundle: Path, images: Path, tmp_path: Path
) -> None:
    code, _, err = run("predict", bundle, images, *BACKEND, "--save", tmp_path / "out", "-q")
    assert code == 0
    assert err == f"pictures: 3 of 4 in {tmp_path / 'out'}\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1-2.png", "1.png", "c.png"]
    with Image.open(images / "c.png") as image, Image.open(tmp_path / "out/c.png") as picture:
        zoom = picture.width // image.width
        assert zoom > 1
        drawn, own = np.asarray(picture), np.asarray(image)
        below = drawn[image.height * zoom :]
        assert np.array_equal(drawn[: image.height * zoom : zoom, : image.width * zoom : zoom], own)
        assert len(np.unique(below.reshape(-1, 3), axis=0)) > 3
    before = (tmp_path / "out/c.png").read_bytes()
    code, _, err = run("predict", bundle, images, *BACKEND, "--save", tmp_path / "out", "-q")
    assert code == 1
    assert err.startswith("error[E_STORE_OCCUPIED]: ")
    assert (tmp_path / "out/c.png").read_bytes() == before


@pytest.mark.parametrize("option", ["--save", "--explain", "--out"])
def test_nothing_is_written_into_the_bundle(option: str, run: Run, bundle: Path, images: Path) -> None:
    before = sorted(bundle.rglob("*"))
    code, _, err = run("predict", bundle, images, *BACKEND, option, bundle / "p.csv", "-q")
    assert code == 2
    assert err.startswith("error[E_CONFIG_OUT_PLACE]: ")
    assert sorted(bundle.rglob("*")) == before


def test_files_folders_and_patterns_name_images(run: Run, bundle: Path, images: Path) -> None:
    def files(*args: str | Path) -> list[str]:
        found = predicted(run, bundle, *args)["images"]
        assert isinstance(found, list)
        return [str(Path(one["file"]).relative_to(images)) for one in found]

    assert files(images / "*.png") == ["bad.png", "c.png"]
    assert files(images / "**/1.png") == ["a/1.png", "b/1.png"]
    assert files(images / "[ab]") == ["a/1.png", "b/1.png"]
    assert files(images / "c.png", images / "b", images / "?/1.png") == ["c.png", "b/1.png", "a/1.png", "b/1.png"]


def test_a_path_that_exists_is_no_pattern_and_a_pattern_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "[ab].png").write_bytes(b"")
    (tmp_path / "a.png").write_bytes(b"")
    assert expand_pattern(tmp_path / "[ab].png") == [tmp_path / "[ab].png"]
    assert expand_pattern(tmp_path / "[ac].png") == [tmp_path / "a.png"]
    assert expand_pattern(tmp_path / "gone.png") == [tmp_path / "gone.png"]
    with raises(DataError, "E_DATA_SOURCE", says="matches nothing"):
        expand_pattern(tmp_path / "*.gif")


def test_progress_counts_the_images_and_quiet_hides_it(run: Run, bundle: Path, images: Path) -> None:
    _, out, err = run("predict", bundle, images, *BACKEND)
    assert err.startswith("predict: 4 steps\npredict: done in ")
    assert run("predict", bundle, images, *BACKEND, "-q") == (0, out, "")


def test_maps_pictures_and_rows_can_be_asked_for_at_once(run: Run, bundle: Path, images: Path, tmp_path: Path) -> None:
    outputs = ("--explain", tmp_path / "maps", "--save", tmp_path / "pictures", "--out", tmp_path / "p.jsonl")
    code, _, err = run("predict", bundle, images, *BACKEND, *outputs)
    assert code == 0
    assert err.splitlines()[0] == "predict: 4 steps"
    assert err.splitlines()[-2:] == [f"pictures: 3 of 4 in {tmp_path / name}" for name in ("maps", "pictures")]
    names = ["1-2.png", "1.png", "c.png"]
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == names
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == names
    assert (tmp_path / "maps/c.png").read_bytes() != (tmp_path / "pictures/c.png").read_bytes()
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 4


def test_explanations_are_made_one_after_another_while_the_model_is_open(bundle: Path, images: Path, tmp_path: Path) -> None:
    with weckd_edge.load(bundle).open("onnxruntime") as model:
        found = model.explain([images / "a", images / "b"], tmp_path / "maps")
        assert next(found).overlay == str(tmp_path / "maps/1.png")
        assert [path.name for path in (tmp_path / "maps").iterdir()] == ["1.png"]
    with raises(ModelError, "E_MODEL_CLOSED"):
        next(found)
