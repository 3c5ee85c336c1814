"""What ``data check`` and ``data split`` do with data sets that are not as they should be: one line, and nothing left."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.errors import printed
from weckd_edge.cli.console.text import one_line

Run = Callable[..., tuple[int, str, str]]

LABELS = ("normal", "wax")


def encoded(seed: int, kind: str = "PNG") -> bytes:
    cells = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(cells).resize((40, 30), Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


IMAGES = {f"{label}/{i:02d}.png": encoded(100 * c + i) for c, label in enumerate(LABELS) for i in range(12)}
WHOLE = IMAGES["wax/00.png"]
JPEG = encoded(1000, "JPEG")

BAD = {
    "normal/cut.png": (WHOLE[: len(WHOLE) // 2], "damaged"),
    "normal/notes": (b"hello", "not an image but text"),
    "wax/cut.jpg": (JPEG[: len(JPEG) // 2], "damaged"),
    "wax/empty.png": (b"", "empty file (0 bytes)"),
    "wax/scrambled.png": (WHOLE[:90] + bytes(byte ^ 0x5A for byte in WHOLE[90:]), "damaged"),
    "wax/zip.jpg": (b"PK\x03\x04" + bytes(200), "not an image but a ZIP archive"),
}
"""Files that cannot be used, and how the reason begins."""


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def ears(tmp_path: Path) -> Path:
    return write(tmp_path / "ears", IMAGES)


@pytest.fixture
def bad_ears(ears: Path) -> Path:
    return write(ears, {name: data for name, (data, _) in BAD.items()})


def assert_one_line(err: str, code: str, *says: str) -> None:
    assert printed(err, code, says=says)
    assert err.endswith("\n")
    assert err.count("\n") == 1


LAYOUTS: dict[str, tuple[dict[str, bytes], str, tuple[str, ...]]] = {
    "an empty folder": ({}, "E_DATA_LAYOUT", ()),
    "files alone": ({"1.png": WHOLE, "2.png": WHOLE}, "E_DATA_LAYOUT", ()),
    "one class": ({"wax/1.png": WHOLE}, "E_DATA_FEW_CLASSES", ("'wax'",)),
    "a class without images": ({"wax/1.png": WHOLE, "normal/.keep": b""}, "E_DATA_EMPTY_CLASS", ("'normal'",)),
    "splits without classes": ({"train/1.png": WHOLE, "test/1.png": WHOLE}, "E_DATA_LAYOUT", ("test, train",)),
    "a name no terminal can show": ({"a\nb/1.png": WHOLE, "wax/1.png": WHOLE}, "E_DATA_CLASS_NAME", ("'a\\nb'",)),
}

TABLES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "no column path": ("where,label\na,wax\n", "E_DATA_COLUMN", ("'path (or file)'", "where, label")),
    "no column label": ("path,a,b\na.png,wax,1\n", "E_DATA_COLUMN", ("'label'", "path, a, b")),
    "nothing at all": ("", "E_DATA_COLUMN", ()),
    "a header alone": ("path,label\n", "E_DATA_TABLE_EMPTY", ()),
    "an unknown split": ("path,label,split\na.png,wax,tran\n", "E_DATA_TABLE_CELL", ("line 2", "'tran'", "'train'")),
    "a path above": ("path,label\n../a.png,wax\n", "E_DATA_TABLE_PATH", ("line 2", "../a.png")),
    "a path above, hidden": ("path,label\nwax/../../a.png,wax\n", "E_DATA_TABLE_PATH", ("line 2", "wax/../../a.png")),
    "a path elsewhere": ("path,label\n/etc/passwd,wax\n", "E_DATA_TABLE_PATH", ("line 2", "/etc/passwd")),
    "one image twice": ("path,label\na.png,wax\n./a.png,normal\n", "E_DATA_TABLE_TWICE", ("line 3", "a.png")),
    "one class": ("path,label\na.png,wax\nb.png,wax\n", "E_DATA_FEW_CLASSES", ("'wax'",)),
}


@pytest.fixture(params=["check", "split"])
def refused(request: pytest.FixtureRequest, run: Run, tmp_path: Path) -> Callable[..., None]:
    """Check that both commands refuse a data set in one line, print no data, and leave the disk as it was."""

    def refused(path: Path, code: str, *says: str) -> None:
        before = tree(tmp_path)
        output = ("--out", tmp_path / "new" / "index.json") if request.param == "split" else ()
        for options in ((), ("--json",)):
            got, out, err = run("data", request.param, path, *output, "-q", *options)
            assert got == 1
            assert_one_line(err, code, *says)
            if options:
                failure = json.loads(out)["error"]
                assert err == f"error[{failure['code']}]: {one_line(failure['message'])}\n"
            else:
                assert out == ""
        assert tree(tmp_path) == before

    return refused


def test_a_missing_folder_is_refused(refused: Callable[..., None], tmp_path: Path) -> None:
    refused(tmp_path / "none", "E_DATA_SOURCE", str(tmp_path / "none"))


def test_a_name_no_file_can_have_is_refused(refused: Callable[..., None], tmp_path: Path) -> None:
    refused(tmp_path / ("x" * 300), "E_DATA_SOURCE", "File name too long")


def test_a_file_of_another_kind_is_refused(refused: Callable[..., None], ears: Path) -> None:
    refused(ears / "wax" / "00.png", "E_DATA_SOURCE", "00.png")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_laid_out_otherwise_is_refused(layout: str, refused: Callable[..., None], tmp_path: Path) -> None:
    files, code, says = LAYOUTS[layout]
    (tmp_path / "set").mkdir()
    refused(write(tmp_path / "set", files), code, *says)


@pytest.mark.parametrize("table", TABLES)
def test_a_csv_that_names_no_data_set_is_refused(table: str, refused: Callable[..., None], tmp_path: Path) -> None:
    text, code, says = TABLES[table]
    (tmp_path / "set.csv").write_text(text)
    refused(tmp_path / "set.csv", code, str(tmp_path / "set.csv"), *says)


def test_a_csv_in_another_encoding_is_refused(refused: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_bytes("path,label\né.png,wax\n".encode("utf-16")[:-1])
    refused(tmp_path / "set.csv", "E_DATA_TABLE_ENCODING", "UTF-16")


def test_check_lists_every_file_that_cannot_be_used(run: Run, bad_ears: Path) -> None:
    before = tree(bad_ears)
    code, out, err = run("data", "check", bad_ears, "--json", "-q")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["images"] == len(IMAGES)
    found = {file["path"]: file["reason"] for file in report["bad_files"]}
    assert list(found) == sorted(BAD)
    assert {name: reason for name, (_, reason) in BAD.items() if not found[name].startswith(reason)} == {}
    code, table, _ = run("data", "check", bad_ears, "-q")
    assert code == 0
    assert all(f"│ {name} " in table for name in BAD)
    assert tree(bad_ears) == before


def test_split_refuses_bad_files_naming_each_and_the_way_on(run: Run, bad_ears: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    code, out, err = run("data", "split", bad_ears, "--out", tmp_path / "index.json", "-q")
    assert (code, out) == (1, "")
    assert_one_line(err, "E_DATA_BAD_IMAGES", "6", "--skip-bad", *BAD)
    assert tree(tmp_path) == before


def test_split_goes_on_without_bad_files_and_records_them(run: Run, bad_ears: Path, tmp_path: Path) -> None:
    out = tmp_path / "index.json"
    code, text, err = run("data", "split", bad_ears, "--out", out, "--labelled-subsets", "1", "--skip-bad")
    assert code == 0
    assert "6 files were left out because they cannot be used" in err
    assert f"written: {out}" in err
    assert "normal" in text
    index = json.loads(out.read_text())
    assert [file["path"] for file in index["bad_files"]] == sorted(BAD)
    assert {image["path"] for image in index["images"]} == set(IMAGES)
    assert [path.name for path in tmp_path.iterdir() if path != bad_ears] == ["index.json"]


def test_an_index_that_is_there_survives_a_refused_split(run: Run, bad_ears: Path, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("years of work")
    assert run("data", "split", bad_ears, "--out", tmp_path / "index.json", "-q")[0] == 1
    assert (tmp_path / "index.json").read_text() == "years of work"


def test_a_class_that_is_all_bad_is_refused_even_when_skipping(run: Run, ears: Path, tmp_path: Path) -> None:
    write(ears, {name: b"" for name in IMAGES if name.startswith("wax/")})
    before = tree(tmp_path)
    code, out, err = run("data", "split", ears, "--out", tmp_path / "new" / "index.json", "--skip-bad", "-q")
    assert (code, out) == (1, "")
    assert_one_line(err, "E_DATA_EMPTY_CLASS", "'wax'", "12")
    assert tree(tmp_path) == before


def csv_of(names: list[str]) -> str:
    return "".join(["path,label\n", *(f"{name},{name.partition('/')[0]}\n" for name in names)])


def test_csv_rows_without_a_file_are_bad_files(run: Run, ears: Path, tmp_path: Path) -> None:
    long = f"wax/{'x' * 300}.png"
    (ears / "set.csv").write_text(csv_of([*IMAGES, "wax/gone.png", "wax/nul\0.png", long]))
    code, out, _ = run("data", "check", ears / "set.csv", "--json", "-q")
    assert code == 0
    found = {file["path"]: file["reason"] for file in json.loads(out)["bad_files"]}
    assert found == {
        "wax/gone.png": "no such file",
        "wax/nul\0.png": "no such file (embedded null byte)",
        long: "cannot be read (File name too long)",
    }
    code, out, err = run("data", "split", ears / "set.csv", "--out", tmp_path / "i.json", "--labelled-subsets", "1", "-q")
    assert (code, out) == (1, "")
    assert_one_line(err, "E_DATA_BAD_IMAGES", "3", "wax/gone.png", "wax/nul\\x00.png")
    assert (
        run("data", "split", ears / "set.csv", "--out", tmp_path / "i.json", "--labelled-subsets", "1", "-q", "--skip-bad")[
            0
        ]
        == 0
    )
    assert {image["path"] for image in json.loads((tmp_path / "i.json").read_text())["images"]} == set(IMAGES)


def test_a_name_that_is_not_utf_8_is_a_bad_file(run: Run, ears: Path, tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(ears / "wax") + b"/\xff.png")).write_bytes(WHOLE)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    code, out, _ = run("data", "check", ears, "--json", "-q")
    assert code == 0
    assert json.loads(out)["bad_files"] == [{"path": "wax/\\udcff.png", "reason": "its name is not UTF-8; rename it"}]
    assert run("data", "check", ears, "-q")[0] == 0
    args = ("data", "split", ears, "--out", tmp_path / "i.json", "--labelled-subsets", "1", "-q")
    code, _, err = run(*args)
    assert code == 1
    assert_one_line(err, "E_DATA_BAD_IMAGES", "wax/\\udcff.png")
    assert run(*args, "--skip-bad")[0] == 0
    assert {image["path"] for image in json.loads((tmp_path / "i.json").read_text())["images"]} == set(IMAGES)


def test_a_line_break_in_a_file_name_does_not_break_the_line(run: Run, ears: Path, tmp_path: Path) -> None:
    write(ears, {"wax/a\nb.png": b""})
    code, _, err = run("data", "split", ears, "--out", tmp_path / "i.json", "-q")
    assert code == 1
    assert_one_line(err, "E_DATA_BAD_IMAGES", "wax/a\\nb.png")


def split(run: Run, ears: Path, out: Path, *options: str) -> tuple[int, str, str]:
    return run("data", "split", ears, "--out", out, "--labelled-subsets", "1", "-q", *options)


def test_the_folder_of_the_output_is_made(run: Run, ears: Path, tmp_path: Path) -> None:
    out = tmp_path / "not" / "there" / "index.json"
    assert split(run, ears, out)[0] == 0
    assert [path.name for path in out.parent.iterdir()] == ["index.json"]


def test_an_output_that_cannot_be_written_is_one_line_and_leaves_nothing(run: Run, ears: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    before = tree(tmp_path)
    for out in (tmp_path / "file" / "index.json", tmp_path / "file" / "below" / "index.json", tmp_path / ("x" * 252)):
        code, text, err = split(run, ears, out, "--json")
        assert (code, json.loads(text)["error"]["code"]) == (1, "E_STORE_UNWRITABLE")
        assert_one_line(err, "E_STORE_UNWRITABLE", str(out))
    assert tree(tmp_path) == before


def test_a_folder_where_the_output_should_be_is_a_wrong_request(run: Run, ears: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    code, out, err = split(run, ears, ears)
    assert (code, out) == (2, "")
    assert "is a directory" in err
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("text", "error", "named"),
    [
        (None, "E_FILE_MISSING", "build.toml"),
        ("[data]\ntest_fractoin = 0.2\n", "E_RECORD_KEY_UNKNOWN", "test_fractoin"),
        ("[data]\ntest_fraction = 2.0\n", "E_CONFIG_RANGE", "test_fraction"),
        ("[data\n", "E_TOML", "build.toml"),
    ],
    ids=["missing", "unknown key", "out of range", "not TOML"],
)
def test_a_wrong_config_is_a_wrong_request(
    text: str | None, error: str, named: str, run: Run, ears: Path, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "build.toml").write_text(text)
    before = tree(tmp_path)
    code, out, err = split(run, ears, tmp_path / "index.json", "--config", str(tmp_path / "build.toml"))
    assert (code, out) == (2, "")
    assert_one_line(err, error, named)
    assert tree(tmp_path) == before


def test_too_few_images_for_the_labelled_subsets_are_refused_with_the_way_on(run: Run, ears: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    code, out, err = run("data", "split", ears, "--out", tmp_path / "index.json", "--labelled-subsets", "40", "-q")
    assert (code, out) == (1, "")
    assert_one_line(err, "E_DATA_SMALL_CLASS", "'normal'", "12 groups", "[[link]]")
    assert tree(tmp_path) == before


def test_phantoms_are_drawn_nowhere_but_in_a_folder_of_their_own(run: Run, ears: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    before = tree(tmp_path)
    cases = {
        tmp_path / "file": (2, "Error: "),
        tmp_path / "file" / "below": (1, "error[E_STORE_UNWRITABLE]: "),
        tmp_path / ("x" * 300): (1, "error[E_STORE_UNWRITABLE]: "),
        ears: (1, "error[E_DATA_OUT_OCCUPIED]: "),
    }
    for out, (expected, start) in cases.items():
        code, text, err = run("data", "synth", "--out", out, "--images", "20", "--size", "32x32", "-q")
        assert (code, text) == (expected, "")
        assert start in err
    assert tree(tmp_path) == before


def test_a_data_set_of_which_nothing_can_be_read_ends_the_check_with_1(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "set", {f"{label}/{i}.png": b"no image" for label in LABELS for i in range(2)})
    for options in ((), ("--json",)):
        code, out, err = run("data", "check", tmp_path / "set", "-q", *options)
        assert code == 1
        assert_one_line(err, "E_DATA_BAD_IMAGES", "4", "normal/0.png")
        assert "wax/1.png" in out
    assert json.loads(out)["images"] == 0


@pytest.mark.parametrize("command", ["check", "split", "audit"])
def test_no_cache_is_kept_in_the_data_set(command: str, ears: Path, run: Run, tmp_path: Path) -> None:
    before = tree(tmp_path)
    output = ("--out", tmp_path / "index.json") if command == "split" else ()
    got, out, err = run("data", command, ears, *output, "-q", "--cache", ears / "cache")
    assert (got, out) == (2, "")
    assert_one_line(err, "E_CONFIG_OUT_PLACE", "--cache")
    assert tree(tmp_path) == before


def test_a_cache_is_shared_by_the_commands_and_changes_nothing_that_is_printed(ears: Path, run: Run, tmp_path: Path) -> None:
    cache = ("--cache", tmp_path / "cache")
    plain = run("data", "check", ears, "-q", "--json")
    assert plain == run("data", "check", ears, "-q", "--json", *cache) == run("data", "check", ears, "-q", "--json", *cache)
    split = [
        run("data", "split", ears, "-q", "--labelled-subsets", "1", "--out", tmp_path / name, *more)
        for name, more in (("a.json", ()), ("b.json", cache))
    ]
    assert [got for got, _, _ in split] == [0, 0]
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
