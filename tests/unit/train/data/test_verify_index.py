"""Whether a folder is the data set that an index names: moved and rewritten images are the same, others are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from support import factories
from weckd_edge.artifacts import BadFile, DatasetIndex
from weckd_edge.cli.data import command
from weckd_edge.core.errors import BundleError, DataError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.serialization import to_json
from weckd_edge.train.data.listing import list_images
from weckd_edge.train.data.scan import scan
from weckd_edge.train.data.verify_index import verify_index


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, DatasetIndex]:
    """Return a folder of eight images and its index."""
    root = tmp_path / "data"
    for number in range(8):
        draw(root / ("ear", "wax")[number % 2] / f"{number}.png", number)
    found = scan(root, list_images(root), SilentProgress()).images
    images = tuple(
        factories.image(
            image.listed.path,
            label=("ear", "wax").index(image.listed.label),
            group=f"g{n}",
            split="train",
            sha256=image.sha256,
            pixels_sha256=image.pixels_sha256,
            width=8,
            height=8,
        )
        for n, image in enumerate(found)
    )
    return root, DatasetIndex(name="data", labels=("ear", "wax"), images=images)


def test_the_same_folder_passes_and_so_do_moves_copies_and_other_files_of_the_same_pixels(
    data: tuple[Path, DatasetIndex],
) -> None:
    root, index = data
    assert verify_index(index, root, SilentProgress()).findings == ()
    (root / "ear/0.png").rename(root / "ear/new name.png")
    shutil.copy(root / "wax/1.png", root / "wax/1 again.png")
    Image.open(root / "ear/2.png").save(root / "ear/2.png", compress_level=0)
    found = verify_index(index, root, SilentProgress())
    assert found.passed
    assert (found.indexed, found.present, found.images) == (8, 8, 9)
    assert [(f.kind, f.path) for f in found.findings] == [
        ("moved", "ear/new name.png"),
        ("rewritten", "ear/2.png"),
        ("copy", "wax/1 again.png"),
    ]


def test_changed_missing_added_relabelled_and_unreadable_images_are_distinguished(data: tuple[Path, DatasetIndex]) -> None:
    root, index = data
    draw(root / "ear/0.png", 100)
    (root / "wax/1.png").unlink()
    draw(root / "wax/added.png", 101)
    (root / "ear/2.png").rename(root / "wax/2.png")
    (root / "wax/3.png").write_bytes(b"no image")
    found = verify_index(index, root, SilentProgress())
    assert not found.passed
    assert found.present == 4
    assert [(f.kind, f.path, f.split) for f in found.findings] == [
        ("changed", "ear/0.png", "train"),
        ("missing", "wax/1.png", "train"),
        ("added", "wax/added.png", None),
        ("relabelled", "wax/2.png", "train"),
        ("unreadable", "wax/3.png", "train"),
    ]


def test_a_file_that_the_build_left_out_is_not_an_addition(data: tuple[Path, DatasetIndex]) -> None:
    root, index = data
    (root / "ear/broken.png").write_bytes(b"no image")
    draw(root / "ear/two labels.png", 102)
    named = tuple(BadFile(path=path, reason="x") for path in ("ear/broken.png", "ear/two labels.png"))
    assert not verify_index(index, root, SilentProgress()).passed
    left_out = DatasetIndex(name="data", labels=index.labels, images=index.images, bad_files=named)
    assert verify_index(left_out, root, SilentProgress()).passed


def test_the_command_prints_a_table_or_json_and_fails_on_another_data_set(
    data: tuple[Path, DatasetIndex], tmp_path: Path
) -> None:
    root, index = data
    file = tmp_path / "index.json"
    file.write_text(to_json(index))
    line = ["verify-index", "-q", str(file), str(root)]
    done = CliRunner().invoke(command, line)
    assert done.exit_code == 0
    assert "holds the images of the index" in done.stderr
    (root / "wax/1.png").unlink()
    done = CliRunner().invoke(command, [*line, "--json"])
    assert isinstance(done.exception, DataError)
    assert "found 1 missing" in str(done.exception)
    told = json.loads(done.stdout)
    assert told["passed"] is False
    assert told["findings"] == [{"kind": "missing", "path": "wax/1.png", "split": "train", "detail": ""}]
    done = CliRunner().invoke(command, ["verify-index", str(root), str(root)])
    assert isinstance(done.exception, BundleError)
