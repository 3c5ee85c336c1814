"""Drawn eardrums: reproducible to the byte, balanced, grouped by ear, marked synthetic, and not trivially alike."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from support.errors import raises
from weckd_edge.cli.data import command
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import ConfigError, DataError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import sha256_file
from weckd_edge.devices.images.decoding import decode
from weckd_edge.train.data.index import build_index
from weckd_edge.train.data.listing import list_images
from weckd_edge.train.data.synth.draw import draw_frame
from weckd_edge.train.data.synth.ear import CLASSES, Ear, make_ear
from weckd_edge.train.data.synth.phantoms import MARKER, write_phantoms


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "set"
    write_phantoms(out, SilentProgress(), images=90, seed=1, height=48, width=64)
    return out


def digests(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_equal_seeds_give_equal_bytes_and_others_do_not(phantoms: Path, tmp_path: Path) -> None:
    small = {"images": 20, "height": 48, "width": 64}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_phantoms(tmp_path / name, SilentProgress(), seed=seed, **small)
    a, b, c = (digests(tmp_path / name) for name in "abc")
    assert a == b
    assert not set(a.values()) & set(c.values())
    images = {name: value for name, value in a.items() if name.endswith(".jpg")}
    assert images.items() <= digests(phantoms).items()  # a longer set starts with the shorter one


def test_classes_are_balanced_and_frames_have_the_size(phantoms: Path) -> None:
    counts = Counter(image.label for image in list_images(phantoms))
    assert set(counts) == set(CLASSES)
    assert sum(counts.values()) == 90
    assert max(counts.values()) - min(counts.values()) <= 4
    for image in list_images(phantoms)[::9]:
        pixels = decode(phantoms / image.path)
        assert pixels.shape == (48, 64, 3)
        assert pixels.std() > 15


def test_the_csv_ties_two_to_four_jittered_frames_to_one_ear(phantoms: Path) -> None:
    images = list_images(phantoms / "groups.csv")
    assert [image.path for image in images] == [image.path for image in list_images(phantoms)]
    ears = Counter(image.group for image in images)
    assert set(ears.values()) <= {1, 2, 3, 4}
    assert sum(size == 1 for size in ears.values()) <= 1  # the last ear may be cut short
    pair = [image.path for image in images if image.group == "ear0000"][:2]
    first, second = (decode(phantoms / path).astype(float) for path in pair)
    assert 0.5 < np.abs(first - second).mean() < 60


def test_the_index_is_marked_synthetic_and_never_cuts_an_ear(phantoms: Path) -> None:
    config = DataConfig(labelled_fraction=0.2)
    index = build_index(
        phantoms / "groups.csv", config, labelled_subsets=3, seed=0, skip_bad=False, progress=SilentProgress()
    )
    assert index.synthetic
    places: dict[str, set[object]] = {}
    for record in index.images:
        places.setdefault(Path(record.path).name.split("_")[1], set()).add((record.split, record.labelled_subset))
    assert all(len(found) == 1 for found in places.values())


def test_only_a_new_empty_or_phantom_folder_is_written(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with raises(DataError, "E_DATA_OUT_OCCUPIED"):
        write_phantoms(tmp_path / "mine", SilentProgress(), images=20, height=32, width=32)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    with raises(DataError, "E_DATA_OUT_OCCUPIED"):
        write_phantoms(tmp_path / "mine" / "thesis.txt", SilentProgress(), images=20)
    for images in (20, 24):
        write_phantoms(tmp_path / "set", SilentProgress(), images=images, height=32, width=32)
        assert len(list_images(tmp_path / "set")) == images


@pytest.mark.parametrize(
    ("options", "message"),
    [({"images": 19}, "images = 19"), ({"height": 8}, "size = 8x256"), ({"seed": -1}, "seed = -1")],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, options: dict[str, int], message: str) -> None:
    with raises(ConfigError, "E_CONFIG_RANGE", says=message):
        write_phantoms(tmp_path / "set", SilentProgress(), **options)
    assert not (tmp_path / "set").exists()


def test_the_command_says_synthetic_everywhere(tmp_path: Path) -> None:
    out = tmp_path / "set"
    args = ["synth", "--out", str(out), "--images", "20", "--size", "32x40", "-q"]
    assert "synthetic" in CliRunner().invoke(command, args).stdout
    assert json.loads((out / MARKER).read_text())["synthetic"] is True
    assert json.loads(CliRunner().invoke(command, [*args, "--json"]).stdout)["synthetic"] is True
    assert "synthetic" in CliRunner().invoke(command, ["check", str(out), "-q"]).stdout
    assert CliRunner().invoke(command, [*args[:-2], "32", "-q"]).exit_code == 2


SIGNS = {"effusion": "fluid", "bulging": "redness", "perforation": "patch", "wax": "lumps"}


def ears(label: str, count: int = 40) -> list[Ear]:
    return [make_ear(label, np.random.default_rng([5, number])) for number in range(count)]


@pytest.mark.parametrize("label", CLASSES)
def test_an_ear_has_the_fine_structure_of_its_own_class_alone_and_may_have_look_alikes(label: str) -> None:
    for ear in ears(label):
        genuine = [name for name in SIGNS.values() if getattr(ear, name).genuine]
        assert genuine == ([SIGNS[label]] if label in SIGNS else [])
        assert all(getattr(ear, name).strength > 0 for name in genuine)
    for name in SIGNS.values():
        shown = [getattr(ear, name).strength > 0 for ear in ears(label)]
        assert all(shown) if SIGNS.get(label) == name else 0 < sum(shown) < len(shown) / 2


@pytest.mark.parametrize(("label", "sign"), SIGNS.items())
def test_what_tells_a_class_from_its_look_alike_is_lost_in_a_small_picture(label: str, sign: str) -> None:
    lost, kept = [], []
    for number, ear in enumerate(ears(label, 6)):
        other = replace(ear, **{sign: replace(getattr(ear, sign), genuine=False)})
        pair = [draw_frame(one, 192, 192, np.random.default_rng(number)) for one in (ear, other)]
        assert abs(float(pair[0].mean()) - float(pair[1].mean())) < 3  # the colour does not tell them apart
        large, small = (
            np.abs(
                np.subtract(
                    *(np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BOX), float) for one in pair)
                )
            )
            for side in (96, 32)
        )
        kept.append(np.sort(large.max(axis=2), axis=None)[-200:].mean())
        lost.append(np.sort(small.max(axis=2), axis=None)[-22:].mean())
    assert np.mean(kept) > 15
    assert np.mean(lost) < 0.6 * np.mean(kept)
