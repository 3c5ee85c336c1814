"""Teachers from outside: whatever kind of file holds one, it becomes a function from images to features and classes."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.errors import raises
from support.training.toy_chain import TOY_LINKS
from weckd_edge.config import BuildConfig, DataConfig, DistillConfig, LinkConfig, TeacherConfig, TrainConfig
from weckd_edge.core.errors import ConfigError, DataError, ModelError
from weckd_edge.core.progress import SilentProgress

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from safetensors.torch import save_file  # noqa: E402 - behind the skips

from weckd_edge.core.store import Workspace  # noqa: E402 - likewise
from weckd_edge.pipeline.context import choose_profile, start  # noqa: E402 - likewise
from weckd_edge.pipeline.outside_teachers import open_teachers  # noqa: E402 - likewise
from weckd_edge.pipeline.request import BuildRequest  # noqa: E402 - likewise
from weckd_edge.pipeline.steps.read_data import read_data  # noqa: E402 - likewise
from weckd_edge.pipeline.steps.train_chain import check_strategy, train_chain  # noqa: E402 - likewise
from weckd_edge.train.distill.outside.teaching import identities_of  # noqa: E402 - likewise
from weckd_edge.train.networks.preprocess import normalise  # noqa: E402 - likewise

HALF = (0.5, 0.5, 0.5)
IMAGES = torch.randint(0, 256, (5, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float()


def teacher(**settings: Any) -> Any:
    """Open one teacher."""
    config = BuildConfig(distill=DistillConfig(teachers=(TeacherConfig(**settings),)))
    (found,) = open_teachers(config, ["guided+teachers"])
    return found


def weights_of(folder: Path, *, classes: int = 0) -> tuple[Any, str]:
    """Write a toy network's weights, with a classifier of so many classes."""
    torch.manual_seed(1)
    network = timm.create_model("test_resnet", num_classes=classes).eval()
    path = folder / f"weights-{classes}.safetensors"
    save_file(network.state_dict(), path)
    return network, str(path)


def test_a_backbone_without_a_classifier_gives_the_features_before_one(tmp_path: Path) -> None:
    network, path = weights_of(tmp_path)
    found = teacher(model="test_resnet", weights=path, input_size=32, mean=HALF, std=HALF)
    assert (found.outputs, found.classify, found.input.side) == (0, None, 32)
    assert found.head_for(("a", "b")) == "ridge"
    with torch.inference_mode():
        wanted = network(normalise(IMAGES, found.input))
    assert torch.allclose(found.features(IMAGES), wanted, atol=1e-4)
    other, _ = weights_of(tmp_path, classes=0)
    assert teacher(model="test_resnet", weights=path).identity == found.identity
    assert other is not network


@pytest.mark.parametrize(("given", "head"), [(True, "auto"), (True, "fine-tune"), (False, "fine-tune")])
def test_a_teacher_is_known_again_in_every_process(given: bool, head: Any, tmp_path: Path) -> None:
    _, path = weights_of(tmp_path)
    known = []
    for machine in (1, 2):
        torch.manual_seed(machine)  # of what is drawn and means nothing: the classifier, or weights that no file holds
        copied = tmp_path / f"machine-{machine}" / "weights.safetensors"
        copied.parent.mkdir()
        shutil.copy(path, copied)
        found = teacher(model="test_resnet", weights=str(copied) if given else None, head=head, input_size=32)
        known.append(identities_of([found]))
    assert known[0] == known[1]


def test_a_classifier_of_the_data_sets_classes_is_the_teachers_own_head(tmp_path: Path) -> None:
    network, path = weights_of(tmp_path, classes=2)
    found = teacher(model="test_resnet", weights=path, input_size=32)
    assert (found.outputs, found.head_for(("a", "b")), found.head_for(("a", "b", "c"))) == (2, "own", "ridge")
    with torch.inference_mode():
        wanted = network(normalise(IMAGES, found.input)).softmax(dim=1)
    assert torch.allclose(found.probabilities(IMAGES, ("a", "b")), wanted, atol=1e-4)
    assert teacher(model="test_resnet", weights=path, head="ridge").head_for(("a", "b")) == "ridge"


@pytest.mark.parametrize("softmax", [False, True])
def test_an_onnx_file_predicts_as_the_network_that_it_was_written_from(softmax: bool, tmp_path: Path) -> None:
    torch.manual_seed(2)
    layers: list[Any] = [torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    network = torch.nn.Sequential(*layers, torch.nn.Linear(4, 3), *([torch.nn.Softmax(dim=1)] if softmax else [])).eval()
    path = tmp_path / "brought.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.zeros(1, 3, 32, 32),), str(path), dynamo=False, opset_version=13)
    found = teacher(weights=str(path), mean=HALF, std=HALF)
    assert (found.outputs, found.input.side, found.head_for(("a", "b", "c"))) == (3, 32, "own")
    with torch.inference_mode():
        wanted = network(normalise(IMAGES, found.input))
    assert torch.allclose(found.features(IMAGES), wanted, atol=1e-4)
    classes = found.probabilities(IMAGES, ("a", "b", "c"))
    assert torch.allclose(classes, wanted if softmax else wanted.softmax(dim=1), atol=1e-4)
    blue_first = teacher(weights=str(path), mean=HALF, std=HALF, channel_order="bgr")
    assert torch.allclose(blue_first.features(IMAGES.flip(1)), wanted, atol=1e-4)
    assert blue_first.identity != found.identity
    with raises(ConfigError, "E_CONFIG_OPTION_MISSING", says="mean"):
        teacher(weights=str(path))


def test_what_cannot_teach_is_refused_with_its_name(tmp_path: Path) -> None:
    with raises(ConfigError, "E_CONFIG_SOURCE", says="gone.safetensors"):
        teacher(model="test_resnet", weights=str(tmp_path / "gone.safetensors"))
    _, path = weights_of(tmp_path)
    with raises(ConfigError, "E_CONFIG_OPTION_UNUSED", says="folder"):
        teacher(model="test_resnet", weights=str(tmp_path), head="fine-tune")
    with raises(ModelError, "E_MODEL_OTHER_WEIGHTS"):
        teacher(model="test_vit", weights=path)
    for settings, code in (
        ({"model": "test_resnet"}, "E_CONFIG_OPTION_MISSING"),
        ({"model": "test_resnet", "weights": path, "pretrained": True}, "E_CONFIG_CONFLICT"),
        ({"model": "test_resnet", "weights": "x.onnx"}, "E_CONFIG_OPTION_UNUSED"),
        ({"model": "test_resnet", "weights": path, "channel_order": "bgr"}, "E_CONFIG_OPTION_UNUSED"),
        ({"weights": "x.onnx", "head": "fine-tune"}, "E_CONFIG_CONFLICT"),
        ({"weights": path, "weights_licence": " "}, "E_CONFIG_VALUE"),
        ({"weights": path, "mean": HALF}, "E_CONFIG_OPTION_MISSING"),
        ({"weights": path, "input_size": 8}, "E_CONFIG_RANGE"),
    ):
        with raises(ConfigError, code):
            TeacherConfig(**settings)  # type: ignore[arg-type]  # some are wrong


def test_teachers_that_no_link_would_learn_from_are_refused() -> None:
    named = (TeacherConfig(weights="x.onnx"),)
    with raises(ConfigError, "E_CONFIG_CONFLICT", says=("distill.teachers", "guided+teachers")):
        check_strategy(BuildConfig(distill=DistillConfig(strategy="guided", teachers=named)))
    check_strategy(BuildConfig(distill=DistillConfig(strategy="guided+teachers", teachers=named)))


def test_where_no_teacher_is_named_three_networks_of_the_first_links_model_are_trained() -> None:
    links = tuple(LinkConfig(model="resnet10t", input_size=size) for size in (48, 32))
    config = BuildConfig(link=links, distill=DistillConfig(strategy="guided+teachers"))
    (found,) = open_teachers(config, ["guided+teachers"])
    assert found.head_for(("a", "b")) == "fine-tune"
    assert found.fine_tuning is not None
    assert (found.fine_tuning.link, found.fine_tuning.seeds) == (replace(links[0], pretrained=False), 3)
    assert open_teachers(config, ["guided"]) == ()


class Noting(SilentProgress):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def trained(
    ears: Path,
    out: Path,
    teachers: Sequence[TeacherConfig],
    *,
    strategy: str = "guided+teachers",
    seed: int = 0,
    **distill: Any,
) -> tuple[Any, list[str]]:
    """Train a toy chain with teachers from outside; return it, and what was said."""
    config = BuildConfig(
        seed=seed,
        link=TOY_LINKS,
        data=DataConfig(labelled_fraction=0.25),
        train=TrainConfig(epochs=1, steps_per_epoch=2, batch=8, accelerator="cpu"),
        distill=DistillConfig(strategy=strategy, teachers=tuple(teachers), **distill),
    )
    progress = Noting()
    request = BuildRequest(data=ears, target="cpu", device=None, out=out, config=config)
    ctx = start(request, choose_profile("cpu", None), Workspace(out.with_name(out.name + ".work")), progress)
    return train_chain(ctx, read_data(ctx)), progress.notes


def test_a_build_judges_its_teachers_first_and_says_what_it_does(ears: Path, tmp_path: Path, networks: ModuleType) -> None:
    _, path = weights_of(tmp_path)
    one = TeacherConfig(model="test_resnet", weights=path, input_size=32)
    chain, said = trained(ears, tmp_path / "out", [one], teacher_gate="interval")
    outside = chain.record("M2").outside
    assert outside is not None
    assert [line for line in said if line == outside.reason]
    assert (outside.used, outside.difference) == (False, None)  # a handful of validation images decides nothing
    assert outside.alone_accuracy == chain.baseline.val_accuracy
    plain = [network.link.artifact.weights.sha256 for network in chain.networks]

    taught, said = trained(ears, tmp_path / "out", [one], teacher_gate="off")
    outside = taught.record("M2").outside
    assert (outside.used, outside.alone_accuracy) == (True, None)
    assert outside.out_of_fold_accuracy.images == outside.labels_used
    assert [network.link.artifact.weights.sha256 for network in taught.networks] != plain


def test_a_build_without_a_strategy_takes_teachers_and_unlabelled_images_for_its_last_link(
    ears: Path, tmp_path: Path
) -> None:
    chain, _ = trained(ears, tmp_path / "out", [], strategy=DistillConfig().strategy, teacher_gate="off")
    first, last = (network.link.artifact for network in chain.networks)
    outside = chain.record("M2").outside
    assert outside.used
    assert first.images_used == first.labels_used == last.labels_used < last.images_used


def test_a_link_of_a_former_build_teaches(ears: Path, tmp_path: Path) -> None:
    _, path = weights_of(tmp_path)
    former, _ = trained(ears, tmp_path / "former", [TeacherConfig(model="test_resnet", weights=path, input_size=32)])
    link = former.networks[0].link
    found = teacher(weights=str(link.folder))
    assert (found.outputs, found.labels, found.head_for(("light", "dark"))) == (2, ("dark", "light"), "own")
    turned = found.probabilities(IMAGES, ("light", "dark"))
    assert torch.equal(turned, found.probabilities(IMAGES, ("dark", "light")).flip(1))
    chain, _ = trained(ears, tmp_path / "out", [replace(TeacherConfig(weights=str(link.folder)))], teacher_gate="off")
    (record,) = chain.record("M2").outside.teachers
    assert (record.head, record.input.side) == ("own", 32)


def test_where_no_teacher_is_named_the_first_links_model_teaches_at_its_size(ears: Path, tmp_path: Path) -> None:
    chain, _ = trained(ears, tmp_path / "out", [], teacher_gate="off")
    outside = chain.record("M2").outside
    assert outside is not None
    assert [(one.head, one.input) for one in outside.teachers] == [
        ("fine-tune", chain.networks[0].link.artifact.input.network)
    ]
    assert (outside.folds, outside.out_of_fold_accuracy, outside.used) == (0, None, True)
    assert len(list((tmp_path / "out.work").glob("link-teacher-*"))) == 3


def test_a_teacher_without_seeds_is_trained_without_each_fold(ears: Path, tmp_path: Path) -> None:
    one = TeacherConfig(model="test_resnet", weights=weights_of(tmp_path)[1], input_size=40, head="fine-tune", epochs=2)
    chain, _ = trained(ears, tmp_path / "out", [one], teacher_gate="off", teacher_folds=2)
    outside = chain.record("M2").outside
    assert (outside.folds, outside.used) == (2, True)
    assert outside.out_of_fold_accuracy.images == outside.labels_used > 0
    assert len(list((tmp_path / "out.work").glob("link-teacher-*"))) == 2


def test_a_teacher_of_several_seeds_is_trained_on_all_labels_with_each(ears: Path, tmp_path: Path) -> None:
    one = TeacherConfig(
        model="test_resnet", weights=weights_of(tmp_path)[1], input_size=40, head="fine-tune", seeds=2, epochs=2
    )
    chain, _ = trained(ears, tmp_path / "out", [one], teacher_gate="off")
    outside = chain.record("M2").outside
    assert (outside.folds, outside.out_of_fold_accuracy) == (0, None)
    workspace = tmp_path / "out.work"
    links = [json.loads(path.read_text()) for path in sorted(workspace.glob("link-teacher-*/artifact.json"))]
    assert [(link["name"], link["epochs"], link["labels_used"]) for link in links] == [
        (name, 2, outside.labels_used) for name in ("teacher-1", "teacher-2")
    ]
    assert links[0]["weights"]["sha256"] != links[1]["weights"]["sha256"]
    assert links[0]["input"]["network"]["height"] == 40


def test_images_that_the_teachers_agree_on_are_shown_more_often(ears: Path, tmp_path: Path) -> None:
    """The two chains differ in the images that their steps show, and in nothing else."""

    def weights(name: str, *, by_agreement: bool) -> list[str]:
        chain, _ = trained(
            ears,
            tmp_path / name,
            [],
            strategy="guided+teachers+unlabelled",
            teacher_gate="off",
            teacher_folds=2,
            by_agreement=by_agreement,
        )
        return [network.link.artifact.weights.sha256 for network in chain.networks]

    assert weights("out", by_agreement=True) != weights("out", by_agreement=False)


def test_a_link_that_was_trained_on_held_out_images_does_not_teach(ears: Path, tmp_path: Path) -> None:
    """Of a former build with another seed, whose split is another one."""
    _, path = weights_of(tmp_path)
    named = [TeacherConfig(model="test_resnet", weights=path, input_size=32)]
    former, _ = trained(ears, tmp_path / "former", named, seed=5)
    again = [TeacherConfig(weights=str(former.networks[0].link.folder))]
    with raises(DataError, "E_DATA_TRAINED_ON", says=("M1", "images were among those that it was trained on")):
        trained(ears, tmp_path / "out", again, teacher_gate="off")
