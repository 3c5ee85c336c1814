"""A folder or a CSV becomes a sorted list of labelled files, or one clear line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from support.errors import raises
from weckd_edge.core.errors import DataError
from weckd_edge.train.data.listing import data_root, fingerprint, list_images


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_a_folder_gives_labels_and_nested_files_without_hidden_ones(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.png", "b/deep/er/1.png", "a/1.png", "a/.hidden", ".git/x", "README.md", "groups.csv")
    found = [(image.path, image.label) for image in list_images(tmp_path)]
    assert found == [("a/1.png", "a"), ("b/2.png", "b"), ("b/deep/er/1.png", "b")]


def test_a_link_that_loops_back_ends(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "file.png").symlink_to(tmp_path / "b" / "1.png")
    assert [image.path for image in list_images(tmp_path)] == ["a/1.png", "a/file.png", "b/1.png"]


@pytest.mark.parametrize(
    ("names", "code", "named"),
    [
        ((), "E_DATA_LAYOUT", ()),
        (("1.png",), "E_DATA_LAYOUT", ()),
        (("a/1.png",), "E_DATA_FEW_CLASSES", "'a'"),
        (("a/1.png", "b/.keep"), "E_DATA_EMPTY_CLASS", "'b'"),
        (("train/1.png", "test/1.png"), "E_DATA_LAYOUT", ("test", "train")),
        (("Wax/1.png", "wax /1.png"), "E_DATA_CLASS_NAME", ("'Wax'", "'wax '")),
        (("ear_wax/1.png", "ear-wax/1.png"), "E_DATA_CLASS_NAME", ("'ear_wax'", "'ear-wax'")),
        (("a\x07/1.png", "b/1.png"), "E_DATA_CLASS_NAME", "'a\\x07'"),
    ],
)
def test_a_folder_laid_out_otherwise_is_refused(
    tmp_path: Path, names: tuple[str, ...], code: str, named: tuple[str, ...] | str
) -> None:
    touch(tmp_path, *names)
    with raises(DataError, code, says=named):
        list_images(tmp_path)


def test_a_missing_folder_and_another_file_are_refused(tmp_path: Path) -> None:
    with raises(DataError, "E_DATA_SOURCE"):
        list_images(tmp_path / "none")
    touch(tmp_path, "a.zip")
    with raises(DataError, "E_DATA_SOURCE"):
        list_images(tmp_path / "a.zip")


@pytest.mark.parametrize(
    "text",
    [
        "path,label,group,split\nx/1.png,a,g1,Training\n2.png,b,,TEST\n",
        "\ufefffile;label;group;published_split;other\n./x/1.png;a;g1;train;9\n\n2.png; b;;testing;9\n",
        "Path\tLabel\tgroup\tsplit\r\nx\\1.png\ta\tg1\ttrain\r\n2.png\tb\t\ttest\r\n",
    ],
)
def test_a_csv_in_any_common_shape_reads_the_same(tmp_path: Path, text: str) -> None:
    (tmp_path / "set.csv").write_text(text, encoding="utf-8", newline="")
    found = [(i.path, i.label, i.group, i.published_split) for i in list_images(tmp_path / "set.csv")]
    assert found == [("2.png", "b", None, "test"), ("x/1.png", "a", "g1", "train")]
    assert data_root(tmp_path / "set.csv") == tmp_path


def test_absolute_paths_below_the_csv_become_relative(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(f"path,label\n{tmp_path.resolve()}/a.png,a\nb.png,b\n")
    assert [image.path for image in list_images(tmp_path / "s.csv")] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("", "E_DATA_COLUMN", "'path (or file)'"),
        ("where,label\n1,a\n", "E_DATA_COLUMN", ("where, label", "--path-column")),
        ("path,sort,kind\n1.png,a,b\n", "E_DATA_COLUMN", ("'label'", "--label-column")),
        ("path,label\n", "E_DATA_TABLE_EMPTY", ()),
        ("path,label\n,a\n", "E_DATA_TABLE_CELL", "line 2"),
        ("path,label\n../1.png,a\n", "E_DATA_TABLE_PATH", "../1.png"),
        ("path,label\n/etc/passwd,a\n", "E_DATA_TABLE_PATH", "/etc/passwd"),
        ("path,label\n1.png,a\n1.png,b\n", "E_DATA_TABLE_TWICE", ("line 3", "1.png")),
        ("path,label,split\n1.png,a,tets\n", "E_DATA_TABLE_CELL", ("'tets'", "'test'")),
        ("path,label\n1.png,a\n2.png,a\n", "E_DATA_FEW_CLASSES", "'a'"),
    ],
)
def test_a_bad_csv_is_one_clear_line(tmp_path: Path, text: str, code: str, named: tuple[str, ...] | str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with raises(DataError, code, says=named) as caught:
        list_images(tmp_path / "s.csv")
    assert "\n" not in str(caught.value)


def test_a_csv_that_is_not_text_is_refused(tmp_path: Path) -> None:
    for data in (b"\x89PNG\r\n\x1a\n" + bytes(200), b"PK\x03\x04" + bytes(200), b"\xff\xfe\x00"):
        (tmp_path / "s.csv").write_bytes(data)
        with raises(DataError, "E_DATA_TABLE_ENCODING"):
            list_images(tmp_path / "s.csv")


def test_the_fingerprint_follows_names_sizes_and_the_csv(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "s.csv").write_text("path,label\na/1.png,a\nb/1.png,b\n")
    folder, table = fingerprint(tmp_path), fingerprint(tmp_path / "s.csv")
    assert folder == fingerprint(tmp_path)
    (tmp_path / "a" / "1.png").write_bytes(b"xy")
    assert fingerprint(tmp_path) != folder
    after = fingerprint(tmp_path / "s.csv")
    assert after != table
    (tmp_path / "s.csv").write_text("path,label,group\na/1.png,a,g\nb/1.png,b,g\n")
    assert fingerprint(tmp_path / "s.csv") != after


@pytest.mark.parametrize(
    ("label", "named"),
    [
        ("x" * 128, ("127", "128")),
        ("é" * 64, "128"),
        ("a\udcff", "'a\\udcff'"),
    ],
)
def test_a_class_name_that_no_bundle_can_hold_is_refused(tmp_path: Path, label: str, named: tuple[str, ...] | str) -> None:
    touch(tmp_path, f"{label}/1.png", "b/1.png")
    with raises(DataError, "E_DATA_CLASS_NAME", says=named) as caught:
        list_images(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "set.csv").write_text(f"path,label\n1.png,{label}\n2.png,b\n", encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError):
        list_images(tmp_path / "set.csv")


def test_the_longest_class_name_that_a_bundle_can_hold_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, f"{'x' * 127}/1.png", "b/1.png")
    assert [image.label for image in list_images(tmp_path)] == ["b", "x" * 127]


def test_more_classes_than_a_bundle_can_hold_are_refused(tmp_path: Path) -> None:
    rows = [f"{i}.png,class {i}" for i in range(1025)]
    (tmp_path / "set.csv").write_text("path,label\n" + "\n".join(rows))
    with raises(DataError, "E_DATA_LIMIT", says=("1024", "1025")):
        list_images(tmp_path / "set.csv")
    (tmp_path / "set.csv").write_text("path,label\n" + "\n".join(rows[:1024]))
    assert len(list_images(tmp_path / "set.csv")) == 1024


def test_links_that_double_the_way_to_a_folder_are_followed_once(tmp_path: Path) -> None:
    """Each folder has two links to the next: 2 to the 30th power ways lead to the last one."""
    touch(tmp_path, "a/0/1.png", "b/1.png", "c/1.png")
    for depth in range(30):
        touch(tmp_path, f"steps/{depth + 1}/1.png")
        here = tmp_path / ("a/0" if depth == 0 else f"steps/{depth}")
        for name in ("one", "two"):
            (here / name).symlink_to(tmp_path / f"steps/{depth + 1}")
    (tmp_path / "steps").rename(tmp_path / ".steps")
    for link in [*(tmp_path / "a").rglob("*"), *(tmp_path / ".steps").rglob("*")]:
        if link.is_symlink():
            target = link.readlink()
            link.unlink()
            link.symlink_to(tmp_path / ".steps" / target.name)
    found = [image.path for image in list_images(tmp_path)]
    assert len(found) == 33
    assert found[0] == "a/0/1.png"


def test_a_folder_is_named_by_its_own_path_where_a_link_leads_there_too(tmp_path: Path) -> None:
    touch(tmp_path, "a/z/1.png", "b/1.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a" / "z")
    assert [image.path for image in list_images(tmp_path)] == ["a/z/1.png", "b/1.png"]


def test_folders_without_end_below_each_other_are_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a" / "/".join("d" * 400)).mkdir(parents=True)  # more would be in the way of whoever takes them away
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(350)
    try:
        with raises(DataError, "E_DATA_LIMIT", says="64"):
            list_images(tmp_path)
    finally:
        sys.setrecursionlimit(limit)


def test_a_csv_that_never_ends_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    with (tmp_path / "sparse.csv").open("wb") as file:
        file.truncate(6 << 30)
    for name, code in (("pipe", "E_FILE_KIND"), ("zero", "E_FILE_KIND"), ("sparse", "E_FILE_LIMIT")):
        with raises(DataError, code):
            list_images(tmp_path / f"{name}.csv")


def test_a_csv_of_too_many_lines_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weckd_edge.train.data.listing.base.MAX_FILES", 3)
    (tmp_path / "set.csv").write_text("path,label\n1,a\n2,b\n3,a\n4,b\n")
    touch(tmp_path / "set", *(f"{label}/{i}.png" for label in "ab" for i in range(4)))
    with raises(DataError, "E_DATA_LIMIT", says="3"):
        list_images(tmp_path / "set.csv")
    with raises(DataError, "E_DATA_LIMIT", says="3"):
        list_images(tmp_path / "set")
