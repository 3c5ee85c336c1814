"""Ranges are found on training images alone: every class in proportion, and each image proved by its pixels."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from support.errors import raises
from weckd_edge.artifacts import DatasetIndex, ImageRecord
from weckd_edge.compile.quantize.calibration_images import (
    calibration_digest,
    calibration_frames,
    check_images,
    choose_images,
)
from weckd_edge.core.errors import DataError
from weckd_edge.devices.images.fitting import fit_to_frame


def uneven(networks: ModuleType) -> DatasetIndex:
    """60, 30 and 10 training images of three classes, and some held out."""
    train = [
        networks.record(f"{label}/{k:02}.png", label, "train") for label, n in enumerate((60, 30, 10)) for k in range(n)
    ]
    held_out = [networks.record(f"{split}/{k}.png", k % 3, split) for split in ("val", "test") for k in range(9)]
    index: DatasetIndex = networks.index_of(*train, *held_out)
    return index


def labels(chosen: tuple[ImageRecord, ...]) -> list[int]:
    found = Counter(record.label for record in chosen)
    return [found[label] for label in range(3)]


@pytest.mark.parametrize(("count", "expected"), [(10, [6, 3, 1]), (20, [12, 6, 2]), (50, [30, 15, 5]), (100, [60, 30, 10])])
def test_every_class_is_drawn_in_its_proportion(networks: ModuleType, count: int, expected: list[int]) -> None:
    assert labels(choose_images(uneven(networks), count, seed=0)) == expected


@pytest.mark.parametrize("count", range(1, 100, 7))
def test_no_class_is_more_than_one_image_off_its_proportion(networks: ModuleType, count: int) -> None:
    found = labels(choose_images(uneven(networks), count, seed=0))
    assert sum(found) == count
    assert all(abs(n - count * part) <= 1 for n, part in zip(found, (0.6, 0.3, 0.1), strict=True))


def test_the_seed_alone_decides_which_images(networks: ModuleType) -> None:
    index = uneven(networks)
    assert choose_images(index, 20, seed=1) == choose_images(index, 20, seed=1)
    assert choose_images(index, 20, seed=1) != choose_images(index, 20, seed=2)


def test_a_larger_choice_holds_the_smaller_one(networks: ModuleType) -> None:
    index = uneven(networks)
    assert set(choose_images(index, 10, seed=0)) < set(choose_images(index, 30, seed=0))


def test_images_are_drawn_from_all_over_a_class(networks: ModuleType) -> None:
    drawn = [r.path for seed in range(20) for r in choose_images(uneven(networks), 10, seed=seed) if r.label == 0]
    assert len(set(drawn)) > 40, "20 times 6 of 60"


def test_the_order_of_the_index_is_irrelevant(networks: ModuleType) -> None:
    index = uneven(networks)
    images = list(index.images)
    random.Random(0).shuffle(images)
    assert choose_images(replace(index, images=tuple(images)), 20, seed=0) == choose_images(index, 20, seed=0)


def test_the_choice_is_sorted_by_path(networks: ModuleType) -> None:
    paths = [record.path for record in choose_images(uneven(networks), 30, seed=4)]
    assert paths == sorted(paths)
    assert len(set(paths)) == 30


def test_fewer_training_images_than_asked_for_are_all_taken_once(networks: ModuleType) -> None:
    index = uneven(networks)
    chosen = choose_images(index, 500, seed=0)
    assert chosen == tuple(record for record in index.images if record.split == "train")


def test_what_is_chosen_is_never_held_out_nor_a_copy_of_what_is(networks: ModuleType) -> None:
    twin = networks.record("0/copy.png", 0, "train", pixels=networks.record("test/0.png", 0, "test").pixels_sha256)
    index = networks.index_of(*uneven(networks).images, twin)
    chosen = choose_images(index, 500, seed=0)
    assert {record.split for record in chosen} == {"train"}
    assert len(chosen) == 100
    assert twin not in chosen
    check_images(index, chosen)


def test_a_set_without_training_images_gives_none_and_is_refused(networks: ModuleType) -> None:
    index = networks.index_of(networks.record("a.png", 0, "test"))
    assert choose_images(index, 8, seed=0) == ()
    with raises(DataError, "E_DATA_NO_IMAGES"):
        check_images(index, ())


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_held_out_image_is_refused_and_named(networks: ModuleType, split: str) -> None:
    index = uneven(networks)
    sneaked = next(record for record in index.images if record.split == split)
    with raises(DataError, "E_DATA_CALIBRATION_SPLIT", says=(f"{split}/0.png", f"{split}")):
        check_images(index, (*choose_images(index, 8, seed=0), sneaked))


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_copy_of_a_held_out_image_is_refused_and_both_are_named(networks: ModuleType, split: str) -> None:
    original = networks.record("held/out.png", 1, split)
    copy = networks.record("train/copy.png", 1, "train", pixels=original.pixels_sha256)
    sound = networks.record("train/sound.png", 1, "train")
    with raises(DataError, "E_DATA_CALIBRATION_SPLIT", says=("train/copy.png", f"{split}", "held/out.png")):
        check_images(networks.index_of(original, copy, sound), (sound, copy))


def test_an_image_that_is_not_of_the_index_is_refused(networks: ModuleType) -> None:
    with raises(DataError, "E_DATA_CALIBRATION_SPLIT", says="stranger.png"):
        check_images(uneven(networks), (networks.record("stranger.png", 0, "train"),))


def test_a_test_image_that_calls_itself_a_training_image_is_refused(networks: ModuleType) -> None:
    index = uneven(networks)
    liar = replace(next(r for r in index.images if r.split == "test"), split="train", pixels_sha256="0" * 64)
    with raises(DataError, "E_DATA_CALIBRATION_SPLIT", says="test/0.png"):
        check_images(index, (liar,))


def test_frames_are_the_images_in_order_resized_to_the_contracts_size(networks: ModuleType, tmp_path: Path) -> None:
    index = networks.write_images(tmp_path)
    chosen = choose_images(index, 5, seed=0)
    spec = networks.contract(height=20, width=20).frame
    frames = list(calibration_frames(tmp_path, chosen, spec))
    assert [(frame.shape, frame.dtype) for frame in frames] == [((1, 20, 20, 3), np.dtype("uint8"))] * 5
    for record, frame in zip(chosen, frames, strict=True):
        assert np.array_equal(frame[0], fit_to_frame(np.asarray(Image.open(tmp_path / record.path)), 20, 20))


def test_a_file_that_was_changed_since_is_refused_and_named(networks: ModuleType, tmp_path: Path) -> None:
    index = networks.write_images(tmp_path)
    chosen = choose_images(index, 5, seed=0)
    pixels = np.array(Image.open(tmp_path / chosen[2].path))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(tmp_path / chosen[2].path)
    frames = calibration_frames(tmp_path, chosen, networks.contract().frame)
    next(frames)
    next(frames)
    with raises(DataError, "E_DATA_CHANGED", says=f"{chosen[2].path}"):
        next(frames)


def test_a_file_that_was_only_written_anew_is_still_the_same_image(networks: ModuleType, tmp_path: Path) -> None:
    index = networks.write_images(tmp_path)
    (chosen,) = choose_images(index, 1, seed=0)
    before = (tmp_path / chosen.path).read_bytes()
    Image.open(tmp_path / chosen.path).save(tmp_path / chosen.path, "BMP")
    assert (tmp_path / chosen.path).read_bytes() != before
    assert len(list(calibration_frames(tmp_path, (chosen,), networks.contract().frame))) == 1


def test_a_file_that_is_gone_is_an_error_with_its_path(networks: ModuleType, tmp_path: Path) -> None:
    (chosen,) = choose_images(networks.write_images(tmp_path), 1, seed=0)
    (tmp_path / chosen.path).unlink()
    with raises(DataError, "E_FILE_MISSING", says=f"{chosen.path}"):
        list(calibration_frames(tmp_path, (chosen,), networks.contract().frame))


def test_the_digest_depends_on_the_pixels_alone_and_not_on_their_order(networks: ModuleType) -> None:
    chosen = choose_images(uneven(networks), 10, seed=0)
    digest = calibration_digest(chosen)
    renamed = [
        replace(r, path=f"{k}.png", label=2, group="g", sha256="0" * 64, labelled_subset=None) for k, r in enumerate(chosen)
    ]
    assert calibration_digest(renamed) == digest
    assert calibration_digest(chosen[::-1]) == digest
    assert calibration_digest(chosen[1:]) != digest
    assert calibration_digest((*chosen, chosen[0])) != digest
    assert calibration_digest((replace(chosen[0], pixels_sha256="0" * 64), *chosen[1:])) != digest
