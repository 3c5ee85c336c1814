"""What pixels and splits say of a data set: masks, tiny images, leaks; told in check, in the index and in the report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.errors import raises
from weckd_edge.artifacts import DatasetIndex
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.data.check import check_data
from weckd_edge.train.data.index import build_index
from weckd_edge.train.data.listing.masks import pair_masks
from weckd_edge.train.data.reading import read_data
from weckd_edge.train.data.verify_index import verify_index

Run = Callable[..., tuple[int, str, str]]

LABELS = ("normal", "wax")


def picture(seed: int) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    return Image.fromarray(cells).resize((40, 30), Image.Resampling.BICUBIC)


def mask(seed: int) -> Image.Image:
    rows, columns = np.mgrid[:30, :40]
    return Image.fromarray((((rows - 15) ** 2 + (columns - 10 - seed % 20) ** 2 < 60) * 255).astype(np.uint8))


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def names(count: int = 8) -> list[tuple[str, int]]:
    return [(f"{label}/{i}", 100 * c + i) for c, label in enumerate(LABELS) for i in range(count)]


@pytest.fixture
def ears(tmp_path: Path) -> Path:
    for name, seed in names():
        save(picture(seed), tmp_path / "ears" / f"{name}.png")
    return tmp_path / "ears"


def index_of(path: Path, config: DataConfig | None = None, *, skip_bad: bool = False) -> DatasetIndex:
    config = config or DataConfig(labelled_fraction=0.4)
    return build_index(path, config, labelled_subsets=1, seed=3, skip_bad=skip_bad, progress=SilentProgress())


def told(index: DatasetIndex, code: str) -> str:
    return " / ".join(note.text for note in index.notes if note.code == code)


MASK_NAMES = [
    "{label}/{i}_mask.png",
    "{label}/{i}_mask_1.png",
    "{label}/{i}-mask.bmp",
    "{label}/{i} mask.png",
    "{label}/mask_{i}.png",
    "{label}/{i}_segmentation.png",
    "{label}/{i}_Segmentation_mask.tif",
    "{label}/{i}_gt.png",
    "{label}/{i}_ground_truth.png",
    "{label}/{i}_seg.jpg",
    "{label}/{i}.bmp",
    "{label}/masks/{i}.png",
    "{label}/GT/{i}.png",
    "{label}/masks/{i}_mask.png",
    "masks/{label}/{i}.png",
]


@pytest.mark.parametrize("name", MASK_NAMES)
def test_masks_beside_images_are_left_out_with_a_word(ears: Path, name: str) -> None:
    before = index_of(ears)
    for path, seed in names():
        label, _, i = path.partition("/")
        save(mask(seed), ears / name.format(label=label, i=i))
    after = index_of(ears)
    assert replace(after, notes=()) == replace(before, notes=())
    assert "look like masks" in told(after, "W_MASKS_LEFT_OUT")
    assert not told(before, "W_MASKS_LEFT_OUT")
    assert verify_index(after, ears, SilentProgress()).passed


def test_a_mask_of_one_level_beside_a_healthy_image_is_left_out(ears: Path) -> None:
    save(Image.new("L", (40, 30)), ears / "normal" / "0_mask.png")
    assert len(index_of(ears).images) == 16


def test_images_that_are_called_like_masks_and_do_not_look_so_are_used_and_reported(ears: Path) -> None:
    save(picture(777), ears / "wax" / "1_mask.png")
    index = index_of(ears)
    assert len(index.images) == 17
    assert told(index, "W_NAMED_LIKE_MASKS").startswith("named like masks of images beside them, 1 file: wax/1_mask.png")


def test_pictures_of_two_grey_levels_that_are_called_otherwise_are_used_and_reported(ears: Path) -> None:
    save(mask(3), ears / "wax" / "sketch.png")
    index = index_of(ears)
    assert len(index.images) == 17
    assert "wax/sketch.png" in told(index, "W_TWO_GREY_LEVELS")


def test_a_set_of_silhouettes_alone_is_a_data_set(tmp_path: Path) -> None:
    for name, seed in names():
        drawn = np.asarray(picture(seed).convert("L"))
        save(Image.fromarray(((drawn > 128) * 255).astype(np.uint8)), tmp_path / f"{name}.png")
    index = index_of(tmp_path)
    assert len(index.images) == 16
    assert index.notes == ()


@pytest.mark.parametrize(("folder", "ending"), [("masks", ""), ("drawn", "_mask")])
def test_images_and_their_masks_are_no_two_classes(tmp_path: Path, folder: str, ending: str) -> None:
    for i in range(6):
        save(picture(i), tmp_path / "pictures" / f"{i}.png")
        save(mask(i), tmp_path / folder / f"{i}{ending}.png")
    with raises(DataError, "E_DATA_FEW_CLASSES", says="'pictures'"):
        read_data(tmp_path, SilentProgress())


def test_which_file_is_the_mask_of_which_image_is_reported_by_their_names() -> None:
    found = pair_masks(["a/1.jpg", "a/1_mask.png", "b/2_mask.png", "b/3 (1).png", "b/3 (1)_mask_2.png", "c/mask.png"])
    assert found == {"a/1_mask.png": "a/1.jpg", "b/3 (1)_mask_2.png": "b/3 (1).png"}
    assert pair_masks(["a/1.jpg", "a/1.png"]) == {"a/1.png": "a/1.jpg", "a/1.jpg": "a/1.png"}


def test_tiny_images_are_reported(ears: Path, run: Run) -> None:
    save(picture(5).resize((1, 1)), ears / "wax" / "pixel.png")
    assert "wax/pixel.png" in told(index_of(ears), "W_TINY_IMAGES")
    code, out, _ = run("data", "check", ears, "-q")
    assert code == 0
    assert "│ W_TINY_IMAGES" in out


def table(ears: Path, split: Callable[[int], str], name: str = "set.csv", column: str = "split") -> Path:
    rows = [f"{path}.png,{path.partition('/')[0]},{split(seed % 100)}" for path, seed in names()]
    (ears / name).write_text("\n".join([f"path,label,{column}", *rows]))
    return ears / name


def test_a_split_that_came_with_the_data_is_kept_unless_refused(ears: Path) -> None:
    path = table(ears, lambda i: "test" if i > 5 else "train")
    index = index_of(path)
    assert all((record.split == "test") == (record.published_split == "test") for record in index.images)
    assert "(train 12, test 4)" in told(index, "I_SPLIT_USED")
    other = index_of(path, DataConfig(labelled_fraction=0.4, use_published_split=False))
    assert {r.published_split for r in other.images if r.split == "test"} == {"train", "test"}
    assert "as asked" in told(other, "I_SPLIT_NOT_USED")
    same = index_of(ears, DataConfig(labelled_fraction=0.4))
    assert {r.path: r.split for r in same.images} == {r.path: r.split for r in other.images}


def test_a_validation_split_is_the_test_split_where_there_is_no_other(ears: Path) -> None:
    index = index_of(table(ears, lambda i: "val" if i > 5 else "train"))
    assert {r.published_split for r in index.images if r.split == "test"} == {"val"}
    assert {r.published_split for r in index.images if r.split == "val"} == {"train"}
    assert "its validation images are the test images" in told(index, "I_SPLIT_USED")


@pytest.mark.parametrize(
    ("split", "reason"),
    [
        (lambda i: "" if i == 0 else "test" if i > 5 else "train", "got 2 unnamed of 16 images"),
        (lambda i: "test" if i > 5 else "val", "got no training images"),
    ],
)
def test_a_split_that_is_not_whole_is_replaced_with_a_word_or_refused_when_asked_for(
    ears: Path, split: Callable[[int], str], reason: str
) -> None:
    path = table(ears, split)
    assert reason in told(index_of(path), "W_SPLIT_NOT_USED")
    with raises(DataError, "E_DATA_PUBLISHED_SPLIT", says=("--published-split", f"{reason}")):
        index_of(path, DataConfig(labelled_fraction=0.4, use_published_split=True))


def test_the_training_part_alone_is_split_anew(ears: Path) -> None:
    index = index_of(table(ears, lambda i: "train"))
    assert "got training images alone" in told(index, "I_SPLIT_NOT_USED")
    assert {record.split for record in index.images} == {"train", "val", "test"}


def test_leaks_of_a_kept_split_are_reported_in_check_and_index(ears: Path, run: Run) -> None:
    (ears / "wax" / "7.png").write_bytes((ears / "wax" / "0.png").read_bytes())
    path = table(ears, lambda i: "test" if i > 5 else "train")
    assert "of 4 test images 1 are copies" in told(index_of(path), "W_SPLIT_LEAKS")
    code, out, _ = run("data", "check", path, "--json", "-q")
    assert code == 0
    assert [note["code"] for note in json.loads(out)["notes"]] == ["I_SPLIT_USED", "W_SPLIT_LEAKS"]


def test_folders_and_a_csv_that_name_the_same_split_give_the_same_index(ears: Path, tmp_path: Path) -> None:
    rows = ["path,label,split"]
    for path, seed in names():
        split = "test" if seed % 100 > 5 else "val" if seed % 100 > 4 else "train"
        label, _, i = path.partition("/")
        file = tmp_path / "split" / f"{split}_set" / label / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((ears / f"{path}.png").read_bytes())
        rows.append(f"{split}_set/{label}/{i}.png,{label},{split}")
    (tmp_path / "split" / "set.csv").write_text("\n".join(rows))
    folders, listed = index_of(tmp_path / "split"), index_of(tmp_path / "split" / "set.csv")
    assert replace(folders, notes=()) == replace(listed, notes=())
    assert {note.code for note in folders.notes} == {"I_SPLIT_FOLDERS", "I_SPLIT_USED"}


DIALECTS: dict[str, Callable[[str], bytes]] = {
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "sep=": lambda text: f"sep=\t\n{text}".replace(",", "\t").encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "names": lambda text: text.replace("path,label,group,split", "file_name,class,group,split").encode(),
    "no endings": lambda text: text.replace(".png", "").encode(),
    "bare names": lambda text: text.replace("normal/", "").replace("wax/", "").encode(),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("keep", [None, False])
def test_every_dialect_of_a_csv_gives_the_same_index(ears: Path, dialect: str, keep: bool | None) -> None:
    """Groups, splits and shares among it; names of files are different in both classes here, as competitions have them."""
    for path, seed in names():
        (ears / f"{path}.png").rename(ears / path.partition("/")[0] / f"i{seed}.png")
    rows = [
        f"{path.partition('/')[0]}/i{seed}.png,{path.partition('/')[0]},p{seed // 2},{'test' if seed % 100 > 5 else 'train'}"
        for path, seed in names()
    ]
    text = "\n".join(["path,label,group,split", *rows])
    config = DataConfig(labelled_fraction=0.4, use_published_split=keep)
    (ears / "plain.csv").write_text(text)
    (ears / "other.csv").write_bytes(DIALECTS[dialect](text))
    assert replace(index_of(ears / "other.csv", config), notes=()) == replace(index_of(ears / "plain.csv", config), notes=())


def test_labels_that_are_missing_stop_a_split_and_are_left_out_when_asked(ears: Path, run: Run, tmp_path: Path) -> None:
    rows = [f"{path}.png,{'NaN' if seed == 3 else path.partition('/')[0]}" for path, seed in names()]
    (ears / "set.csv").write_text("\n".join(["path,label", *rows]))
    code, out, _ = run("data", "check", ears / "set.csv", "-q")
    assert code == 0
    assert "no label: the cell is 'NaN' (line 5)" in out
    args = ("data", "split", ears / "set.csv", "--out", tmp_path / "index.json", "--labelled-subsets", "1", "-q")
    code, _, err = run(*args)
    assert code == 1
    assert "normal/3.png: no label: the cell is 'NaN'" in err
    assert run(*args, "--skip-bad")[0] == 0
    assert len(json.loads((tmp_path / "index.json").read_text())["images"]) == 15


def test_the_options_name_columns_for_every_command_that_reads_data(ears: Path, run: Run, tmp_path: Path) -> None:
    path = table(ears, lambda i: "test" if i > 5 else "train", column="where_to")
    options = ("--split-column", "where_to", "--group-column", "path")
    code, out, err = run("data", "check", path, "--json", "-q", *options)
    assert code == 0, err
    assert json.loads(out)["published_split"]["test_images"] == 4
    out_file = tmp_path / "index.json"
    code, _, err = run(
        "data", "split", path, "--out", out_file, "--labelled-subsets", "1", "-q", "--split-column", "where_to"
    )
    assert code == 0, err
    index = json.loads(out_file.read_text())
    assert {image["published_split"] for image in index["images"] if image["split"] == "test"} == {"test"}
    args = ("data", "verify-index", out_file, path, "-q", "--split-column", "where_to")
    assert run(*args)[0] == 0
    code, _, err = run("data", "check", path, "-q", "--label-column", "klass")
    assert code == 1
    assert "expected a column 'klass', as label_column (--label-column) says, found none" in err
    for command in ("build", "compile", "study", "tune"):
        assert "--group-column" in run(command, "--help")[1]


def test_the_config_file_names_columns_too(ears: Path, run: Run, tmp_path: Path) -> None:
    path = table(ears, lambda i: f"p{i // 2}", column="who")
    (tmp_path / "c.toml").write_text('[data]\nlabelled_fraction = 0.3\ngroup_column = "who"\n')
    out = tmp_path / "index.json"
    code, _, err = run("data", "split", path, "--out", out, "--labelled-subsets", "1", "-q", "--config", tmp_path / "c.toml")
    assert code == 0, err
    assert json.loads(out.read_text())["named_groups"] == 16


def test_a_check_of_a_plain_folder_notices_nothing(ears: Path) -> None:
    assert check_data(ears, DataConfig(), SilentProgress()).notes == ()


def test_every_code_is_documented() -> None:
    here = Path(__file__).parents[4]
    said = {
        code
        for folder in ("train/data", "devices")
        for file in (here / folder).rglob("*.py")
        for code in re.findall(r"\"([IW]_[A-Z_]+)\"", file.read_text())
    }
    assert len(said) > 20
    assert said == set(re.findall(r"`([IW]_[A-Z_]+)`", (here / "docs/how-to/data.md").read_text()))
