"""From files to an index: what is kept, what is refused, and what the check says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from support.errors import raises
from weckd_edge.artifacts import DatasetIndex, PublishedLeaks
from weckd_edge.cli.data import command
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.serialization import from_json, to_json
from weckd_edge.train.data.check import Leak, check_data
from weckd_edge.train.data.index import build_index

CONFIG = DataConfig(labelled_fraction=0.2)


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    Image.fromarray(cells).resize((40, 30), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "ears"
    for c, label in enumerate(("normal", "wax")):
        for i in range(14):
            draw(root / label / f"{i:02d}.png", 100 * c + i)
    return root


def index_of(path: Path, *, config: DataConfig = CONFIG, skip_bad: bool = False) -> DatasetIndex:
    return build_index(path, config, labelled_subsets=2, seed=3, skip_bad=skip_bad, progress=SilentProgress())


def test_an_index_names_every_image_once_and_survives_json(folder: Path) -> None:
    index = index_of(folder)
    assert (index.name, index.labels, len(index.images)) == ("ears", ("normal", "wax"), 28)
    assert [record.path for record in index.images] == sorted(record.path for record in index.images)
    assert {(record.width, record.height) for record in index.images} == {(40, 30)}
    assert {record.labelled_subset for record in index.images} == {None, 0, 1}
    assert not index.synthetic
    assert from_json(DatasetIndex, to_json(index), where="index", error=DataError) == index
    assert to_json(index_of(folder)) == to_json(index)


def test_every_training_image_is_labelled_unless_a_fraction_is_named(folder: Path) -> None:
    index = index_of(folder, config=DataConfig())
    subsets = Counter(record.labelled_subset for record in index.split("train"))
    assert set(subsets) == {0, 1}
    assert max(subsets.values()) - min(subsets.values()) <= 2
    assert {record.labelled_subset for record in index.split("val", "test")} == {None}


def test_copies_with_one_label_are_counted_and_left_out(folder: Path) -> None:
    (folder / "wax" / "zz.png").write_bytes((folder / "wax" / "03.png").read_bytes())
    index = index_of(folder)
    assert index.exact_copies == 1
    assert len(index.images) == 28
    assert "wax/zz.png" not in {record.path for record in index.images}


def test_a_copy_that_is_left_out_still_ties_its_group_to_that_of_the_first(folder: Path) -> None:
    """wax/03.png of ear A is the very picture of wax/zz.png, which the table gives to ear B: A and B are one ear."""
    (folder / "wax" / "zz.png").write_bytes((folder / "wax" / "03.png").read_bytes())
    rows = ["path,label,group"]
    named = {"wax/03.png": "A", "wax/04.png": "A", "wax/zz.png": "B", "wax/05.png": "B"}
    for file in sorted(folder.rglob("*.png")):
        path = file.relative_to(folder).as_posix()
        rows.append(f"{path},{path.partition('/')[0]},{named.get(path, path)}")
    (folder / "groups.csv").write_text("\n".join(rows) + "\n")
    index = index_of(folder / "groups.csv")
    group_of = {record.path: record.group for record in index.images}
    assert "wax/zz.png" not in group_of
    assert {group_of[f"wax/{name}.png"] for name in ("03", "04", "05")} == {"A"}
    report = check_data(folder / "groups.csv", CONFIG, SilentProgress())
    assert report.groups == len(set(group_of.values()))


def test_bad_files_are_all_named_or_skipped_and_recorded(folder: Path) -> None:
    whole = (folder / "wax" / "00.png").read_bytes()
    (folder / "wax" / "empty.png").write_bytes(b"")
    (folder / "wax" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "normal" / "notes").write_text("hello")
    with raises(DataError, "E_DATA_BAD_IMAGES", says="3") as caught:
        index_of(folder)
    for name in ("wax/empty.png: empty file", "wax/cut.png: damaged", "normal/notes: not an image", "--skip-bad"):
        assert name in str(caught.value)
    index = index_of(folder, skip_bad=True)
    assert [bad.path for bad in index.bad_files] == ["normal/notes", "wax/cut.png", "wax/empty.png"]
    assert len(index.images) == 28


def test_at_most_ten_bad_files_are_shown_with_their_number(folder: Path) -> None:
    for i in range(12):
        (folder / "wax" / f"bad{i:02d}.png").write_bytes(b"")
    with raises(DataError, "E_DATA_BAD_IMAGES", says=("12", "bad09", "2")):
        index_of(folder)


def test_a_class_whose_files_are_all_bad_is_refused_even_when_skipping(folder: Path) -> None:
    for path in (folder / "wax").iterdir():
        path.write_bytes(b"")
    with raises(DataError, "E_DATA_EMPTY_CLASS", says=("'wax'", "14")):
        index_of(folder, skip_bad=True)


def test_one_image_under_two_labels_is_refused_or_dropped_with_all_its_copies(folder: Path) -> None:
    (folder / "normal" / "zz.png").write_bytes((folder / "wax" / "03.png").read_bytes())
    with raises(DataError, "E_DATA_BAD_IMAGES", says=("2", "normal/zz.png", "wax/03.png")):
        index_of(folder)
    index = index_of(folder, skip_bad=True)
    assert [bad.path for bad in index.bad_files] == ["normal/zz.png", "wax/03.png"]
    assert len(index.images) == 27
    assert len(check_data(folder, CONFIG, SilentProgress()).contradictions) == 2


def test_a_csv_naming_a_missing_file_is_refused_with_its_name(folder: Path) -> None:
    lines = ["path,label", *(f"{label}/{i:02d}.png,{label}" for label in ("normal", "wax") for i in range(15))]
    (folder / "set.csv").write_text("\n".join(lines))
    with raises(DataError, "E_DATA_BAD_IMAGES", says=("normal/14.png", "wax/14.png")):
        index_of(folder / "set.csv")


def test_too_few_images_name_the_class_and_the_settings(folder: Path) -> None:
    for i in range(3, 14):
        (folder / "wax" / f"{i:02d}.png").unlink()
    with raises(DataError, "E_DATA_SMALL_CLASS", says=("'wax'", "3", "4", "[[link]]")):
        index_of(folder)


def published(folder: Path) -> Path:
    (folder / "wax" / "zz.png").write_bytes((folder / "wax" / "00.png").read_bytes())
    rows = [f"{label}/{i:02d}.png,{label},{'train' if i < 11 else 'test'}" for label in ("normal", "wax") for i in range(14)]
    (folder / "set.csv").write_text("\n".join(["path,label,split", *rows, "wax/zz.png,wax,test"]))
    return folder / "set.csv"


def test_the_published_test_split_is_kept_with_its_leaks(folder: Path) -> None:
    index = index_of(published(folder), config=DataConfig(labelled_fraction=0.2, use_published_split=True))
    tests = index.split("test")
    assert len(tests) == 7
    assert all(record.published_split == "test" for record in tests)
    assert index.exact_copies == 0
    assert {record.split for record in index.images if record.published_split == "train"} == {"train", "val"}


@pytest.mark.parametrize("kept", [True, False])
def test_the_leaks_of_a_published_split_are_counted_before_copies_are_left_out(folder: Path, kept: bool) -> None:
    index = index_of(published(folder), config=DataConfig(labelled_fraction=0.2, use_published_split=kept))
    assert index.published_leaks == PublishedLeaks(test_images=7, copies=1, grouped=1)


def test_copies_of_published_validation_images_in_the_test_part_are_counted_by_themselves(folder: Path) -> None:
    table = published(folder)
    table.write_text(table.read_text().replace("wax/00.png,wax,train", "wax/00.png,wax,val"))
    index = index_of(table, config=DataConfig(labelled_fraction=0.2, use_published_split=False))
    assert index.published_leaks == PublishedLeaks(test_images=7, copies=0, grouped=0, val_copies=1, val_grouped=1)
    table.write_text(table.read_text().replace("normal/00.png,normal,train", "normal/00.png,normal,val"))
    index = index_of(table, config=DataConfig(labelled_fraction=0.2, use_published_split=True))
    note = next(note.text for note in index.notes if note.code == "W_SPLIT_LEAKS")
    assert "0 are copies of a training image" in note
    assert "1 are copies of a validation image and 1 share a group with one" in note
    assert check_data(table, DataConfig(), SilentProgress()).leaks == (
        Leak(test="wax/zz.png", train=None, val="wax/00.png"),
    )
    text = CliRunner().invoke(command, ["check", str(table), "-q"])
    assert "is a copy of the validation file" in text.stdout
    assert "training file" not in text.stdout


def test_validation_images_that_are_the_test_images_do_not_leak_from_themselves(folder: Path) -> None:
    table = published(folder)
    table.write_text(table.read_text().replace(",test", ",val"))
    index = index_of(table, config=DataConfig(labelled_fraction=0.2))
    assert index.published_leaks == PublishedLeaks(test_images=7, copies=1, grouped=1)


def test_an_index_without_a_published_split_has_no_leaks_of_one(folder: Path) -> None:
    assert index_of(folder).published_leaks is None


def test_check_names_the_leak_on_stdout_and_in_json(folder: Path) -> None:
    path = published(folder)
    text = CliRunner().invoke(command, ["check", str(path), "-q"])
    assert text.exit_code == 0, text.output
    assert "wax/zz.png" in text.stdout
    assert "wax/00.png" in text.stdout
    found = json.loads(CliRunner().invoke(command, ["check", str(path), "--json", "-q"]).stdout)
    assert found == {
        "images": 29,
        "labels": ["normal", "wax"],
        "class_counts": {"normal": 14, "wax": 15},
        "groups": 28,
        "bad_files": [],
        "exact_duplicates": 1,
        "near_duplicate_groups": 0,
        "published_split": {
            "leaking_test_images": 1,
            "grouped_test_images": 1,
            "test_images_leaking_from_val": 0,
            "test_images_grouped_with_val": 0,
            "test_images": 7,
        },
        "leaks": [{"test": "wax/zz.png", "train": "wax/00.png", "val": None}],
        "notes": [
            {"code": "I_SPLIT_USED", "text": "the split that the data set came with is used (train 22, test 7)"},
            {
                "code": "W_SPLIT_LEAKS",
                "text": "the split that the data set came with leaks: of 7 test images 1 are copies of a training image and "
                "1 share a group with one; --no-published-split deals a new one by whole groups",
            },
        ],
    }


def test_check_of_a_folder_reports_bad_files_and_no_split(folder: Path) -> None:
    (folder / "wax" / "empty.png").write_bytes(b"")
    found = json.loads(CliRunner().invoke(command, ["check", str(folder), "--json", "-q"]).stdout)
    assert found["bad_files"] == [{"path": "wax/empty.png", "reason": "empty file (0 bytes)"}]
    assert found["published_split"] is None


def test_split_writes_the_index_it_prints(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "index.json"
    args = ["split", str(folder), "--out", str(out), "--labelled-subsets", "2", "--seed", "3", "--json", "-q"]
    result = CliRunner().invoke(command, args)
    assert result.exit_code == 0, result.output
    assert result.stdout == out.read_text()
    index = from_json(DatasetIndex, out.read_text(), where="index", error=DataError)
    assert {record.labelled_subset for record in index.images} == {None, 0, 1}
