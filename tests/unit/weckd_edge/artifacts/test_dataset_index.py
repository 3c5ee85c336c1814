"""The index of a data set: its splits, and what a result that was made from them depends on."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from support.errors import raises
from weckd_edge.artifacts import DatasetIndex, ImageRecord, Labels, Split
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.serialization import from_json, to_json


@pytest.fixture
def index(networks: ModuleType) -> DatasetIndex:
    places: tuple[tuple[str, Split], ...] = (("a", "train"), ("b", "test"), ("c", "val"), ("d", "train"))
    images: tuple[ImageRecord, ...] = tuple(networks.record(f"{name}.png", 0, split) for name, split in places)
    return DatasetIndex(name="toy", labels=("x", "y"), images=images)


def test_a_split_holds_the_images_that_are_used_so_in_their_order(index: DatasetIndex) -> None:
    a, b, c, d = index.images
    assert index.split("train") == (a, d)
    assert index.split("val", "test") == (b, c)
    assert index.split("train", "val", "test") == index.images


def change(index: DatasetIndex, at: int, **changes: Any) -> DatasetIndex:
    images = list(index.images)
    images[at] = replace(images[at], **changes)
    return replace(index, images=tuple(images))


@pytest.mark.parametrize(
    "changes", [{"pixels_sha256": "0" * 64}, {"label": 1}, {"group": "other"}, {"split": "val"}, {"labelled_subset": 1}]
)
def test_the_identity_of_a_split_changes_with_each_of_its_images(index: DatasetIndex, changes: dict[str, Any]) -> None:
    assert change(index, 0, **changes).identity("train") != index.identity("train")
    assert change(index, 0, **changes).identity() != index.identity()


def test_the_identity_of_a_split_is_blind_to_other_splits_and_to_names(index: DatasetIndex) -> None:
    assert change(index, 1, label=1).identity("train") == index.identity("train")
    assert change(index, 0, path="renamed.png").identity("train") == index.identity("train")
    assert replace(index, name="other").identity("train") == index.identity("train")


def test_the_identity_of_the_files_changes_where_a_file_was_written_anew(index: DatasetIndex) -> None:
    written = change(index, 0, sha256="0" * 64)
    assert written.identity("train") == index.identity("train")
    assert written.identity("train", files=True) != index.identity("train", files=True)


def test_classes_are_put_in_the_order_of_the_outputs(index: DatasetIndex) -> None:
    index = replace(change(index, 1, label=2), labels=("effusion", "normal", "wax"))  # type: ignore[arg-type]  # as tests do
    turned = index.with_order(("wax", "normal", "effusion"))
    assert [turned.label_of(image) for image in turned.images] == [index.label_of(image) for image in index.images]
    assert [image.label for image in turned.images] == [2, 0, 2, 2]
    assert index.with_order(index.labels) == index
    with raises(ConfigError, "E_CONFIG_CLASSES", says=("effusion", "3 classes")):
        index.with_order(("wax", "normal"))


def test_labels_know_their_order_and_are_a_list_of_names_in_json(index: DatasetIndex) -> None:
    labels = Labels(("effusion", "normal", "wax"))
    assert (labels.name(2), labels.index("wax"), labels.indices(("wax", "effusion"))) == ("wax", 2, [2, 0])
    with pytest.raises(ValueError, match="not in tuple"):
        labels.indices(("ear",))
    text = to_json(index)
    assert '"labels": [\n  "x",\n  "y"\n ]' in text
    read = from_json(DatasetIndex, text, where="index", error=ConfigError)
    assert read == index
    assert isinstance(read.labels, Labels)
    with raises(ConfigError, "E_RECORD_TYPE", says=("index.labels[1]", "3")):
        from_json(DatasetIndex, text.replace('"y"', "3"), where="index", error=ConfigError)
