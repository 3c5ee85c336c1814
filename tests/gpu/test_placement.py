"""What lies on the device that trains, how, and that what is computed there is what the CPU computes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch

from support import factories
from weckd_edge.artifacts import FrameSpec, InputSpec, Resize
from weckd_edge.config import DistillConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.train.distill.evaluate import predict_records
from weckd_edge.train.distill.linear_probe import fit_linear_probe
from weckd_edge.train.distill.loop import held_images
from weckd_edge.train.distill.loop.task import DistillationTask, LabelTask, Teacher
from weckd_edge.train.distill.model_soup import make_soup, measure_batch_norms
from weckd_edge.train.distill.outside.teacher import torch_teacher
from weckd_edge.train.distill.outside.teacher_outputs import ShownImages, TeacherViews, pictures_of_cache, teacher_outputs
from weckd_edge.train.distill.training_cost import FILE, metered

NEAR = 1e-4
"""Largest difference of two probabilities that FP32 gives on two devices."""


def assert_alike(losses: list[float], wanted: list[float]) -> None:
    """Demand the losses of the same training on two devices, which differ in the last bits and drift apart step by step."""
    assert losses[:2] == pytest.approx(wanted[:2], rel=0.02)
    assert losses == pytest.approx(wanted, rel=0.2, abs=0.05)


def teachers_of(halves: Any, count: int) -> list[Teacher]:
    return [Teacher(halves.student(seed), halves.INPUT) for seed in range(1, 1 + count)]


def test_pictures_views_and_teachers_lie_on_the_device_with_channels_last(
    halves: Any, accelerator: str, device: torch.device, tmp_path: Path
) -> None:
    looked = 0

    class Looks(DistillationTask):
        def __call__(self, student: Any, batch: Any, progress: float) -> dict[str, torch.Tensor]:
            nonlocal looked
            looked += 1
            found = [batch.labels, batch.views.affine, batch.views.contrast, batch.pictures[32].pixels]
            found += [*student.parameters(), *self.teachers.parameters(), self.soft_labels]
            assert {value.device for value in found} == {device}
            for network in (student, *self.teachers):
                maps = network(torch.zeros(2, 3, 32, 32, device=device))[1]
                assert maps.is_contiguous(memory_format=torch.channels_last)
            return super().__call__(student, batch, progress)

    soft_labels = torch.full((halves.COUNT, 2), 0.5).log()
    task = Looks(teachers_of(halves, 2), halves.INPUT, DistillConfig(attention=0.1), 2, soft_labels=soft_labels)
    config = replace(halves.CONFIG, epochs=1, accelerator=accelerator)
    trained = halves.train(task, config, tmp_path / "a")
    assert looked == config.steps_per_epoch
    assert {value.device for value in trained.network.parameters()} == {device}


@pytest.mark.parametrize("room", [0, 1 << 30])
def test_images_give_the_same_losses_from_their_file_and_from_the_device(
    halves: Any, accelerator: str, room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weckd_edge.train.distill.loop.sampler.free_bytes", lambda device: room)
    held = []
    hold = held_images.hold
    monkeypatch.setattr("weckd_edge.train.distill.loop.sampler.hold", lambda *args: held.append(hold(*args)) or held[-1])
    config = replace(halves.CONFIG, epochs=1)
    by_device = halves.train(LabelTask(halves.INPUT), replace(config, accelerator=accelerator), tmp_path / "a")
    by_cpu = halves.train(LabelTask(halves.INPUT), replace(config, accelerator="cpu"), tmp_path / "b")
    assert_alike(by_device.losses, by_cpu.losses)
    assert [len(images) for images in held] == ([int(bool(room))] if accelerator == "gpu" else [])


def test_soft_labels_from_outside_are_learned_on_the_device(halves: Any, accelerator: str, tmp_path: Path) -> None:
    """The soft labels name the other class each time, so that labels cannot have taught it."""
    told = 1 - halves.feed().labels
    soft_labels = torch.where(torch.from_numpy(np.eye(2)[told]) > 0, 0.95, 0.05).log().float()
    distill = DistillConfig(distill_weight=1.0, teacher_dropout=0.0)
    config = replace(halves.CONFIG, accelerator=accelerator)
    task = DistillationTask([], halves.INPUT, distill, 2, soft_labels=soft_labels)
    trained = halves.train(task, config, tmp_path / "a")
    assert halves.accuracy(trained.network) <= 0.1


def test_a_teacher_from_outside_gives_what_it_gives_on_the_cpu(halves: Any, device: torch.device) -> None:
    data = halves.feed()
    images = ShownImages(
        digests=[str(number) for number in range(halves.COUNT)],
        spec=FrameSpec(height=40, width=40, crop="center", resize="area"),
        places=1,
        pictures=lambda size: pictures_of_cache(data.images[size]),
    )
    views = TeacherViews(count=3, strength=0.5, seed=0)

    def outputs(where: torch.device, labels: tuple[str, ...] | None) -> np.ndarray[Any, Any]:
        teacher = torch_teacher(halves.student(), halves.INPUT, name="x", identity=[], outputs=2)
        teacher.move_to(where)
        assert teacher.device == where
        with TemporaryDirectory() as folder:
            return teacher_outputs(Workspace(Path(folder)), teacher, images, views, labels, SilentProgress())

    for labels in (None, ("dark", "light")):
        wanted = outputs(torch.device("cpu"), labels)
        assert len(wanted) == halves.COUNT
        assert np.allclose(outputs(device, labels), wanted, rtol=1e-3, atol=NEAR)


@pytest.mark.parametrize("loss", ["kl", "dkd"])
def test_a_teacher_that_errs_is_left_out_alike_on_every_device(
    halves: Any, accelerator: str, loss: str, tmp_path: Path
) -> None:
    def losses(where: str, folder: str) -> list[float]:
        distill = DistillConfig(loss=loss, attention=0.1, mixup=0.3, view_reuse=2)
        task = DistillationTask(teachers_of(halves, 2), halves.INPUT, distill, 2, corrected=True)
        config = replace(halves.CONFIG, epochs=1, accelerator=where)
        found: list[float] = halves.train(task, config, tmp_path / folder).losses
        return found

    assert_alike(losses(accelerator, "a"), losses("cpu", "b"))


@pytest.mark.parametrize("resize", ["area", "bilinear"])
def test_predictions_are_those_of_the_cpu(halves: Any, device: torch.device, resize: Resize) -> None:
    random = np.random.default_rng(0)
    records = tuple(factories.image(f"{number}.png", label=number % 2) for number in range(5))
    frames = random.integers(0, 256, (5, 48, 60, 3), dtype=np.uint8)
    images = SplitFrames(split="test", records=records, frames=frames)
    spec = InputSpec(frame=FrameSpec(height=48, width=60, crop="center", resize=resize), network=halves.INPUT)
    network = halves.student()
    wanted = predict_records(network, spec, images)
    found = predict_records(network.to(device), spec, images)
    assert np.abs(found - wanted).max() < NEAR
    assert wanted.std() > 0


def test_what_surrounds_the_loop_gives_what_it_gives_on_the_cpu(
    halves: Any, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weckd_edge.train.distill.model_soup.ENOUGH", 8)

    def made(where: torch.device) -> dict[str, torch.Tensor]:
        network, feed = halves.student().to(where), halves.feed().on(where)
        assert fit_linear_probe(network, feed, halves.INPUT, 2)
        assert make_soup(network, [halves.student(3)], lambda student: 1.0) == 1
        assert measure_batch_norms(network, feed, halves.INPUT, lambda student: 1.0)
        assert {value.device for value in network.parameters()} == {where}
        return {name: value.cpu() for name, value in network.state_dict().items()}

    wanted = made(torch.device("cpu"))
    for name, value in made(device).items():
        assert torch.allclose(value.float(), wanted[name].float(), rtol=1e-2, atol=1e-2), name


def test_the_cost_of_a_training_holds_the_joules_of_the_gpu(halves: Any, accelerator: str, tmp_path: Path) -> None:
    with metered(tmp_path, root=tmp_path):
        halves.train(LabelTask(halves.INPUT), replace(halves.CONFIG, accelerator=accelerator), tmp_path / "a")
    joules = json.loads((tmp_path / FILE).read_text())["joules"]
    if accelerator == "gpu":
        pytest.importorskip("pynvml", reason="NVML's binding, nvidia-ml-py, is not installed")
        assert joules > 0
    elif not torch.cuda.is_available():
        assert joules is None
