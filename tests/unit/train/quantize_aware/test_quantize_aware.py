"""Learning under int8 rounding: rounded where the graph is, closer to its teacher afterwards, and resumed to the byte."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.artifacts import DatasetIndex, Link, Target
from weckd_edge.compile.quantize.calibration_images import calibration_frames, choose_images
from weckd_edge.compile.quantize.forms import PROCESSOR, Form
from weckd_edge.config import BuildConfig, DataConfig, DistillConfig, LinkConfig, QuantizeAwareConfig, TrainConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Stage, Workspace
from weckd_edge.devices.runtime.backends.table import open_runner

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
timm = pytest.importorskip("timm")
pytest.importorskip("onnxruntime")

from weckd_edge.train.distill import trainer as trainer_module  # noqa: E402
from weckd_edge.train.distill.chain import make_trainer, plan_chain, run_strategy  # noqa: E402
from weckd_edge.train.distill.loop.task import DistillationTask  # noqa: E402
from weckd_edge.train.distill.strategies import find_strategy  # noqa: E402
from weckd_edge.train.distill.trainer import LinkJob  # noqa: E402
from weckd_edge.train.networks.models import Student, load_link  # noqa: E402
from weckd_edge.train.networks.preprocess import make_network_input  # noqa: E402
from weckd_edge.train.quantize_aware.fake_quantize import LOPSIDED, RoundedStudent, round_activation, round_weight  # noqa: E402
from weckd_edge.train.quantize_aware.finetune import refine_for_int8  # noqa: E402

CALIBRATION = 8
CALIBRATION_SEED = 3
TRAIN = TrainConfig(epochs=2, steps_per_epoch=3, batch=8, accelerator="cpu", threads=1)
CONFIG = BuildConfig(
    seed=4,
    link=(
        LinkConfig(model="test_resnet", input_size=40, mean=(0.5,) * 3, std=(0.5,) * 3),
        LinkConfig(model="test_resnet", input_size=32, mean=(0.5,) * 3, std=(0.5,) * 3),
    ),
    data=DataConfig(labelled_fraction=0.3),
    train=TRAIN,
    distill=DistillConfig(strategy="weckd+unlabelled", baseline=False),
    quantize_aware=QuantizeAwareConfig(epochs=3, learning_rate=1e-3),
)


@pytest.fixture(scope="module")
def data(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[DatasetIndex, Path]:
    root = tmp_path_factory.mktemp("images")
    return networks.write_images(root, train=24, val=6, test=6), root


class Trunk(torch.nn.Module):  # type: ignore[misc,name-defined]  # torch is imported where it is installed
    """A toy network in the form of timm's."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward_features(self, images: Any) -> Any:
        return self.network.neck(self.network.blocks(self.network.stem(images)))

    def forward_head(self, features: Any) -> Any:
        return self.network.head(self.network.pool(features).flatten(1))


def make(networks: ModuleType, name: str) -> tuple[Any, Any, int]:
    """Return a trunk whose weights look trained, the network to export, and the side of its input."""
    if name == "every_sum":
        network = networks.every_sum()
        return Trunk(network), network, 12
    network = networks.settle(timm.create_model(name, num_classes=3))
    return network, network, 32


@pytest.fixture(scope="module", params=["cpu", "jetson"])
def target(request: pytest.FixtureRequest) -> Target:
    found: Target = request.param
    return found


@pytest.fixture(scope="module", params=["every_sum", "test_resnet", "test_efficientnet"])
def both(
    request: pytest.FixtureRequest,
    networks: ModuleType,
    data: tuple[DatasetIndex, Path],
    tmp_path_factory: pytest.TempPathFactory,
    target: Target,
) -> tuple[RoundedStudent, Path, Any]:
    """A rounded network, its int8 graph with ranges from the same images, and its contract."""
    (index, root), folder = data, tmp_path_factory.mktemp(request.param)
    backbone, network, side = make(networks, request.param)
    # One scale for all channels: then it is one step of int8 whether the graph normalises or its first weights do.
    kind = networks.contract(size=side, mean=(0.5,) * 3, std=(0.25,) * 3)
    exported = networks.export(network, folder / "fp32", kind)
    form = PROCESSOR if target == "cpu" else Form(name="tensorrt", open_sums=False)
    networks.quantized(exported, folder / "fp32", index, root, folder / "int8", images=CALIBRATION, form=form)
    path = folder / "int8/model.onnx"
    save_uncorrected(folder / "fp32/model.onnx", path)
    chosen = choose_images(index, CALIBRATION, CALIBRATION_SEED)
    shown = [make_network_input(torch.tensor(frame), kind) for frame in calibration_frames(root, chosen, kind.frame)]
    return RoundedStudent(backbone, shown, target), path, kind


def save_uncorrected(fp32: Path, int8: Path) -> None:
    """Give an int8 graph the network's own biases: corrected ones take back what the rounding here is to show."""
    model, before = onnx.load(int8), {tensor.name: tensor for tensor in onnx.load(fp32).graph.initializer}
    biases = {node.input[2] for node in model.graph.node if node.op_type in ("Conv", "Gemm") and len(node.input) > 2}
    for tensor in model.graph.initializer:
        if tensor.name in biases:
            tensor.CopyFrom(before[tensor.name])
    onnx.save(model, int8)


def test_what_is_rounded_in_training_is_what_is_int8_in_the_graph(both: tuple[RoundedStudent, Path, Any]) -> None:
    student, path, _ = both
    graph = onnx.load(path).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    pairs = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] not in constants]
    # The first place holds pixels, normalised in training and in grey levels in the graph.
    pairs = [node for node in pairs if node.input[0] != "network_input"]
    in_graph = np.unique([float(constants[node.input[1]]) for node in pairs])
    high, low = student.ranges.numpy()[1:], student.smallest.numpy()[1:]
    lopsided = (-low <= LOPSIDED * high) & (student.target == "cpu")
    in_training = np.where(lopsided, (high - low) / 255, high / 127)
    assert len(in_graph) > 8

    def missing(some: Any, others: Any) -> list[float]:
        return [value for value in some.tolist() if not np.isclose(others, value, rtol=1e-3).any()]

    assert missing(in_graph, in_training) == []
    assert missing(in_training, in_graph) == []


def test_the_rounded_network_predicts_as_the_int8_graph_does(
    both: tuple[RoundedStudent, Path, Any], networks: ModuleType
) -> None:
    student, path, kind = both
    frames = networks.frames(40, kind, seed=9)
    runner = open_runner("onnxruntime", path, reference=True)
    int8 = np.stack([runner.run(frame[None]) for frame in frames])
    with torch.inference_mode():
        shown = make_network_input(torch.tensor(frames), kind)
        rounded = student(shown)[0].softmax(dim=1).numpy()
        plain = Student(student.backbone)(shown)[0].softmax(dim=1).numpy()
    apart, lost = np.abs(rounded - int8).mean(), np.abs(plain - int8).mean()
    assert lost > 1e-4, "int8 changes the answers"
    assert apart < lost / 3, (apart, lost)


def test_steps_of_int8_are_what_onnx_rounds_to_and_gradients_pass_within_the_range() -> None:
    values = torch.tensor([-300.0, -1.0, 0.5, 1.5, 126.4, 300.0], requires_grad=True)
    rounded = round_activation(values, torch.tensor(127.0))
    assert rounded.tolist() == [-128.0, -1.0, 0.0, 2.0, 126.0, 127.0], "half to even, cut off at the ends"
    rounded.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 1, 1, 1, 0]
    weight = torch.tensor([[127.0, 0.6], [1.27, -0.006]])
    assert torch.allclose(round_weight(weight), torch.tensor([[127.0, 1.0], [1.27, -0.01]]))
    assert round_weight(torch.zeros(2, 3)).tolist() == torch.zeros(2, 3).tolist()


def test_a_sum_that_is_made_in_place_is_rounded_in_place() -> None:
    class Sums(torch.nn.Module):  # type: ignore[misc,name-defined]  # torch is imported where it is installed
        def forward_features(self, images: Any) -> Any:
            total = images * 1.0
            total.add_(images)
            return total

        def forward_head(self, features: Any) -> Any:
            return features.flatten(1)

    images = torch.tensor([[[[127.0, 0.4]]]])
    student = RoundedStudent(Sums(), [images], "jetson")
    assert student(images)[0].tolist() == [[254.0, 0.0]]


def test_the_ranges_follow_the_weights_in_training_alone_and_batch_norms_stay(networks: ModuleType) -> None:
    backbone, _, _ = make(networks, "every_sum")
    images = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    student = RoundedStudent(backbone, [images], "jetson")
    before = {key: value.clone() for key, value in student.state_dict().items()}
    assert not any(module.training for module in student.train().modules())
    with torch.no_grad():
        student(2 * images)
    assert torch.equal(student.ranges, before["ranges"])
    student(2 * images)[0].sum().backward()
    assert torch.allclose(student.ranges[0], 1.05 * before["ranges"][0])
    assert all(
        torch.equal(before[key], value) for key, value in student.state_dict().items() if key not in ("ranges", "smallest")
    )


@pytest.fixture(scope="module")
def chain(data: tuple[DatasetIndex, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    """A trainer, its plans, and a trained chain of two links, each with its own share."""
    index, root = data
    turns = itertools.cycle((0, 1, None))
    images = tuple(replace(r, labelled_subset=next(turns)) if r.split == "train" else r for r in index.images)
    shared = replace(index, images=images)
    plans = plan_chain(shared, CONFIG)
    trainer = make_trainer(Workspace(tmp_path_factory.mktemp("work")), root, shared, plans, SilentProgress())
    return trainer, plans, run_strategy(trainer, plans, find_strategy(CONFIG.distill.strategy), CONFIG)


def weights(stage: Stage[Link]) -> bytes:
    return (stage.folder / stage.artifact.weights.path).read_bytes()


def test_the_refined_link_is_a_link_like_any_other(chain: tuple[Any, Any, Any]) -> None:
    trainer, plans, links = chain
    refined = refine_for_int8(trainer, plans, CONFIG, links, 1, "cpu")
    link, last = refined.artifact, links[-1].artifact
    assert (link.name, link.parent) == ("M2-int8", last.weights.sha256)
    same = ("model", "options", "input", "labels", "parameters", "macs", "labelled_subset", "labels_used", "images_used")
    for name in same:
        assert getattr(link, name) == getattr(last, name)
    assert (link.labels_used, link.images_used) == (8, 24), "its own share, and the pool without labels"
    assert weights(refined) != weights(links[-1])
    assert (
        load_link(link, refined.folder).backbone.state_dict().keys()
        == load_link(last, links[-1].folder).backbone.state_dict().keys()
    )
    assert refine_for_int8(trainer, plans, CONFIG, links, 1, "cpu").reused


class Recorder:
    """Stands for the trainer: hands back the job, trains nothing."""

    def link(self, job: LinkJob) -> LinkJob:
        return job


def trained_link(name: str, *, labels: int = 3, images: int = 3) -> Any:
    return SimpleNamespace(artifact=SimpleNamespace(name=name, labels_used=labels, images_used=images))


def test_a_link_sees_images_without_labels_where_it_saw_some_in_its_own_training() -> None:
    """Whatever the settings' strategy is called: its teachers may have been refused, or the link trained alone."""
    assert [job_of([trained_link("M1", images=images)]).unlabelled for images in (3, 9)] == [False, True]


def job_of(links: list[Any], at: int = -1, **settings: Any) -> LinkJob:
    config = replace(CONFIG, quantize_aware=replace(CONFIG.quantize_aware, **settings))
    plans: Any = [SimpleNamespace(name=name) for name in ("large", "small")]
    job: Any = refine_for_int8(cast(Any, Recorder()), plans, config, links, at % len(links), "cpu")
    return cast(LinkJob, job)


@pytest.mark.parametrize(("teacher", "at"), [("itself", 1), ("predecessor", 0)])
def test_who_teaches(teacher: str, at: int) -> None:
    links: list[Any] = [trained_link(name) for name in ("M1", "M2")]
    job = job_of(links, teacher=teacher)
    assert job.start is links[1]
    assert job.teachers == (links[at],)
    assert job_of(links[1:], teacher=teacher).teachers == (links[1],), "a chain of one is its own teacher"
    first = job_of(links, 0, teacher=teacher)
    assert (first.start, first.teachers, first.labelled_subset) == (links[0], (links[0],), 0), "so is the first link of any"
    assert first.plan.name == "large"


@pytest.mark.parametrize(
    ("strategy", "at", "position"),
    [("one-step", 1, 2), ("one-step", 0, 0), ("single-union", 0, 2), ("born-again", 0, 2), ("takd", 1, 1)],
)
def test_the_refined_link_is_the_network_that_its_strategy_trained(strategy: str, at: int, position: int) -> None:
    config = replace(CONFIG, distill=replace(CONFIG.distill, strategy=strategy))
    plans: Any = [SimpleNamespace(name=name) for name in ("large", "middle", "small")]
    links: Any = [trained_link(f"M{n + 1}") for n in range(3)]
    job: Any = refine_for_int8(cast(Any, Recorder()), plans, config, links, at, "cpu")
    assert (job.plan, job.labelled_subset, job.start) == (plans[position], position, links[at])


def test_settings_reach_the_loop_and_nothing_rounds_beside_int8() -> None:
    links: list[Any] = [trained_link("M1")]
    job = job_of(links, epochs=7, learning_rate=2e-5, augment=0.25, distill_weight=0.5)
    assert (job.train.epochs, job.train.learning_rate, job.train.augment, job.distill.distill_weight) == (7, 2e-5, 0.25, 0.5)
    assert (job.train.precision, job.train.compile, job.rounded) == ("32-true", False, "cpu")


def test_a_refinement_that_was_killed_ends_with_the_same_bytes(
    chain: tuple[Any, Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, plans, links = chain
    whole = refine_for_int8(trainer, plans, CONFIG, links, 1, "cpu")
    elsewhere = make_trainer(Workspace(tmp_path), trainer.root, trainer.index, plans, SilentProgress())
    steps = itertools.count()

    class KilledError(Exception):
        pass

    class Dies(DistillationTask):
        def __call__(self, *args: Any) -> Any:
            if next(steps) == 4:
                raise KilledError
            return super().__call__(*args)

    with monkeypatch.context() as patched:
        patched.setattr(trainer_module, "DistillationTask", Dies)
        with pytest.raises(KilledError):
            refine_for_int8(elsewhere, plans, CONFIG, links, 1, "cpu")
    assert list(tmp_path.glob("scratch/link-M2-int8-*/checkpoint.pt"))
    assert weights(refine_for_int8(elsewhere, plans, CONFIG, links, 1, "cpu")) == weights(whole)


class Lopsided(torch.nn.Module):  # type: ignore[misc,name-defined]  # torch is imported where it is installed
    """Two layers with one channel thirty times the others between them: int8 keeps little of those."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.first, self.second = torch.nn.Conv2d(3, 8, 1), torch.nn.Linear(8, 3)
        with torch.no_grad():
            self.first.weight.normal_(generator=random)
            self.second.weight.normal_(generator=random)
            self.first.weight[0] *= 30
            self.second.weight[:, 0] /= 30

    def forward_features(self, images: Any) -> Any:
        return torch.relu(self.first(images))

    def forward_head(self, features: Any) -> Any:
        return self.second(features.mean((2, 3)))


def test_learning_brings_the_rounded_predictions_nearer_to_the_teachers() -> None:
    images = torch.randn(64, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = Student(Lopsided())(images)[0].softmax(dim=1)
    student = RoundedStudent(Lopsided(), [images], "cpu")
    optimizer = torch.optim.Adam(student.parameters(), lr=2e-2)

    def distance() -> Any:
        return torch.nn.functional.kl_div(student(images)[0].log_softmax(dim=1), wanted, reduction="batchmean")

    with torch.no_grad():
        before = distance().item()
    for _ in range(150):
        optimizer.zero_grad()
        distance().backward()
        optimizer.step()
    with torch.no_grad():
        after = distance().item()
    assert after < before / 2, (before, after)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 0}, "epochs = 0"),
        ({"learning_rate": 1.0}, "learning_rate = 1.0"),
        ({"distill_weight": 1.5}, "distill_weight = 1.5"),
        ({"augment": -1}, "augment = -1"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], said: str) -> None:
    with raises(ConfigError, "E_CONFIG_RANGE", says=said):
        QuantizeAwareConfig(**wrong)
