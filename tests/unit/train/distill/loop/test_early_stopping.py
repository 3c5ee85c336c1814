"""Early stopping: when a training ends, which weights are kept, and that a kill or a second process changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from weckd_edge.artifacts import ImageRecord, NetworkInput
from weckd_edge.cli.console.live_progress import live_progress
from weckd_edge.cli.console.output import PlainProgress
from weckd_edge.config import BuildConfig, DataConfig, DistillConfig, LinkConfig, TrainConfig
from weckd_edge.core.progress import Progress, SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.train.data.index import build_index
from weckd_edge.train.data.pixel_cache import CachedImages
from weckd_edge.train.distill import trainer as module
from weckd_edge.train.distill.chain import make_trainer, plan_chain, train_build
from weckd_edge.train.distill.loop.early_stopping import EarlyStopping, ValidationScore, score_validation
from weckd_edge.train.distill.loop.engine import TrainingRun, fit_student
from weckd_edge.train.distill.loop.sampler import TrainingImages
from weckd_edge.train.distill.loop.task import LabelTask
from weckd_edge.train.networks.models import Student, create_student
from weckd_edge.train.networks.preprocess import make_network_input

INPUT = NetworkInput(height=32, width=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CONFIG = TrainConfig(epochs=8, steps_per_epoch=2, batch=8, learning_rate=3e-3, accelerator="cpu", threads=1)
RISE_AND_FALL = (0.5, 0.7, 0.6, 0.7, 0.65, 0.9, 0.9, 0.9)
"""With a patience of 3 the training ends after epoch 5, and epoch 2 is the best."""

Weights = dict[str, torch.Tensor]


def student() -> Student:
    torch.manual_seed(0)
    return create_student(LinkConfig(model="test_resnet", input_size=32), 2).student


def feed() -> TrainingImages:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 40, 40, 3), dtype=np.uint8)
    labels = np.arange(16, dtype=np.int64) % 2
    return TrainingImages(
        images={32: CachedImages(pixels=pixels)}, labels=labels, labelled=np.arange(16), unlabelled=np.zeros(0, np.int64)
    )


def copy_of(network: Any) -> Weights:
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal(a: Weights, b: Weights) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


class Script:
    """Gives the scores of a list, one an epoch, and keeps the weights it was asked to score."""

    def __init__(self, accuracies: Sequence[float] = RISE_AND_FALL, *, done: int = 0) -> None:
        self.accuracies = list(accuracies)[done:]
        self.scored: list[Weights] = []

    def __call__(self, network: Student) -> ValidationScore:
        network.eval()
        self.scored.append(copy_of(network))
        return ValidationScore(accuracy=self.accuracies.pop(0), cross_entropy=1.0)


def fit(
    folder: Path,
    script: Script,
    config: TrainConfig = CONFIG,
    *,
    patience: int = 3,
    progress: Progress | None = None,
    task: LabelTask | None = None,
) -> tuple[Weights, EarlyStopping]:
    folder.mkdir(exist_ok=True)
    stopping = EarlyStopping(patience, script)
    trained = fit_student(
        student(),
        task or LabelTask(INPUT),
        feed(),
        config,
        TrainingRun(name="x", seed=5, scratch=folder),
        progress or SilentProgress(),
        stopping,
    )
    return copy_of(trained), stopping


class KilledError(Exception):
    pass


class Dies(LabelTask):
    """Ends the process, so to say, at a step."""

    def __init__(self, step: int) -> None:
        super().__init__(INPUT)
        self.left = step

    def __call__(self, *args: Any) -> dict[str, torch.Tensor]:
        self.left -= 1
        if self.left == 0:
            raise KilledError
        return super().__call__(*args)


@pytest.mark.parametrize("ema", [0.0, 0.3])
def test_the_training_ends_after_its_patience_and_keeps_the_best_epoch(tmp_path: Path, ema: float) -> None:
    script = Script()
    weights, stopping = fit(tmp_path / "a", script, replace(CONFIG, ema=ema))
    assert (stopping.epochs, stopping.best_epoch, len(script.scored)) == (5, 2, 5)
    assert equal(weights, script.scored[1])
    assert not equal(weights, script.scored[4])


def test_with_averaged_weights_the_average_is_scored(tmp_path: Path) -> None:
    plain, averaged = Script(), Script()
    fit(tmp_path / "a", plain)
    fit(tmp_path / "b", averaged, replace(CONFIG, ema=0.3))
    assert not equal(plain.scored[0], averaged.scored[0])


def test_a_training_that_never_gets_worse_takes_all_epochs_and_is_the_same_as_without_patience(tmp_path: Path) -> None:
    weights, stopping = fit(tmp_path / "a", Script([0.1 * epoch for epoch in range(8)]))
    assert (stopping.epochs, stopping.best_epoch) == (8, 8)
    (tmp_path / "b").mkdir()
    plain = fit_student(
        student(),
        LabelTask(INPUT),
        feed(),
        CONFIG,
        TrainingRun(name="x", seed=5, scratch=tmp_path / "b"),
        SilentProgress(),
    )
    assert equal(weights, copy_of(plain))


@pytest.mark.parametrize(("step", "done"), [(4, 1), (7, 3), (10, 4)])
@pytest.mark.parametrize("ema", [0.0, 0.3])
def test_a_killed_training_ends_where_it_would_have_ended(tmp_path: Path, step: int, done: int, ema: float) -> None:
    config = replace(CONFIG, ema=ema)
    whole, _ = fit(tmp_path / "whole", Script(), config)
    with pytest.raises(KilledError):
        fit(tmp_path / "torn", Script(), config, task=Dies(step))
    weights, stopping = fit(tmp_path / "torn", Script(done=done), config)
    assert (stopping.epochs, stopping.best_epoch) == (5, 2)
    assert equal(weights, whole)


def test_a_training_that_was_killed_when_it_had_ended_trains_no_further_step(tmp_path: Path) -> None:
    whole, _ = fit(tmp_path / "a", Script())
    again, stopping = fit(tmp_path / "a", Script([]), task=Dies(1))
    assert equal(whole, again)
    assert stopping.epochs == 5


def test_an_equal_accuracy_is_better_with_a_lower_cross_entropy_only() -> None:
    best = ValidationScore(accuracy=0.8, cross_entropy=0.5)
    assert ValidationScore(accuracy=0.8, cross_entropy=0.4).is_better_than(best)
    assert not ValidationScore(accuracy=0.8, cross_entropy=0.5).is_better_than(best)
    assert not ValidationScore(accuracy=0.7, cross_entropy=0.1).is_better_than(best)
    assert ValidationScore(accuracy=0.9, cross_entropy=2.0).is_better_than(best)


class Recorded:
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.total = self.done = 0
        self.notes: list[str] = []

    @contextmanager
    def task(self, name: str, total: int, done: int = 0) -> Iterator[Recorded]:
        self.total, self.done = total, done
        yield self

    def advance(self, steps: int = 1, **values: float) -> None:
        self.done += steps

    def end_after(self, total: int) -> None:
        self.total = total

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_the_progress_ends_at_its_total_and_says_which_epoch_is_kept(tmp_path: Path) -> None:
    shown = Recorded()
    fit(tmp_path / "a", Script(), progress=shown)
    assert (shown.done, shown.total) == (10, 10)
    assert shown.notes == ["x: ended after epoch 5 of 8; epoch 2 is kept"]


def test_the_displays_of_the_command_line_can_be_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    for progress in (PlainProgress(), SilentProgress()):
        with progress.task("train", 8) as shown:
            shown.advance(3)
            shown.end_after(3)
    assert "train: done" in capsys.readouterr().err
    with live_progress() as live, live.task("train", 8) as shown:
        shown.advance(3)
        shown.end_after(3)
    assert "3/3" in capsys.readouterr().err


def test_a_chain_is_scored_on_validation_images_alone_and_its_links_say_how_long_they_learned(
    ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[ImageRecord] = []

    def never_better(network: Student, spec: object, images: Any) -> ValidationScore:
        seen.extend(images.records)
        return ValidationScore(accuracy=0.5, cross_entropy=1.0)

    monkeypatch.setattr(module, "score_validation", never_better)
    widths = ((16, 16, 16, 16), (8, 8, 8, 8))
    config = BuildConfig(
        link=tuple(
            LinkConfig(model="resnet10t", input_size=32, options={"channels": one, "stem_width": 8}) for one in widths
        ),
        data=DataConfig(labelled_fraction=0.25),
        train=replace(CONFIG, patience=2),
        distill=DistillConfig(strategy="guided"),
    )
    index = build_index(ears, config.data, labelled_subsets=2, seed=0, skip_bad=False, progress=SilentProgress())
    plans = plan_chain(index, config)
    chain = train_build(make_trainer(Workspace(tmp_path / "work"), ears, index, plans, SilentProgress()), plans, config)
    assert chain.baseline is not None
    assert [link.artifact.epochs for link in (*chain.links, chain.baseline)] == [3, 3, 3]
    assert {record.path for record in seen} == {record.path for record in index.split("val")}


def test_a_real_score_is_the_accuracy_and_the_cross_entropy_of_the_labels(ears: Path, tmp_path: Path) -> None:
    config = BuildConfig(
        link=tuple(
            LinkConfig(model="resnet10t", input_size=32, options={"channels": (8 * n,) * 4, "stem_width": 8}) for n in (2, 1)
        ),
        data=DataConfig(labelled_fraction=0.25),
        train=CONFIG,
    )
    index = build_index(ears, config.data, labelled_subsets=2, seed=0, skip_bad=False, progress=SilentProgress())
    plans = plan_chain(index, config)
    trainer = make_trainer(Workspace(tmp_path / "work"), ears, index, plans, SilentProgress())
    images = trainer.frames("val", plans[0].input.frame)
    pupil = create_student(config.link[0], 2).student
    found = score_validation(pupil, plans[0].input, images)
    with torch.inference_mode():
        frames = make_network_input(torch.tensor(images.frames), plans[0].input)
        logits, _ = pupil.eval()(frames)
    labels = torch.tensor([record.label for record in images.records])
    assert found.accuracy == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert found.cross_entropy == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-4)
