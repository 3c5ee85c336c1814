"""A bundle is held against labelled images that its build has not seen."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import weckd_edge
from support import factories
from support.errors import raises
from weckd_edge.artifacts import DatasetIndex
from weckd_edge.cli.main import cli
from weckd_edge.core.errors import ConfigError, DataError
from weckd_edge.devices.runtime.decision import Prediction
from weckd_edge.pipeline.evaluate import EvaluatedImage, _leave_out_known

pytest.importorskip("onnxruntime")

CSV = "other-site/images.csv"


def test_predictions_are_counted_against_the_labels(here: Path) -> None:
    found = weckd_edge.load("ear-bundle").evaluate(CSV, out="found")
    assert (found.images, found.groups, found.known, found.copies) == (8, 4, 0, 0)
    assert found.labels == ("effusion", "normal", "wax")
    assert found.confusion == ((3, 1, 0), (0, 4, 0), (0, 0, 0))
    assert found.metrics.accuracy.value == 7 / 8
    effusion, normal, wax = found.metrics.classes
    assert (effusion.images, effusion.found, normal.images, normal.found) == (4, 3, 4, 4)
    assert wax.sensitivity is None
    assert found.build_accuracy is not None
    assert found.build_accuracy.images == 12
    assert {(one.value, one.accuracy.value) for one in found.slices} == {("north", 1.0), ("south", 0.75)}
    assert json.loads((here / "found/evaluation.json").read_text())["images"] == 8
    with (here / "found/predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows if row["truth"] != row["label"]] == ["4.png"]
    assert {row["group"] for row in rows} == {"patient0", "patient1", "patient2", "patient3"}
    assert (here / "found/confusion_matrix.csv").read_text().splitlines()[1] == "effusion,3,1,0"


def test_a_decision_is_what_a_device_would_give(here: Path) -> None:
    found = weckd_edge.load("ear-bundle").evaluate(CSV)
    assert found.decided.value == 1 - sum(found.undecided.values()) / 8
    record = factories.image()
    plain: dict[str, Any] = {"file": "a", "label": "wax", "probabilities": {"wax": 1.0}, "decision": "wax", "reason": None}
    assert EvaluatedImage(record=record, prediction=Prediction(**plain)).reason is None
    assert EvaluatedImage(record=record, prediction=Prediction(**plain, guard="too_dark")).reason == "too_dark"
    unsure = Prediction(**plain, code="low_probability")
    assert EvaluatedImage(record=record, prediction=unsure).reason == "low_probability"


def known(former: DatasetIndex, *paths: str) -> tuple[list[str], int, list[str]]:
    index = factories.index([factories.image(path) for path in paths], ("ear", "wax"))
    left, number, notes = _leave_out_known(index, former)
    return [one.path for one in left.images], number, notes


def test_images_that_the_build_learnt_from_are_left_out_and_its_test_images_are_not() -> None:
    former = factories.index(
        [
            factories.image("a", split="train"),
            factories.image("b", split="val"),
            factories.image("c", split="test"),
        ],
        ("ear", "wax"),
    )
    assert known(former, "a", "b", "c", "d") == (["c", "d"], 2, [])
    same_name = factories.index([factories.image("z", split="train", group="d")], ("ear", "wax"))
    (note,) = known(same_name, "c", "d")[2]
    assert "the metrics are too high" in note
    unnamed = factories.index([factories.image("z", split="train", group="auto-1")], ("ear", "wax"))
    index = factories.index([factories.image("d", group="auto-1")], ("ear", "wax"))
    assert _leave_out_known(index, unnamed)[2] == []


def test_other_classes_are_refused(here: Path) -> None:
    (here / "other-site/images.csv").write_text("path,label\n0.png,normal\n5.png,efusion\n", encoding="utf-8")
    with raises(DataError, "E_DATA_OTHER_CLASSES", says=("efusion", "did you mean 'effusion'")):
        weckd_edge.load("ear-bundle").evaluate(CSV)


def test_nothing_is_written_among_the_images(here: Path) -> None:
    with raises(ConfigError, "E_CONFIG_OUT_PLACE", says="other-site"):
        weckd_edge.load("ear-bundle").evaluate("other-site", out="other-site/found")


def test_the_command_prints_what_the_function_returns(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli(["evaluate", "ear-bundle", "--data", CSV, "--json", "-q"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["metrics"]["accuracy"]["value"] == 7 / 8
    cli(["evaluate", "ear-bundle", "--data", CSV, "-q", "--out", "found"], standalone_mode=False)
    out, err = capsys.readouterr()
    assert "ears on other-site: 8 images in 4 groups" in out
    assert "87.5 %" in out
    assert "written to found" in err
