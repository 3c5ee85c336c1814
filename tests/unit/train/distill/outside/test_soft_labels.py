"""Soft labels of teachers from outside: the mean over views and teachers, in the order of the labels, computed once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from support import factories
from support.errors import raises
from weckd_edge.artifacts import FrameSpec, NetworkInput, SoftLabels
from weckd_edge.config import BuildConfig, DistillConfig, TrainConfig
from weckd_edge.core.errors import ModelError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Stage, Workspace
from weckd_edge.core.stored_array import read_array
from weckd_edge.devices.images.split_frames import frames_of
from weckd_edge.train.data.pixel_cache import plan_cache
from weckd_edge.train.distill.outside.heads import LabelledImages
from weckd_edge.train.distill.outside.soft_labels import (
    LEAST_AGREEMENT,
    TaughtImages,
    Teachers,
    TunedTeacher,
    agreement_of,
    soft_labels_once,
)
from weckd_edge.train.distill.outside.teacher import OutsideTeacher
from weckd_edge.train.distill.outside.teacher_outputs import ShownImages, TeacherViews, pictures_of_frames, teacher_outputs

SIDE, LABELS = 32, ("dark", "light")
INPUT = NetworkInput(height=SIDE, width=SIDE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
SPEC = FrameSpec(height=40, width=40, crop="center", resize="area")
CONFIG = BuildConfig(seed=3, train=TrainConfig(augment=0.5), distill=DistillConfig(teacher_folds=3))


class Brightness:
    """Teacher whose only feature is the left half's brightness; it counts the images that it is shown."""

    def __init__(self) -> None:
        self.shown = 0

    def features(self, images: Tensor) -> Tensor:
        self.shown += len(images)
        return images[:, :, :, : SIDE // 2].mean(dim=(1, 2, 3))[:, None] / 255

    def classify(self, images: Tensor) -> Tensor:
        light = self.features(images)
        return torch.cat([light, 1 - light], dim=1)

    def opened(self, **changes: object) -> OutsideTeacher:
        made = OutsideTeacher(name="brightness", identity=["toy"], input=INPUT, features=self.features)
        return replace(made, **changes)  # type: ignore[arg-type]  # fields of the teacher

    def own(self, labels: tuple[str, ...] | None = ("light", "dark")) -> OutsideTeacher:
        """Return it with a classifier of its own, whose first class is ``light``."""
        return self.opened(classify=self.classify, outputs=2, labels=labels)


def shown_files(paths: list[Path]) -> ShownImages:
    plan = plan_cache(len(paths), SPEC, [SIDE])
    return ShownImages(
        digests=[path.name for path in paths],
        spec=SPEC,
        places=plan.places,
        pictures=lambda size: pictures_of_frames(frames_of(paths, SPEC), plan, size),
    )


@pytest.fixture
def images(tmp_path: Path) -> TaughtImages:
    """Twelve training and six validation images, dark and light ones in turn; the left half is black in all."""
    paths = []
    for at in range(18):
        pixels = np.full((40, 40, 3), 40 + 160 * (at % 2) + at, np.uint8)
        pixels[:, :20] = pixels[:, :20] // 2
        paths.append(tmp_path / f"{at:02}.png")
        Image.fromarray(pixels).save(paths[-1])
    files = [shown_files(part) for part in (paths[:12], paths[12:])]
    rows = np.arange(8)
    known = LabelledImages(rows=rows, labels=rows % 2, groups=[f"g{row}" for row in rows])
    return TaughtImages(training=files[0], validation=files[1], labelled=known, labels=LABELS)


def made(
    folder: Path, images: TaughtImages, *fixed: OutsideTeacher, tuned: tuple[TunedTeacher, ...] = ()
) -> Stage[SoftLabels]:
    teachers = Teachers(fixed=fixed, tuned=tuned)
    return soft_labels_once(Workspace(folder / "work"), teachers, images, CONFIG, SilentProgress())


def arrays(stage: Stage[SoftLabels]) -> tuple[np.ndarray, np.ndarray]:
    found = stage.artifact
    return np.exp(read_array(stage.folder, found.training)), read_array(stage.folder, found.validation)


def test_a_backbone_gets_a_classifier_from_the_labels_that_may_be_seen(tmp_path: Path, images: TaughtImages) -> None:
    stage = made(tmp_path, images, Brightness().opened())
    training, validation = arrays(stage)
    assert (training.argmax(axis=1) == np.arange(12) % 2).all()
    assert (validation.argmax(axis=1) == np.arange(6) % 2).all()
    assert np.allclose(training.sum(axis=1), 1, atol=1e-4)
    found = stage.artifact
    assert (found.folds, found.views, found.labels_used) == (3, 2, 8)
    assert found.out_of_fold is not None
    assert (found.out_of_fold.correct, found.out_of_fold.images, found.out_of_fold.groups) == (8, 8, 8)


def test_a_teachers_own_classifier_speaks_in_the_order_of_the_labels_and_needs_none(
    tmp_path: Path, images: TaughtImages
) -> None:
    stage = made(tmp_path, images, Brightness().own())
    training, _ = arrays(stage)
    assert (training.argmax(axis=1) == np.arange(12) % 2).mean() >= 0.5
    assert (stage.artifact.folds, stage.artifact.labels_used, stage.artifact.out_of_fold) == (0, 0, None)
    turned, _ = arrays(made(tmp_path / "turned", images, Brightness().own(labels=None)))
    assert turned == pytest.approx(training[:, ::-1], abs=1e-6)


def test_several_teachers_are_the_mean_of_their_probabilities(tmp_path: Path, images: TaughtImages) -> None:
    trunk, own = Brightness().opened(), Brightness().own()
    one, other, both = (
        arrays(made(tmp_path / str(at), images, *t))[0] for at, t in enumerate(([trunk], [own], [trunk, own]))
    )
    assert both == pytest.approx((one + other) / 2, abs=1e-5)


def test_an_output_is_the_mean_over_the_image_and_its_mirror_image(tmp_path: Path, images: TaughtImages) -> None:
    def outputs(count: int, strength: float = 0.5) -> np.ndarray:
        views = TeacherViews(count=count, strength=strength, seed=0)
        return teacher_outputs(
            Workspace(tmp_path / "work"), Brightness().opened(), images.training, views, None, SilentProgress()
        )

    levels = np.array([40 + 160 * (at % 2) + at for at in range(12)])
    left, right = (levels // 2)[:, None] / 255, levels[:, None] / 255
    assert outputs(1) == pytest.approx(left, abs=0.01)
    assert outputs(2) == pytest.approx((left + right) / 2, abs=0.01)
    assert outputs(2, strength=0.0) == pytest.approx(left, abs=0.01)  # training mirrors nothing either
    assert not np.allclose(outputs(4), outputs(2), atol=1e-3)


def test_a_teacher_runs_once_however_many_links_learn_from_it(tmp_path: Path, images: TaughtImages) -> None:
    teacher = Brightness()
    made(tmp_path, images, teacher.opened())
    assert teacher.shown == 2 * 18
    assert made(tmp_path, images, teacher.opened()).reused
    fewer = replace(images.labelled, rows=np.arange(6), labels=np.arange(6) % 2, groups=[f"g{row}" for row in range(6)])
    other = made(tmp_path, replace(images, labelled=fewer), teacher.opened())
    assert not other.reused
    assert other.artifact.labels_used == 6
    assert teacher.shown == 2 * 18
    parts = {folder.name for folder in (tmp_path / "work").glob("teacher-outputs-*")}
    for stage in (made(tmp_path, images, teacher.opened()), other):  # who finds the outputs needs them as well
        assert set(json.loads((stage.folder / "cost.json").read_text())["parts"]) == parts
    made(tmp_path, images, teacher.opened(identity=["another"]))
    assert teacher.shown == 4 * 18


def test_networks_without_a_fold_predict_its_images_and_all_predict_the_others(tmp_path: Path, images: TaughtImages) -> None:
    def constant(fold: int) -> OutsideTeacher:
        sure = torch.tensor([[0.9, 0.1]] if fold else [[0.3, 0.7]])
        return Brightness().opened(
            identity=["fold", fold], classify=lambda shown: sure.expand(len(shown), 2), outputs=2, labels=LABELS, head="own"
        )

    networks = tuple(constant(fold) for fold in range(3))
    fold_of = images.labelled.deal(3, CONFIG.seed)
    by_fold, _ = arrays(made(tmp_path / "folds", images, tuned=(TunedTeacher(networks=networks, by_fold=True),)))
    assert by_fold[:8, 0] == pytest.approx(np.where(fold_of == 0, 0.3, 0.9), abs=1e-5)
    assert by_fold[8:, 0] == pytest.approx(0.7, abs=1e-5)
    stage = made(tmp_path / "seeds", images, tuned=(TunedTeacher(networks=networks, by_fold=False),))
    assert arrays(stage)[0][:, 0] == pytest.approx(0.7, abs=1e-5)
    assert (stage.artifact.folds, stage.artifact.labels_used, stage.artifact.out_of_fold) == (0, 8, None)
    agreement = read_array(stage.folder, stage.artifact.agreement)
    assert ((agreement > 0.5) & (agreement < 0.9)).all()


def test_agreement_is_one_where_predictors_say_the_same_and_least_where_they_contradict_each_other() -> None:
    sure, unsure, other = [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]
    same = np.array([[sure, unsure], [sure, unsure]])
    assert agreement_of(same) == pytest.approx([1, 1])
    assert agreement_of(np.array([[sure], [other]])) == pytest.approx([LEAST_AGREEMENT])
    between = agreement_of(np.array([[sure], [unsure]]))
    assert LEAST_AGREEMENT < between[0] < 1
    assert agreement_of(np.array([[sure, other]])) == pytest.approx([1, 1])  # one predictor agrees with itself


def test_wrong_teachers_are_refused(tmp_path: Path, images: TaughtImages) -> None:
    own = replace(Brightness().own(labels=("dark", "green")), head="own")
    with raises(ModelError, "E_MODEL_CLASSES", says=("dark, light", "dark, green", "ridge")):
        made(tmp_path, images, own)
    assert replace(own, head="auto").head_for(LABELS) == "ridge"
    broken = Brightness().opened(features=lambda shown: torch.full((len(shown), 1), torch.nan))
    with raises(ModelError, "E_MODEL_NOT_FINITE", says="brightness"):
        made(tmp_path, images, broken)


def test_a_teachers_record_names_what_it_is(images: TaughtImages) -> None:
    record = Brightness().opened().record(images.labels)
    assert (record.name, record.head, record.input) == ("brightness", "ridge", INPUT)
    assert record.sha256 != Brightness().opened(identity=["another"]).record(images.labels).sha256
    assert len(record.sha256) == len(factories.digest("x"))
