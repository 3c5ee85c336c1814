"""A checkpoint that a user brings: every weight must be that of the network it is said to be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.errors import raises

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

from safetensors.torch import save_file  # noqa: E402 - behind the skips

from weckd_edge.artifacts import FrameSpec, InputSpec, NetworkInput, Rate  # noqa: E402 - likewise
from weckd_edge.config import LinkConfig  # noqa: E402 - likewise
from weckd_edge.core.errors import ModelError  # noqa: E402 - likewise
from weckd_edge.train.networks.checkpoint import copy_link, exchange_red_and_blue, read_checkpoint, write_link  # noqa: E402 - likewise
from weckd_edge.train.networks.models import load_link  # noqa: E402 - likewise

TINY = LinkConfig(model="test_resnet")


def network(classes: int = 3) -> Any:
    torch.manual_seed(1)
    return timm.create_model("test_resnet", num_classes=classes).eval()


def test_safetensors_and_wrapped_pytorch_files_give_the_very_network(tmp_path: Path) -> None:
    backbone = network()
    tensors = backbone.state_dict()
    save_file(tensors, tmp_path / "plain.safetensors")
    torch.save({"state_dict": {f"module._orig_mod.{k}": v for k, v in tensors.items()}}, tmp_path / "parallel.pth")
    torch.save({f"model.{k}": v for k, v in tensors.items()}, tmp_path / "lightning.pt")
    image = torch.rand(1, 3, 64, 64)
    for name in ("plain.safetensors", "parallel.pth", "lightning.pt"):
        made = read_checkpoint(TINY, tmp_path / name)
        assert (made.classes, made.architecture, made.input_size) == (3, "test_resnet", (160, 160))
        with torch.inference_mode():
            assert torch.equal(made.student(image)[0], backbone(image))


def test_a_checkpoint_becomes_a_link_that_loads_again(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "w.safetensors")
    made = read_checkpoint(TINY, tmp_path / "w.safetensors", 3)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    rate = Rate(value=0.5, low=0.2, high=0.8, correct=1, images=2, groups=2)
    contract = InputSpec(
        frame=FrameSpec(height=40, width=40, crop="center"),
        network=NetworkInput(height=32, width=32, mean=made.mean, std=made.std),
    )
    link = write_link(made, contract, ("a", "b", "c"), rate, rate, tmp_path / "a")
    again = copy_link(link, tmp_path / "a", tmp_path / "b")
    assert again == link
    assert link.parameters == sum(p.numel() for p in made.student.parameters())
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(load_link(again, tmp_path / "b")(image)[0], made.student(image)[0])


def test_a_network_that_was_trained_with_blue_first_takes_red_first(tmp_path: Path) -> None:
    backbone = network()
    save_file(backbone.state_dict(), tmp_path / "w.safetensors")
    made = read_checkpoint(TINY, tmp_path / "w.safetensors", 3)
    exchange_red_and_blue(made)
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(made.student(image)[0], backbone(image.flip(1)), atol=1e-5)


def drop(tensors: dict[str, Any]) -> None:
    del tensors["conv1.0.weight"]


def add(tensors: dict[str, Any]) -> None:
    tensors["ghost.weight"] = torch.zeros(1)


def reshape(tensors: dict[str, Any]) -> None:
    tensors["conv1.0.weight"] = torch.zeros(2, 3, 3, 3)


def spoil(tensors: dict[str, Any]) -> None:
    tensors["fc.weight"][0, 0] = float("nan")


@pytest.mark.parametrize(
    ("change", "classes", "said"),
    [
        (drop, None, "it lacks 1 of"),
        (add, None, "it holds 1 that test_resnet does not have, the first is 'ghost.weight'"),
        (reshape, None, "'conv1.0.weight' has shape [2, 3, 3, 3], but test_resnet expects"),
        (spoil, None, "'fc.weight' holds values that are NaN"),
        (lambda _: None, 5, "its classifier predicts 3 classes, expected one for each of 5 labels"),
    ],
)
def test_weights_of_another_network_are_refused_by_the_tensor(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], classes: int | None, said: str
) -> None:
    tensors = dict(network().state_dict())
    change(tensors)
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(ModelError) as caught:
        read_checkpoint(TINY, tmp_path / "w.safetensors", classes)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "w.safetensors"
    save_file(network().state_dict(), whole)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole.read_bytes()[:-100])
    code = tmp_path / "code.pth"
    torch.save({"state_dict": Path}, code)  # anything but tensors would run code when it is read
    for path in (cut, code, tmp_path / "missing.pth"):
        with pytest.raises(ModelError) as caught:
            read_checkpoint(TINY, path)
        assert "\n" not in str(caught.value)
    with raises(ModelError, "E_MODEL_NAME", says="'test_resnet'"):
        read_checkpoint(LinkConfig(model="test_resnett"), whole)
