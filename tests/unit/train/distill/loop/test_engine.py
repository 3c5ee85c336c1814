"""The loop: it learns, it repeats itself to the byte, and it goes on after a kill as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.errors import raises
from weckd_edge.artifacts import NetworkInput
from weckd_edge.config import DistillConfig, LinkConfig, TrainConfig
from weckd_edge.core.errors import ConfigError, ModelError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.data.pixel_cache import CachedImages
from weckd_edge.train.distill.loop.augmentation import Pictures, apply_views, draw_views
from weckd_edge.train.distill.loop.engine import CHECKPOINT, TrainingRun, fit_student
from weckd_edge.train.distill.loop.moving_average import MovingAverage
from weckd_edge.train.distill.loop.sampler import TrainingImages, epoch_batches
from weckd_edge.train.distill.loop.task import Batch, DistillationTask, LabelTask, Teacher, draw_mixup
from weckd_edge.train.networks.models import Student, create_student

SIDE = 40
INPUT = NetworkInput(height=32, width=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CONFIG = TrainConfig(epochs=3, steps_per_epoch=3, batch=8, learning_rate=3e-3, accelerator="cpu", threads=1)


def student(seed: int = 0) -> Student:
    torch.manual_seed(seed)
    return create_student(LinkConfig(model="test_resnet", input_size=32), 2).student


def feed() -> TrainingImages:
    """Two classes told apart by which half is bright."""
    rng = np.random.default_rng(0)
    labels = np.arange(32) % 2
    pixels = rng.integers(0, 60, (32, SIDE, SIDE, 3), dtype=np.uint8)
    pixels[labels == 0, : SIDE // 2] += 150
    pixels[labels == 1, SIDE // 2 :] += 150
    return TrainingImages(
        images={size: CachedImages(pixels=pixels) for size in (32, 40)},
        labels=labels.astype(np.int64),
        labelled=np.arange(16),
        unlabelled=np.arange(16, 32),
    )


def plain(data: TrainingImages) -> torch.Tensor:
    """Every image as the network sees it without a random view."""
    views = draw_views(32, 0, torch.Generator().manual_seed(0))
    return (apply_views(data.pictures(np.arange(32))[32], views, 32) / 255 - 0.5) / 0.5


def run(config: TrainConfig, scratch: Path, task: LabelTask | DistillationTask | None = None) -> dict[str, torch.Tensor]:
    scratch.mkdir(exist_ok=True)
    task = task or LabelTask(INPUT)
    trained = fit_student(student(), task, feed(), config, TrainingRun(name="x", seed=5, scratch=scratch), SilentProgress())
    return {k: v.clone() for k, v in trained.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a)


class KilledError(Exception):
    pass


def test_the_loop_learns_what_can_be_learned(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=6, steps_per_epoch=6, augment=0)
    weights = run(config, tmp_path / "a")
    trained = student()
    trained.load_state_dict(weights)
    trained.eval()
    data = feed()
    answers = trained(plain(data))[0].argmax(1).numpy()
    assert (answers == data.labels).mean() >= 0.9


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    assert equal(run(CONFIG, tmp_path / "a"), run(CONFIG, tmp_path / "b"))


@pytest.mark.parametrize("step", [4, 7])
def test_a_run_that_was_killed_ends_with_the_same_bytes(tmp_path: Path, step: int) -> None:
    whole = run(CONFIG, tmp_path / "whole")

    class Dies(LabelTask):
        steps = 0

        def __call__(self, *args: object) -> dict[str, torch.Tensor]:  # type: ignore[override]  # passes all on
            self.steps += 1
            if self.steps == step:
                raise KilledError
            return super().__call__(*args)  # type: ignore[arg-type]  # passes all on

    with pytest.raises(KilledError):
        run(CONFIG, tmp_path / "killed", Dies(INPUT))
    assert (tmp_path / "killed" / CHECKPOINT).is_file()
    assert equal(whole, run(CONFIG, tmp_path / "killed"))


def test_a_torn_checkpoint_is_not_trusted(tmp_path: Path) -> None:
    whole = run(CONFIG, tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / CHECKPOINT).write_bytes((tmp_path / "a" / CHECKPOINT).read_bytes()[:1000])
    assert equal(whole, run(CONFIG, tmp_path / "b"))


def test_a_checkpoint_that_holds_a_part_is_not_half_taken(tmp_path: Path) -> None:
    whole = run(CONFIG, tmp_path / "a")
    state = torch.load(tmp_path / "a" / CHECKPOINT, weights_only=True)
    state["optimizer"] = {}
    (tmp_path / "b").mkdir()
    torch.save(state, tmp_path / "b" / CHECKPOINT)
    assert equal(whole, run(CONFIG, tmp_path / "b"))


def test_the_teacher_stays_as_it_is_and_no_gradient_reaches_it(tmp_path: Path) -> None:
    teacher = student(9)
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    task = DistillationTask([Teacher(teacher, replace(INPUT, height=40, width=40))], INPUT, DistillConfig(), 2)
    run(CONFIG, tmp_path / "a", task)
    assert equal(before, teacher.state_dict())
    assert all(p.grad is None for p in teacher.parameters())


def test_a_student_with_only_soft_targets_comes_to_predict_as_its_teacher(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=6, steps_per_epoch=6, augment=0)
    teacher = student()
    teacher.load_state_dict(run(config, tmp_path / "teacher"))
    distill = DistillConfig(distill_weight=1.0, attention=0.5)
    weights = run(config, tmp_path / "student", DistillationTask([Teacher(teacher, INPUT)], INPUT, distill, 2))
    pupil = student()
    pupil.load_state_dict(weights)
    pupil.eval()
    images = plain(feed())
    assert (pupil(images)[0].argmax(1) == teacher.eval()(images)[0].argmax(1)).float().mean() >= 0.9


def test_only_the_labelled_subset_is_labelled_and_each_epoch_repeats() -> None:
    data = feed()
    shown = TrainConfig(steps_per_epoch=4, batch=4, augment=0.5, balance=0.0)
    first = list(epoch_batches(data, shown, seed=1, epoch=2))
    again = list(epoch_batches(data, shown, seed=1, epoch=2))
    other = list(epoch_batches(data, shown, seed=1, epoch=3))
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.pictures[32].pixels, b.pictures[32].pixels)
        assert torch.equal(a.views.affine, b.views.affine)
        assert (a.labels >= 0).sum() == 4
    assert not torch.equal(first[0].pictures[32].pixels, other[0].pictures[32].pixels)
    seen = {img.numpy().tobytes() for b in first for img, y in zip(b.pictures[32].pixels, b.labels, strict=True) if y >= 0}
    assert seen <= {data.images[32].pixels[i].tobytes() for i in data.labelled}


@pytest.mark.parametrize(("ratio", "unlabelled"), [(1.0, 8), (0.5, 4), (3.0, 24)])
def test_images_of_the_unlabelled_images_come_beside_the_batch_of_labelled_ones(ratio: float, unlabelled: int) -> None:
    data = replace(feed(), unlabelled_per_labelled=ratio)
    (batch,) = epoch_batches(data, TrainConfig(steps_per_epoch=1, batch=8, augment=0, balance=0.0), seed=1, epoch=0)
    assert (batch.labels >= 0).tolist() == [True] * 8 + [False] * unlabelled
    shown = {image.numpy().tobytes() for image in batch.pictures[32].pixels[8:]}
    assert shown <= {data.images[32].pixels[i].tobytes() for i in data.unlabelled}


def test_no_augmentation_is_the_plain_image() -> None:
    images = torch.randint(0, 255, (3, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shown = apply_views(Pictures(pixels=images), draw_views(3, 0, torch.Generator().manual_seed(0)), 32)
    assert torch.allclose(shown, images.permute(0, 3, 1, 2).float(), atol=1e-2)


def test_views_are_what_their_parts_say_one_after_another() -> None:
    images = torch.randint(0, 256, (3, 20, 20, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    views = draw_views(3, 1.0, torch.Generator().manual_seed(1))
    grid = torch.nn.functional.affine_grid(views.affine, [3, 3, 16, 16], align_corners=False)
    pixels = images.permute(0, 3, 1, 2).float()
    x = torch.nn.functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    x = x * views.brightness.view(-1, 1, 1, 1)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = mean + (x - mean) * views.contrast.view(-1, 1, 1, 1)
    grey = x.mean(dim=1, keepdim=True)
    x = (grey + (x - grey) * views.saturation.view(-1, 1, 1, 1)).clamp(0, 255)
    assert torch.allclose(apply_views(Pictures(pixels=images), views, 16), x, atol=1e-2)


def test_teacher_and_student_sizes_see_the_same_view() -> None:
    ramp = torch.linspace(0, 255, 64).view(1, 1, 64, 1).expand(2, 64, 64, 3).to(torch.uint8).contiguous()
    views = draw_views(2, 1.0, torch.Generator().manual_seed(3))
    large, small = (apply_views(Pictures(pixels=ramp), views, size) for size in (64, 32))
    assert torch.allclose(torch.nn.functional.avg_pool2d(large, 2), small, atol=6)


def test_averaged_weights_follow_the_definition() -> None:
    one = student(0)
    average = MovingAverage(one, 0.9)
    start = {key: value.clone() for key, value in one.state_dict().items()}
    for value in one.state_dict().values():
        if value.is_floating_point():
            value.add_(1.0)
    average.take(one)
    first = min(0.9, 1 / 10)
    for key, value in average.module.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value, start[key] * first + (start[key] + 1) * (1 - first), atol=1e-5)


def test_a_killed_run_with_averaged_weights_ends_with_the_same_bytes(tmp_path: Path) -> None:
    config = replace(CONFIG, ema=0.5)
    whole = run(config, tmp_path / "whole")

    class Dies(LabelTask):
        steps = 0

        def __call__(self, *args: object) -> dict[str, torch.Tensor]:
            Dies.steps += 1
            if Dies.steps == 5:
                raise KilledError
            return super().__call__(*args)  # type: ignore[arg-type]

    with pytest.raises(KilledError):
        run(config, tmp_path / "torn", Dies(INPUT))
    assert equal(run(config, tmp_path / "torn"), whole)
    assert not equal(whole, run(CONFIG, tmp_path / "last"))


def counts(balance: float, steps: int = 200) -> tuple[int, int]:
    data = replace(feed(), labelled=np.array([0, 2, 4, 6, 8, 10, 12, 14, 1]), unlabelled=np.zeros(0, dtype=np.int64))
    shown = TrainConfig(steps_per_epoch=steps, batch=8, augment=0, balance=balance)
    seen = [int(label) for batch in epoch_batches(data, shown, seed=1, epoch=0) for label in batch.labels]
    return seen.count(0), seen.count(1)


@pytest.mark.parametrize(("balance", "ratio"), [(0.0, 8.0), (0.5, 8**0.5), (1.0, 1.0)])
def test_a_rare_class_is_shown_as_often_as_its_balance_asks(balance: float, ratio: float) -> None:
    common, rare = counts(balance)
    assert common / rare == pytest.approx(ratio, rel=0.02)


def test_mixed_images_are_mixed_alike_for_teacher_and_student_and_keep_labels_apart() -> None:
    data = feed()
    (batch,) = epoch_batches(data, TrainConfig(steps_per_epoch=1, batch=4, augment=0, balance=0.0), seed=1, epoch=0)
    generator = torch.Generator().manual_seed(batch.seed)
    mix = draw_mixup(batch, 1.0, generator)
    assert mix is not None
    assert sorted(mix.partner.tolist()) == list(range(8))
    assert set(mix.partner[: batch.labelled].tolist()) == set(range(batch.labelled))
    assert draw_mixup(batch, 0.0, generator) is None


def test_with_several_teachers_one_always_takes_part() -> None:
    teachers = [Teacher(student(i), INPUT) for i in range(3)]
    task = DistillationTask(teachers, INPUT, DistillConfig(teacher_dropout=0.9), 2)
    chosen = [task.choose_teachers(torch.Generator().manual_seed(seed)) for seed in range(300)]
    assert min(len(some) for some in chosen) == 1
    assert max(len(some) for some in chosen) > 1
    assert {position for some in chosen for position in some} == {0, 1, 2}


def test_in_the_last_part_a_refined_link_hears_its_labels_alone() -> None:
    task = DistillationTask([Teacher(student(1), INPUT)], INPUT, DistillConfig(label_only_fraction=0.25), 2)
    (batch,) = epoch_batches(feed(), TrainConfig(steps_per_epoch=1, batch=4, augment=0, balance=0.0), seed=1, epoch=0)
    one = student(0)
    assert "soft" in task(one, batch, 0.74)
    assert set(task(one, batch, 0.75)) == {"loss"}


def batches_of(uses: int, steps: int = 7, epoch: int = 0) -> list[Batch]:
    shown = TrainConfig(steps_per_epoch=steps, batch=4, augment=0.5, balance=0.0)
    return list(epoch_batches(feed(), shown, seed=3, epoch=epoch, uses=uses))


def test_a_view_that_is_shown_twice_is_the_same_image_and_view_among_others() -> None:
    shown: dict[int, list[tuple[bytes, bytes, int, frozenset[int]]]] = {}
    for batch in batches_of(2):
        for i, slot in enumerate(batch.slots.tolist()):
            pixels, affine = batch.pictures[32].pixels[i].numpy().tobytes(), batch.views.affine[i].numpy().tobytes()
            shown.setdefault(slot, []).append((pixels, affine, int(batch.labels[i]), frozenset(batch.slots.tolist())))
    assert len(shown) == 4 * 8
    twice = [seen for seen in shown.values() if len(seen) == 2]
    assert len(twice) == 3 * 8
    assert all(first[:3] == second[:3] for first, second in twice)
    assert sum(first[3] != second[3] for first, second in twice) > len(twice) / 2


def test_every_place_in_a_batch_is_filled_from_the_labelled_subset_or_from_the_unlabelled_images_as_before() -> None:
    for batch in batches_of(3):
        assert (batch.labels[:4] >= 0).all()
        assert (batch.labels[4:] == -1).all()


@pytest.mark.parametrize("mixup", [0.0, 1.0])
def test_a_teacher_looks_at_a_view_once_and_its_output_is_used_unless_images_are_mixed(mixup: float) -> None:
    teacher, pupil = student(1), student(2).eval()
    looked = 0

    def count(module: object, images: tuple[torch.Tensor, ...]) -> None:
        nonlocal looked
        looked += len(images[0])

    def losses(uses: int) -> list[float]:
        task = DistillationTask([Teacher(teacher, INPUT)], INPUT, DistillConfig(mixup=mixup, view_reuse=uses), 2)
        return [task(pupil, batch, 0.3)["loss"].item() for epoch in (0, 1) for batch in batches_of(2, 6, epoch)]

    teacher.register_forward_pre_hook(count)
    kept = losses(2)
    assert looked == (2 * 6 * 8 if mixup else 2 * 3 * 8)
    assert kept == pytest.approx(losses(1), rel=1e-5)


def test_a_step_in_parts_is_the_same_step_where_no_batch_norm_sees_them(tmp_path: Path) -> None:
    """In evaluation mode the parts' gradients add up to the whole batch's."""
    pupil, task = student().eval(), LabelTask(INPUT)
    whole = batches_of(1, 1)[0]
    task(pupil, whole, 0.0)["loss"].backward()
    wanted = [p.grad.clone() for p in pupil.parameters() if p.grad is not None]
    pupil.zero_grad()
    for which in range(2):
        (task(pupil, whole.part(which, 2), 0.0)["loss"] / 2).backward()
    found = [p.grad for p in pupil.parameters() if p.grad is not None]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(wanted, found, strict=True))
    assert not equal(run(CONFIG, tmp_path / "a"), run(replace(CONFIG, accumulate=2), tmp_path / "b"))


def test_the_parts_of_a_batch_are_its_images_once_each_with_or_without_a_pool() -> None:
    for batch in (batches_of(1, 1)[0], replace(batches_of(1, 1)[0], labelled=8)):
        parts = [batch.part(which, 4) for which in range(4)]
        assert sorted(slot for part in parts for slot in part.slots.tolist()) == list(range(8))
        assert {(len(part), part.labelled) for part in parts} == {(2, batch.labelled // 4)}


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path: Path) -> None:
    with raises(ConfigError, "E_CONFIG_DISTRIBUTED", says="3"):
        run(replace(CONFIG, accumulate=3), tmp_path / "a")


def test_the_network_is_compiled_where_the_settings_ask_for_it_and_trains_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled, real = list[object](), torch.compile

    def compile_for_this_test(network: torch.nn.Module, **given: Any) -> object:
        compiled.append(network)
        # The graph is taken as it is on a GPU; no kernels are written for it. Fabric compiles again what it has wrapped.
        return real(network, **{**given, "backend": "eager"})

    monkeypatch.setattr(torch, "compile", compile_for_this_test)
    config = replace(CONFIG, epochs=1, batch=4)
    plain = run(config, tmp_path / "a")
    assert not compiled
    found = run(replace(config, compile=True), tmp_path / "b")
    assert compiled
    assert all(torch.allclose(value.float(), found[key].float(), atol=1e-3) for key, value in plain.items())


def test_a_training_whose_gradients_are_no_numbers_ends_with_an_error_and_keeps_no_weights(tmp_path: Path) -> None:
    class Diverges(LabelTask):
        def __call__(self, *args: object) -> dict[str, torch.Tensor]:
            return {"loss": super().__call__(*args)["loss"] * float("nan")}  # type: ignore[arg-type]

    with raises(ModelError, "E_MODEL_NOT_FINITE", says=("step 1", "learning_rate")):
        run(CONFIG, tmp_path / "a", Diverges(INPUT))
    assert not (tmp_path / "a" / CHECKPOINT).exists()
