"""Folders as people have them: splits by any usual name, wrappers, doubled folders, what systems leave behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from support.errors import raises
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import ConfigError, DataError
from weckd_edge.train.data.listing import fingerprint, list_data

LABELS = ("normal", "wax")


def touch(root: Path, *names: str, data: bytes = b"x") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def found(root: Path) -> dict[str, tuple[str, str | None]]:
    return {image.path: (image.label, image.published_split) for image in list_data(root).images}


def codes(root: Path) -> set[str]:
    return {note.code for note in list_data(root).notes}


def said(root: Path, code: str) -> str:
    return " / ".join(note.text for note in list_data(root).notes if note.code == code)


SPLITS = [
    ("train", "val", "test"),
    ("Train", "Valid", "Test"),
    ("training", "validation", "testing"),
    ("Training", "Validation", "Testing"),
    ("training_set", "dev", "test_set"),
    ("trainset", "valset", "testset"),
    ("seg_train", "seg_val", "seg_test"),
    ("train_images", "val_images", "test_images"),
    ("images-train", "images-valid", "images-test"),
    ("TrainImages", "ValImages", "TestImages"),
    ("train2017", "val2017", "test2017"),
    ("X_train", "X_val", "X_test"),
    ("01_train", "02_validation", "03_test"),
    ("Training Data", "Validation Data", "Test Data"),
    ("fruits-360_Training", "fruits-360_Validation", "fruits-360_Test"),
    ("data_train", "data_eval", "data_holdout"),
]


@pytest.mark.parametrize("names", SPLITS)
@pytest.mark.parametrize("where", ["{split}", "set/set/{split}", "images/{split}", "{split}/{split}", "a/{split}/images"])
def test_split_folders_of_any_usual_name_are_published_splits(tmp_path: Path, names: tuple[str, ...], where: str) -> None:
    root = tmp_path / "set"
    wanted = {}
    for split, name in zip(("train", "val", "test"), names, strict=True):
        for label in LABELS:
            path = f"{where.format(split=name)}/{label}/1.png"
            touch(root, path)
            wanted[path] = (label, split)
    assert found(root) == wanted
    assert "I_SPLIT_FOLDERS" in codes(root)


def test_two_splits_are_enough(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png")
    assert {split for _, split in found(tmp_path).values()} == {"train", "val"}


def test_labels_that_hold_splits_are_read(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{label}/{split}/1.png" for label in LABELS for split in ("train", "test")))
    assert found(tmp_path)["wax/test/1.png"] == ("wax", "test")


def test_a_split_without_labels_is_left_out_and_counted(tmp_path: Path) -> None:
    """The layout of Kaggle's scenes: doubled names, and images to be predicted."""
    touch(tmp_path, *(f"seg_{s}/seg_{s}/{label}/1.jpg" for s in ("train", "test") for label in LABELS))
    touch(tmp_path, "seg_pred/seg_pred/1.jpg", "seg_pred/seg_pred/2.jpg")
    assert len(found(tmp_path)) == 4
    assert "2 unlabelled images" in said(tmp_path, "W_UNLABELLED_SPLIT")
    assert "seg_pred" in said(tmp_path, "W_UNLABELLED_SPLIT")


@pytest.mark.parametrize("test", ["test", "test1", "asl_test", "test/images", "Test Set"])
def test_a_test_folder_without_labels_is_left_out(tmp_path: Path, test: str) -> None:
    train = "asl_train/asl_train" if test.startswith("asl") else "train"
    touch(tmp_path, f"{train}/a/1.png", f"{train}/b/1.png", f"{test}/1.png", f"{test}/2.png", f"{test}/3.png")
    assert {label for label, _ in found(tmp_path).values()} == {"a", "b"}
    assert "3 unlabelled images" in said(tmp_path, "W_UNLABELLED_SPLIT")


@pytest.mark.parametrize(
    "names",
    [
        ("control/1.png", "test/1.png"),
        ("control/p1/1.png", "test/p1/1.png", "control/p2/1.png", "test/p2/1.png"),
        ("train/1.png", "car/1.png", "bus/1.png"),
        ("pregnancy_test/1.png", "train_station/1.png"),
        ("valid/1.png", "invalid/1.png"),
        ("blood_test/p/1.png", "urine_test/p/1.png"),
    ],
)
def test_a_class_that_is_called_like_a_split_stays_one(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *names)
    assert found(tmp_path) == {name: (name.partition("/")[0], None) for name in names}
    assert "is read as a class" in said(tmp_path, "I_SPLIT_NAME_IS_CLASS")


def test_something_else_beside_splits_is_refused_or_left_out_as_a_copy(tmp_path: Path) -> None:
    files = [f"{split}/{label}/1.png" for split in ("train", "test") for label in LABELS]
    touch(tmp_path, *files, *(f"chest/{file}" for file in files))
    assert len(found(tmp_path)) == 4
    assert "once more" in said(tmp_path, "W_FOLDER_TWICE")
    touch(tmp_path, "more/a/2.png")
    with raises(DataError, "E_DATA_LAYOUT", says=("'more'", "1")):
        list_data(tmp_path)


def test_a_class_in_one_split_alone_is_named(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{split}/{label}/1.png" for split in ("train", "test") for label in LABELS), "train/rare/1.png")
    assert "'rare' is in 'train' alone, and not in 'test'" in said(tmp_path, "W_CLASS_NOT_IN_EVERY_SPLIT")


def test_classes_that_differ_by_case_between_splits_are_refused_with_both_places(tmp_path: Path) -> None:
    touch(tmp_path, "train/Normal/1.png", "train/Wax/1.png", "test/normal/2.png", "test/wax/2.png")
    with raises(DataError, "E_DATA_CLASS_NAME", says=("'Normal'", "'normal'", "train/Normal/1.png", "test/normal/2.png")):
        list_data(tmp_path)


def test_splits_of_images_without_labels_point_at_the_tables(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.png", "test/2.png", "train.csv", "labels.txt")
    with raises(DataError, "E_DATA_LAYOUT", says=("labels.txt", "train.csv")):
        list_data(tmp_path)


def test_what_systems_leave_is_left_out_and_counted_by_maker(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png")
    plain = found(tmp_path)
    touch(tmp_path, "__MACOSX/a/._1.png", "a/._1.png", "b/.DS_Store", ".DS_Store", "Icon\r")
    touch(tmp_path, "a/Thumbs.db", "b/desktop.ini", "$RECYCLE.BIN/1.png", "System Volume Information/x")
    touch(tmp_path, ".ipynb_checkpoints/1.png", "a/.ipynb_checkpoints/1-checkpoint.png", ".git/HEAD", "b/@eaDir/1.png")
    touch(tmp_path, "lost+found/x", "a/.hidden.png")
    assert found(tmp_path) == plain
    text = said(tmp_path, "I_SYSTEM_FILES")
    for part in ("5 files and folders of macOS", "4 files and folders of Windows", "1 file or folder of Linux", "1 hidden"):
        assert part in text
    assert "3 files and folders of a program" in text


def test_files_that_are_no_images_by_name_are_distinguished_and_others_stay(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png", "a/README.txt", "b/labels.csv", "b/_annotations.coco.json", "a/what", "docs/x.md")
    assert sorted(found(tmp_path)) == ["a/1.png", "a/what", "b/1.png"]
    assert "4 files: a/README.txt, b/_annotations.coco.json, b/labels.csv and 1 more" in said(tmp_path, "I_OTHER_FILES")


def test_images_beside_the_class_folders_are_reported(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png", "cover.jpg", "README.md")
    assert "1 image beside the folders of classes" in said(tmp_path, "W_IMAGES_BESIDE_FOLDERS")


def test_folders_of_masks_are_left_out(tmp_path: Path) -> None:
    for masks in ("masks", "GT", "ground truth", "Segmentation_masks"):
        root = tmp_path / masks
        touch(root, *(f"images/{label}/{i}.jpg" for label in LABELS for i in range(3)))
        touch(root, *(f"{masks}/{label}/{i}.png" for label in LABELS for i in range(3)))
        assert {label for label, _ in found(root).values()} == set(LABELS)
        assert len(found(root)) == 6
        assert "6 files look like masks" in said(root, "W_MASKS_LEFT_OUT")


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "_classes.csv"])
@pytest.mark.parametrize("split", [False, True])
def test_a_table_beside_its_images_is_read_with_the_folder(tmp_path: Path, name: str, split: bool) -> None:
    for part in ("train", "test") if split else ("images",):
        touch(tmp_path, f"{part}/1.png", f"{part}/2.png")
        rows = [("1.png", "cat"), ("2.png", "dog")]
        if name == "metadata.jsonl":
            text = "".join(f'{{"file_name": "{file}", "label": "{label}"}}\n' for file, label in rows)
        elif name == "metadata.csv":
            text = "file_name,label\n" + "".join(f"{file},{label}\n" for file, label in rows)
        else:
            text = "filename, cat, dog\n1.png, 1, 0\n2.png, 0, 1\n"
        (tmp_path / (f"{part}/{name}" if split else name)).write_text(text)
    wanted = {f"{part}/1.png" for part in (("train", "test") if split else ("images",))}
    got = found(tmp_path)
    assert {path for path, (label, _) in got.items() if label == "cat"} == wanted
    assert {one for _, one in got.values()} == ({"train", "test"} if split else {None})
    before = fingerprint(tmp_path)
    table = next(tmp_path.rglob(name))
    table.write_text(table.read_text().replace("dog", "fox"))
    assert fingerprint(tmp_path) != before
    assert "W_NOT_IN_TABLE" not in codes(tmp_path)
    touch(table.parent, "3.png", "more/4.png")
    left_out = f"{table.relative_to(tmp_path)} does not name 2 images of the folder, which are left out: "
    assert said(tmp_path, "W_NOT_IN_TABLE").startswith(left_out)


def test_a_split_of_class_folders_beside_one_with_a_table_is_refused_and_images_without_labels_are_counted(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "train/0.png", "train/1.png", "test/images/0.png", "test/images/1.png", "more/0.png", "pred/c/0.png")
    (tmp_path / "train" / "metadata.csv").write_text("file_name,label\n0.png,a\n1.png,b\n")
    assert len(found(tmp_path)) == 2
    assert "'test' has no table: its 2 images" in said(tmp_path, "W_UNLABELLED_SPLIT")
    assert "'pred' has no table: its 1 image" in said(tmp_path, "W_UNLABELLED_SPLIT")
    assert "1 image of the folder 'more'" in said(tmp_path, "W_NOT_IN_TABLE")
    touch(tmp_path, "test/a/0.png", "test/b/0.png")
    with raises(DataError, "E_DATA_LAYOUT", says=("train/metadata.csv", "'test'", "4 images")):
        list_data(tmp_path)
    (tmp_path / "test" / "metadata.csv").write_text("file_name,label\na/0.png,a\nb/0.png,b\n")
    with raises(DataError, "E_DATA_LAYOUT", says="'test'"):
        list_data(tmp_path)
    touch(tmp_path, "test/2.png")
    assert set(found(tmp_path)) == {"train/0.png", "train/1.png", "test/a/0.png", "test/b/0.png"}


def test_folders_of_numbers_are_classes_unless_a_table_names_them(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{label}/{label}{i}.png" for label in "01" for i in range(4)))
    files = [f"{label}{i}.png" for label in "01" for i in range(4)]
    (tmp_path / "metadata.csv").write_text("image,sex\n" + "".join(f"{file},{'MF'[int(file[1]) % 2]}\n" for file in files))
    assert {label for label, _ in found(tmp_path).values()} == {"0", "1"}
    rows = "".join(f"{file},{('a', 'b')[int(file[1]) % 2]}\n" for file in files)
    (tmp_path / "metadata.csv").write_text("file_name,diagnosis\n" + rows)
    assert {label for label, _ in found(tmp_path).values()} == {"a", "b"}


@pytest.mark.parametrize(("test", "labels"), [("test/1", {"0", "1"}), ("test/2", set()), ("test/2/test", set())])
def test_a_split_of_one_numbered_class_is_not_read_as_a_folder_of_images(
    tmp_path: Path, test: str, labels: set[str]
) -> None:
    touch(tmp_path, "train/0/1.png", "train/1/1.png", f"{test}/1.png", f"{test}/2.png")
    files = {f"train/{label}/1.png": (label, "train") for label in "01"}
    assert found(tmp_path) == files | ({f"{test}/{i}.png": ("1", "test") for i in (1, 2)} if labels else {})


GROUPED = "File;Label;Group;site\na/1.png;a;p1;x\nb/1.png;b;p1;y\nb/2.png;b;p2;y\n"


def test_a_table_that_names_groups_is_read_instead_of_its_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png", "b/2.png", "b/notes.txt", "README.txt")
    (tmp_path / "about.csv").write_text("file,label\na/1.png,b\n")
    assert {image.group for image in list_data(tmp_path).images} == {None}
    before = fingerprint(tmp_path)
    (tmp_path / "patients.csv").write_text(GROUPED)
    listing = list_data(tmp_path)
    assert listing == replace(list_data(tmp_path / "patients.csv"), notes=listing.notes)
    assert [(image.path, image.group) for image in listing.images] == [
        ("a/1.png", "p1"),
        ("b/1.png", "p1"),
        ("b/2.png", "p2"),
    ]
    assert said(tmp_path, "I_TABLE_IN_FOLDER") == "images, classes and 2 groups are read from patients.csv"
    assert "W_NOT_IN_TABLE" not in codes(tmp_path)
    assert fingerprint(tmp_path) != before
    touch(tmp_path, "a/2.png", "c/1.png")
    assert len(list_data(tmp_path).images) == 3
    assert (
        said(tmp_path, "W_NOT_IN_TABLE")
        == "patients.csv does not name 2 images of the folder, which are left out: a/2.png, c/1.png"
    )


def test_a_table_of_examinations_keeps_them_together(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "frames.csv").write_text("path,label,exam,time_s\na/1.png,a,v1,0.5\nb/1.png,b,v2,1\n")
    assert [image.exam for image in list_data(tmp_path).images] == ["v1", "v2"]


def test_columns_are_named_for_the_table_in_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png", "b/2.png")
    (tmp_path / "patients.csv").write_text(GROUPED)
    assert {image.group for image in list_data(tmp_path, DataConfig(group_column="site")).images} == {"x", "y"}


def test_several_tables_of_groups_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png", "b/2.png")
    (tmp_path / "patients.csv").write_text(GROUPED)
    (tmp_path / "old.csv").write_text(GROUPED)
    with raises(DataError, "E_DATA_AMBIGUOUS_TABLE", says="'old.csv', 'patients.csv'"):
        list_data(tmp_path)


def test_a_broken_table_of_groups_is_not_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png", "b/2.png")
    (tmp_path / "patients.csv").write_text(GROUPED + "b/2.png;b;p3;y\n")
    with raises(DataError, "E_DATA_TABLE_TWICE"):
        list_data(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("patients.csv", GROUPED.replace(";", ",").replace("p2,y", "p2,y, and swollen"), "E_DATA_TABLE_SYNTAX"),
        ("patients.csv", GROUPED.encode("utf-16") + b"\0", "E_DATA_TABLE_ENCODING"),
        ("patients.jsonl", '{"path": "a/1.png", "label": "a", "group": "p1"}\n{"path": "b', "E_DATA_TABLE_SYNTAX"),
    ],
    ids=["a comma in a cell", "half a character", "half a line"],
)
def test_a_fault_in_the_rows_of_a_table_of_groups_is_not_passed_over(
    tmp_path: Path, name: str, text: str | bytes, code: str
) -> None:
    touch(tmp_path, "a/1.png", "b/1.png", "b/2.png")
    (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    with raises(DataError, code):
        list_data(tmp_path)


def test_a_table_that_cannot_be_opened_is_not_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "patients.csv").symlink_to("/proc/self/mem")
    with raises(DataError, "E_FILE_UNREADABLE", says="patients.csv"):
        list_data(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_a_long_table_of_groups_is_known_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    touch(tmp_path, *(f"{label}/{i}.png" for label in LABELS for i in range(10)))
    rows = [f"{label}/{i}.png;{label};p{i // 2};{'é' * 9001}" for label in LABELS for i in range(10)]
    (tmp_path / "patients.csv").write_bytes("\n".join(["path;label;group;comment", *rows]).encode(encoding))
    assert len({image.group for image in list_data(tmp_path).images}) == 5


def test_a_long_table_of_groups_is_known_by_its_first_lines(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{label}/{i:0>250}.png" for label in LABELS for i in range(200)))
    rows = [f"{label}/{i:0>250}.png,{label},é{i // 2}" for label in LABELS for i in range(200)]
    (tmp_path / "patients.csv").write_text("\n".join(["path,label,group", *rows]), encoding="utf-8")
    assert (tmp_path / "patients.csv").stat().st_size > 1 << 16
    assert len({image.group for image in list_data(tmp_path).images}) == 100


def test_columns_are_not_named_for_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png")
    with raises(ConfigError, "E_CONFIG_OPTION_UNUSED"):
        list_data(tmp_path, DataConfig(label_column="x"))


def test_a_folder_that_is_no_data_set_says_what_is_missing(tmp_path: Path) -> None:
    touch(tmp_path, "docs/a.txt", "src/b.py")
    with raises(DataError, "E_DATA_LAYOUT"):
        list_data(tmp_path)


@pytest.mark.parametrize("names", [("with_mask", "without_mask"), ("with_mask", "bare"), ("mask", "images of faces")])
def test_faces_with_masks_are_a_class(tmp_path: Path, names: tuple[str, str]) -> None:
    touch(tmp_path, *(f"{name}/{i}.jpg" for name in names for i in range(4)))
    assert {label for label, _ in found(tmp_path).values()} == set(names)
    assert not said(tmp_path, "W_MASKS_LEFT_OUT")
