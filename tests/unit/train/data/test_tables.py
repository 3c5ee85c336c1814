"""CSVs as spreadsheets, programs and competitions write them: encodings, delimiters, columns, names of files, labels."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from support.errors import raises
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import ConfigError, DataError
from weckd_edge.train.data.listing import Listing, list_data, lookup

ROWS = [(f"images/{i}.jpg", ("normal", "wax")[i % 2], f"P{i // 2}", ("train", "test")[i // 4 % 2]) for i in range(8)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, *_ in ROWS:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    return tmp_path


def listed(root: Path, text: str | bytes, name: str = "set.csv", **columns: str) -> Listing:
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return list_data(root / name, DataConfig(**columns))  # type: ignore[arg-type]


def labels(listing: Listing) -> dict[str, str]:
    return {image.path: image.label for image in listing.images}


def said(listing: Listing, code: str) -> str:
    return " / ".join(note.text for note in listing.notes if note.code == code)


def written(head: str = "path,label", delimiter: str = ",", ending: str = "\n") -> str:
    return ending.join([head.replace(",", delimiter), *(delimiter.join(row[:2]) for row in ROWS), ""])


WANTED = {path: label for path, label, *_ in ROWS}

DIALECTS = {
    "commas": written(),
    "semicolons": written(delimiter=";"),
    "tabs": written(delimiter="\t"),
    "bars": written(delimiter="|"),
    "sep=; of Excel": "sep=;\r\n" + written(delimiter=";", ending="\r\n"),
    "sep= in quotes": '"sep=;"\n' + written(delimiter=";"),
    "a mark before UTF-8": written().encode("utf-8-sig"),
    "UTF-16": written().encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + written().encode("utf-16-be"),
    "UTF-16 without a mark": written().encode("utf-16-le"),
    "UTF-32": written().encode("utf-32"),
    "old Macs' line ends": written(ending="\r"),
    "quotes": "\n".join(['"Path","Label"', *(f'"{path}","{label}"' for path, label, *_ in ROWS)]),
    "blank lines first": "\n\n" + written(),
    "an index of pandas": "\n".join([",path,label", *(f"{i},{row[0]},{row[1]}" for i, row in enumerate(ROWS))]),
    "an unnamed index": "\n".join(["Unnamed: 0,path,label", *(f"{i},{row[0]},{row[1]}" for i, row in enumerate(ROWS))]),
    "backslashes": written().replace("images/", ".\\images\\"),
    "file_name": written("file_name,label"),
    "Filename, Class": written("Filename,Class"),
    "image, diagnosis": written("image,diagnosis"),
    "image_id without ending": written("image_id,diagnosis").replace("images/", "").replace(".jpg", ""),
    "id with ending": written("id,category").replace("images/", ""),
    "paths without ending": written().replace(".jpg", ""),
    "one column a class": "\n".join(
        ["image,normal,wax", *(f"{i},{float(row[1] == 'normal')},{float(row[1] == 'wax')}" for i, row in enumerate(ROWS))]
    ),
    "yes and no a class": "\n".join(
        ["file_name,normal,wax", *(f"{row[0]},{row[1] == 'normal'},{row[1] == 'wax'}" for row in ROWS)]
    ),
    "class and number": "\n".join(
        ["image_path,class_name,class_id", *(f"{row[0]},{row[1]},{int(row[1] == 'wax')}" for row in ROWS)]
    ),
    "one column left": written("image,describe_file"),
    "lists of one": "\n".join(["path,labels", *(f"{row[0]},['{row[1]}']" for row in ROWS)]),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_csv_in_any_dialect_reads_the_same(root: Path, dialect: str) -> None:
    listing = listed(root, DIALECTS[dialect])
    assert labels(listing) == WANTED
    assert listing.bad_files == ()
    assert not [note for note in listing.notes if note.code.startswith("W_")]


def test_json_lines_read_the_same(root: Path) -> None:
    text = "".join(f'{{"file_name": "{path}", "label": "{label}", "age": 3}}\n' for path, label, *_ in ROWS)
    assert labels(listed(root, text, "metadata.jsonl")) == WANTED
    with raises(DataError, "E_DATA_TABLE_SYNTAX", says="1"):
        listed(root, "[1]\n", "metadata.jsonl")


def test_the_columns_of_ham10000_are_found(root: Path) -> None:
    head = "lesion_id,image_id,dx,dx_type,age,sex,localization"
    rows = [f"HAM_{i // 2:04d},{i},{('nv', 'mel')[i // 2 % 2]},histo,{40 + i},male,back" for i in range(8)]
    listing = listed(root, "\n".join([head, *rows]))
    assert labels(listing) == {f"images/{i}.jpg": ("nv", "mel")[i // 2 % 2] for i in range(8)}
    assert "--group-column 'lesion_id'" in said(listing, "W_GROUP_COLUMN")
    for name in ("dx_type", "age", "sex", "localization"):
        assert f"'{name}'" not in said(listing, "W_GROUP_COLUMN")
    assert "'image_id'" in said(listing, "I_PATH_COLUMN")
    assert "'dx'" in said(listing, "I_LABEL_COLUMN")
    grouped = listed(root, "\n".join([head, *rows]), group_column="Lesion_ID")
    assert [image.group for image in grouped.images][:3] == ["HAM_0000", "HAM_0000", "HAM_0001"]
    assert not said(grouped, "W_GROUP_COLUMN")
    assert {a.column for a in grouped.images[0].attributes} == {"dx_type", "age", "sex", "localization"}


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("patient_id", "P{}"),
        ("PatientID", "{}"),
        ("Patient ID", "{}"),
        ("subject", "s{}"),
        ("case", "{}"),
        ("exam_id", "{}"),
        ("study_uid", "1.2.{}"),
        ("StudyInstanceUID", "1.2.{}"),
        ("lesion_id", "{}"),
        ("pid", "P{}"),
        ("who", "AB-{}"),
    ],
)
def test_a_column_that_looks_like_a_patient_is_named(root: Path, name: str, cells: str) -> None:
    text = "\n".join([f"path,label,{name}", *(f"{row[0]},{row[1]},{cells.format(i // 2)}" for i, row in enumerate(ROWS))])
    assert f"--group-column '{name}'" in said(listed(root, text), "W_GROUP_COLUMN")
    assert said(listed(root, text, group_column=name), "W_GROUP_COLUMN") == ""
    assert len({image.group for image in listed(root, text, group_column=name).images}) == 4


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("age", "{half}"),
        ("Patient Age", "{half}"),
        ("case type", "t{half}"),
        ("site", "ward {half}"),
        ("note", ""),
        ("patient_id", "{i}"),
        ("study", "one"),
        ("score", "0.{half}"),
    ],
)
def test_a_column_that_is_no_patient_is_not_named(root: Path, name: str, cells: str) -> None:
    rows = [f"{row[0]},{row[1]},{cells.format(i=i, half=i // 4)}" for i, row in enumerate(ROWS)]
    assert said(listed(root, "\n".join([f"path,label,{name}", *rows])), "W_GROUP_COLUMN") == ""


@pytest.mark.parametrize("name", ["set", "subset", "partition", "fold_name", "usage"])
def test_a_column_that_looks_like_a_split_is_named_and_used_when_asked(root: Path, name: str) -> None:
    text = "\n".join([f"path,label,{name}", *(f"{row[0]},{row[1]},{row[3].title()}ing" for row in ROWS)])
    listing = listed(root, text)
    assert f"--split-column '{name}'" in said(listing, "W_SPLIT_COLUMN")
    assert {image.published_split for image in listing.images} == {None}
    assert {image.published_split for image in listed(root, text, split_column=name).images} == {"train", "test"}


@pytest.mark.parametrize("name", ["is_test", "Train", "in_validation", "fold", "kfold_5"])
def test_a_split_in_numbers_is_named(root: Path, name: str) -> None:
    text = "\n".join([f"path,label,{name}", *(f"{row[0]},{row[1]},{i // 2 % 2}" for i, row in enumerate(ROWS))])
    assert f"'{name}' looks like a split" in said(listed(root, text), "W_SPLIT_COLUMN")


@pytest.mark.parametrize("before", ["C:\\Users\\me\\data\\", "/somewhere/else/", "data/ears/"])
def test_paths_that_were_written_elsewhere_are_found_by_their_end(root: Path, before: str) -> None:
    text = "\n".join(["path,label", *(f"{before}{path},{label}" for path, label, *_ in ROWS)])
    listing = listed(root, text)
    assert labels(listing) == WANTED
    assert "is images/0.jpg" in said(listing, "I_FILES_FOUND_BY_NAME")


def test_each_path_is_split_once_where_many_images_have_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"p{patient}/left/{frame}.jpg" for patient in range(150) for frame in range(2)]
    monkeypatch.setattr(lookup, "_images_below", lambda _: [f"images/{name}" for name in names])
    split: list[object] = []

    def counted(*path: str) -> PurePosixPath:
        split.append(path)
        return PurePosixPath(*path)

    monkeypatch.setattr(lookup, "PurePosixPath", counted)
    found, _ = lookup.find_listed_files(names, tmp_path, tmp_path / "set.csv")
    assert found == {name: f"images/{name}" for name in names}
    assert len(split) < 20 * len(names)


def test_images_of_another_folder_are_not_taken_for_those_that_are_lost(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    for i in range(4):
        (tmp_path / "test" / f"{i}.jpg").write_bytes(b"x")
    listing = listed(tmp_path, "path,label\n" + "".join(f"train/{i}.jpg,{'ab'[i % 2]}\n" for i in range(4)))
    assert sorted(labels(listing)) == [f"train/{i}.jpg" for i in range(4)]
    assert "train/0.jpg was looked for" in said(listing, "W_FILES_MISSING")


def test_endings_in_another_case_are_found(root: Path) -> None:
    assert labels(listed(root, written().replace(".jpg", ".JPG"))) == WANTED


def test_split_folders_in_the_paths_are_a_published_split(tmp_path: Path) -> None:
    names = [f"{split}/{i}.png" for split in ("train", "test") for i in range(4)]
    text = "\n".join(["path,label", *(f"{name},{'ab'[i % 2]}" for i, name in enumerate(names))])
    assert {image.published_split for image in listed(tmp_path, text).images} == {"train", "test"}


def test_columns_can_be_named_and_a_wrong_name_is_one_line(root: Path) -> None:
    text = "\n".join(["a,b,c,d", *(",".join(row) for row in ROWS)])
    named = {"path_column": "A", "label_column": "b", "group_column": " c", "split_column": "d"}
    listing = listed(root, text, **named)
    assert labels(listing) == WANTED
    assert listing.images[0].group == "P0"
    assert listing.images[0].attributes == ()
    with raises(DataError, "E_DATA_COLUMN", says=("'dd'", "split_column", "--split-column")):
        listed(root, text, **{**named, "split_column": "dd"})
    with raises(ConfigError, "E_CONFIG_CONFLICT", says="'b'"):
        listed(root, text, **{**named, "group_column": "B"})


@pytest.mark.parametrize(
    ("head", "named"),
    [
        ("path,diagnosis,target", ("'diagnosis', 'target'", "--label-column")),
        ("image_path,file_path,label", ("'image_path', 'file_path'", "--path-column")),
    ],
)
def test_columns_between_which_nobody_can_choose_are_refused(root: Path, head: str, named: tuple[str, ...]) -> None:
    two = "label" not in head
    rows = [f"{path},{label},{group}" if two else f"{path},{path},{label}" for path, label, group, _ in ROWS]
    with raises(DataError, "E_DATA_AMBIGUOUS_COLUMN", says=named):
        listed(root, "\n".join([head, *rows]))


def test_a_csv_without_a_header_is_refused_with_what_to_add(root: Path) -> None:
    with raises(DataError, "E_DATA_TABLE_SYNTAX"):
        listed(root, "\n".join(f"{path},{label}" for path, label, *_ in ROWS))


def test_a_row_with_too_many_cells_is_refused(root: Path) -> None:
    with raises(DataError, "E_DATA_TABLE_SYNTAX", says=("3", "2", "','")):
        listed(root, "path,label\n1.jpg,a\n2.jpg,b,c\n")


@pytest.mark.parametrize(
    ("head", "cells", "classes"),
    [
        ("image,target,is_left", "00 10 01 10 01 10 01 10", {"0", "1"}),
        ("image,is_left,dx", "00 10 01 10 01 10 01 10", {"0", "1"}),
        ("image,target,is_train,is_test", "001 101 010 110 001 101 010 110", {"0", "1"}),
        ("image,ear,wax", "10 01 10 01 10 01 10 01", {"ear", "wax"}),
        ("image,control,test", "10 01 10 01 10 01 10 01", {"control", "test"}),
        ("image,normal,disease", "10 01 10 01 10 01 10 01", {"normal", "disease"}),
        ("image,ear,wax,is_test", "100 010 101 011 100 010 100 010", {"ear", "wax"}),
    ],
)
def test_a_column_of_classes_in_figures_is_not_read_as_one_column_a_class(
    root: Path, head: str, cells: str, classes: set[str]
) -> None:
    rows = [",".join([path, *row]) for (path, *_), row in zip(ROWS, cells.split(), strict=True)]
    listing = listed(root, "\n".join([head, *rows]))
    assert set(labels(listing).values()) == classes
    assert not listing.bad_files


@pytest.mark.parametrize("cell", ['"4 o clock, dark', '"4" o clock', '"say ""no""', '"'])
@pytest.mark.parametrize("row", [0, 3, 7])
def test_a_quote_that_is_not_closed_is_refused_with_its_line(root: Path, cell: str, row: int) -> None:
    lines = [f"{path},{label},{cell if at == row else 'dark'}" for at, (path, label, *_) in enumerate(ROWS)]
    with raises(DataError, "E_DATA_TABLE_SYNTAX", says=f"line {row + 4}: "):
        listed(root, "\n".join(["", "path,label,comment", "", *lines, ""]))


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('"dark, red"', "dark, red"),
        ('"two\nlines"', "two\nlines"),
        ('"a ""4"""', 'a "4"'),
        ('5" long', '5" long'),
        ('""', ""),
    ],
)
def test_quotes_in_cells_are_read(root: Path, cell: str, value: str) -> None:
    lines = [f"{path},{label},{cell}" for path, label, *_ in ROWS]
    images = listed(root, "\r\n".join(["path,label,comment", *lines])).images
    assert len(images) == len(ROWS)
    assert {image.attributes[0].value for image in images} == {value}


def test_another_encoding_is_read_and_named_with_the_word_it_gives(root: Path) -> None:
    listing = listed(root, written().replace("wax", "c\xe9rumen").encode("latin-1"))
    assert set(labels(listing).values()) == {"normal", "cérumen"}
    assert "is 'é'" in said(listing, "W_ENCODING")


@pytest.mark.parametrize("cell", ["NaN", "nan", "NA", "N/A", "None", "null", "NULL", "?", "", "<NA>", "#N/A", "-"])
def test_a_label_that_is_missing_is_no_class(root: Path, cell: str) -> None:
    rows = [f"{path},{cell if i < 2 else label}" for i, (path, label, *_) in enumerate(ROWS)]
    listing = listed(root, "\n".join(["path,label", *rows]))
    assert set(labels(listing).values()) == {"normal", "wax"}
    assert [file.path for file in listing.bad_files] == ["images/0.jpg", "images/1.jpg"]
    assert "no label" in listing.bad_files[0].reason
    assert "line 2" in listing.bad_files[0].reason
    assert "2 images have no label" in said(listing, "W_NO_LABEL")


def test_a_class_that_may_mean_no_label_is_used_and_reported(root: Path) -> None:
    listing = listed(root, written().replace("normal", "none"))
    assert set(labels(listing).values()) == {"none", "wax"}
    assert "'none' may stand for images without a label" in said(listing, "W_LABEL_LIKE_MISSING")


@pytest.mark.parametrize(
    "cell", ["normal|wax", '"normal,wax"', "normal;wax", "normal+wax", "\"['normal', 'wax']\"", "normal / wax"]
)
def test_several_labels_in_a_cell_are_no_class(root: Path, cell: str) -> None:
    rows = [f"{path},{cell if i < 2 else label}" for i, (path, label, *_) in enumerate(ROWS)]
    listing = listed(root, "\n".join(["path,label", *rows]))
    assert set(labels(listing).values()) == {"normal", "wax"}
    assert [file.reason for file in listing.bad_files] == [f"several labels: normal, wax (line {n})" for n in (2, 3)]
    assert "2 images have more than one label" in said(listing, "W_SEVERAL_LABELS")


def test_class_names_that_hold_separators_stay_classes(root: Path) -> None:
    for name in ('"normal, healthy"', "stage I/II", "ear+drum", "a&b"):
        listing = listed(root, written().replace("normal", name))
        assert set(labels(listing).values()) == {name.strip('"'), "wax"}
        assert listing.bad_files == ()


def test_a_row_with_several_ones_or_none_is_no_class(root: Path) -> None:
    rows = [f"{path},{int(label == 'normal')},{int(label == 'wax')},0" for path, label, *_ in ROWS[2:]]
    listing = listed(root, "\n".join(["image,normal,wax,other", "images/0.jpg,1,1,0", "images/1.jpg,0,0,0", *rows]))
    assert set(labels(listing).values()) == {"normal", "wax"}
    reasons = [file.reason for file in listing.bad_files]
    assert reasons == ["several labels: normal, wax (line 2)", "no label: no class has a 1 (line 3)"]
    assert said(listing, "W_CLASS_WITHOUT_IMAGES") == "no image has the class 'other'; it is left out"


def test_a_name_that_several_files_have_is_refused_unless_one_folder_holds_all(root: Path) -> None:
    text = written("id,label").replace("images/", "").replace(".jpg", "")
    (root / "more").mkdir()
    (root / "more" / "0.jpg").write_bytes(b"x")  # of another part of the data, as a test folder with the same numbers
    assert labels(listed(root, text)) == WANTED
    (root / "images" / "0.png").write_bytes(b"x")
    with raises(DataError, "E_DATA_TABLE_PATH", says=("'0'", "images/0.jpg", "images/0.png", "more/0.jpg")):
        listed(root, text)


def test_files_that_are_not_there_are_reported_with_the_likely_reason(root: Path) -> None:
    listing = listed(root, written().replace("images", "pictures").replace(".jpg", ""))
    assert "none of the 8 images is there" in said(listing, "W_FILES_MISSING")
    assert "extension such as .jpg" in said(listing, "W_FILES_MISSING")
    (root / "pictures").write_text("../images")
    listing = listed(root, written().replace("images", "pictures").replace(".jpg", ".x"))
    assert "'pictures' is a file and no folder" in said(listing, "W_FILES_MISSING")
    listing = listed(root, written() + "images/99.jpg,wax\n")
    assert "images/99.jpg" in labels(listing)
    assert not said(listing, "W_FILES_MISSING")


def test_the_published_split_is_read_by_any_usual_word(root: Path) -> None:
    words = ("TRAIN", "Training set", "trainset", "val", "Validation", "dev", "Test", "testing_set")
    text = "\n".join(["path,label,split", *(f"{row[0]},{row[1]},{word}" for row, word in zip(ROWS, words, strict=True))])
    found = [image.published_split for image in listed(root, text).images]
    assert found == ["train"] * 3 + ["val"] * 3 + ["test"] * 2


def exam_rows(*rows: str) -> str:
    return "\n".join(["path,label,group,exam,time_s", *(f"{ROWS[n][0]},{ROWS[n][1]},{row}" for n, row in enumerate(rows))])


def test_an_examination_lies_in_its_group_and_stands_for_it_where_none_is_named(root: Path) -> None:
    inside = listed(root, exam_rows("P0,1,0.5", "P0,2,", "P1,1,1.5", "P1,,"))
    assert [image.exam for image in inside.images[:4]] == ["P0/1", "P0/2", "P1/1", None]
    assert [image.group for image in inside.images[:4]] == ["P0", "P0", "P1", "P1"]
    assert [image.time_s for image in inside.images[:4]] == [0.5, None, 1.5, None]
    alone = listed(root, exam_rows(",1,", ",1,", ",2,", ",,"))
    assert [image.exam for image in alone.images[:4]] == [image.group for image in alone.images[:4]] == ["1", "1", "2", None]
    assert inside.images[0].attributes == ()
    same = listed(root, exam_rows("1,1,", "1,1,"))
    assert [(image.exam, image.group) for image in same.images[:2]] == [("1", "1")] * 2


def test_the_columns_of_examinations_and_times_can_be_named(root: Path) -> None:
    text = exam_rows("P0,1,0.5", "P0,1,1.5").replace("exam,time_s", "visit,seconds")
    found = listed(root, text, exam_column="visit", time_column="seconds")
    assert [(image.exam, image.time_s) for image in found.images[:2]] == [("P0/1", 0.5), ("P0/1", 1.5)]
    assert all(image.exam is None for image in listed(root, text).images)


def test_an_examination_with_a_group_in_some_rows_alone_is_refused(root: Path) -> None:
    with raises(DataError, "E_DATA_TABLE_CELL", says="line 3"):
        listed(root, exam_rows("P0,1,", ",1,"))


@pytest.mark.parametrize("cell", ["soon", "inf"])
def test_a_time_that_is_no_number_is_refused(root: Path, cell: str) -> None:
    with raises(DataError, "E_DATA_TABLE_CELL", says=("line 2", f"'{cell}'")):
        listed(root, exam_rows(f"P0,1,{cell}"))
