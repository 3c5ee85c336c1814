"""A folder of unlabelled frames: more to show, and no way around the split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from support.errors import raises
from weckd_edge.cli.build import command
from weckd_edge.config import BuildConfig, DataConfig, DistillConfig, LinkConfig, TrainConfig, load_config
from weckd_edge.core.errors import ConfigError, DataError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.train.data.index import build_index, cached_index
from weckd_edge.train.distill.chain import make_trainer, plan_chain, run_strategy
from weckd_edge.train.distill.strategies import find_strategy


def picture(seed: int) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    return Image.fromarray(cells).resize((40, 36), Image.Resampling.BICUBIC)


@pytest.fixture
def ears(tmp_path: Path) -> Path:
    root = tmp_path / "ears"
    for c, label in enumerate(("dark", "light")):
        (root / label).mkdir(parents=True)
        for i in range(12):
            picture(100 * c + i).save(root / label / f"{i:02d}.png")
    return root


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    folder = tmp_path / "pool"
    (folder / "monday").mkdir(parents=True)
    for i in range(5):
        picture(1000 + i).save(folder / "monday" / f"{i}.png")
    return folder


def config(pool: Path | None) -> DataConfig:
    return DataConfig(labelled_fraction=0.25, unlabelled=str(pool) if pool else None)


def read(ears: Path, pool: Path | None, skip_bad: bool = False):  # type: ignore[no-untyped-def]
    return build_index(ears, config(pool), labelled_subsets=2, seed=0, skip_bad=skip_bad, progress=SilentProgress())


def test_frames_are_listed_without_label_and_the_split_stays_as_it_was(ears: Path, pool: Path) -> None:
    found = read(ears, pool)
    assert [image.path for image in found.unlabelled] == [f"monday/{i}.png" for i in range(5)]
    assert found.images == read(ears, None).images


def test_a_frame_that_resembles_a_held_out_image_is_left_out_and_one_like_a_training_image_is_not(
    ears: Path, pool: Path
) -> None:
    images = read(ears, None).images
    held_out = next(image for image in images if image.split == "test")
    training = next(image for image in images if image.split == "train")
    for name, record in (("like_test", held_out), ("like_train", training)):
        brighter = np.asarray(Image.open(ears / record.path)).astype(int) + 3
        Image.fromarray(brighter.clip(0, 255).astype(np.uint8)).save(pool / f"{name}.png")
    found = read(ears, pool)
    names = {image.path for image in found.unlabelled}
    assert "like_train.png" in names
    assert "like_test.png" not in names
    assert found.unlabelled_left_out == 1


def test_copies_of_labelled_and_of_other_unlabelled_frames_are_left_out(ears: Path, pool: Path) -> None:
    picture(0).save(pool / "labelled.png")
    picture(1001).save(pool / "twice.png")
    found = read(ears, pool)
    assert len(found.unlabelled) == 5
    assert found.unlabelled_left_out == 2


def test_unreadable_frames_are_refused_or_recorded(ears: Path, pool: Path) -> None:
    (pool / "cut.png").write_bytes(b"no image")
    with raises(DataError, "E_DATA_BAD_IMAGES", says=("cut.png", "--skip-bad")):
        read(ears, pool)
    assert [bad.path for bad in read(ears, pool, skip_bad=True).bad_files] == ["cut.png"]


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()])
def test_a_missing_or_empty_folder_is_one_clear_line(ears: Path, tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "none"
    make(folder)
    with raises(DataError, "E_DATA_UNLABELLED", says="data.unlabelled"):
        read(ears, folder)


def test_a_new_frame_makes_a_new_index(ears: Path, pool: Path, tmp_path: Path) -> None:
    workspace, whole = Workspace(tmp_path / "work"), BuildConfig(data=config(pool))
    first = cached_index(workspace, ears, whole, skip_bad=False, progress=SilentProgress())
    again = cached_index(workspace, ears, whole, skip_bad=False, progress=SilentProgress())
    assert again.reused
    picture(2000).save(pool / "new.png")
    third = cached_index(workspace, ears, whole, skip_bad=False, progress=SilentProgress())
    assert len(third.artifact.unlabelled) == len(first.artifact.unlabelled) + 1


def test_the_folder_is_found_beside_the_config_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[data]\nunlabelled = "pool"\n')
    assert load_config(tmp_path / "a.toml").data.unlabelled == str(tmp_path / "pool")


def test_a_build_whose_strategy_would_not_look_at_them_is_refused(ears: Path, pool: Path, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[data]\nunlabelled = "pool"\n[distill]\nstrategy = "guided"\n')
    line = ["--data", str(ears), "--target", "cpu", "--config", str(tmp_path / "a.toml"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(command, line)
    assert isinstance(done.exception, ConfigError)
    assert "strategy = 'guided' shows no link an image without a label" in str(done.exception)


def test_links_with_a_teacher_see_them_where_the_strategy_has_the_unlabelled_images(
    ears: Path, pool: Path, tmp_path: Path
) -> None:
    links = tuple(
        LinkConfig(model="resnet10t", input_size=32, options={"channels": (w, w, w, w), "stem_width": 8}) for w in (16, 8)
    )
    whole = BuildConfig(
        link=links,
        data=config(pool),
        train=TrainConfig(epochs=1, steps_per_epoch=1, batch=8, accelerator="cpu"),
        distill=DistillConfig(),
    )
    workspace = Workspace(tmp_path / "work")
    index = cached_index(workspace, ears, whole, skip_bad=False, progress=SilentProgress()).artifact
    plans = plan_chain(index, whole)
    trainer = make_trainer(workspace, ears, index, plans, SilentProgress(), str(pool))
    train = sum(image.split == "train" for image in index.images)
    for strategy, seen in (
        ("takd+unlabelled", train + 5),
        ("takd", sum(i.labelled_subset is not None for i in index.images)),
    ):
        assert run_strategy(trainer, plans, find_strategy(strategy), whole)[-1].artifact.images_used == seen
    with raises(DataError, "E_DATA_UNLABELLED"):
        make_trainer(workspace, ears, replace(index), plans, SilentProgress(), None)
