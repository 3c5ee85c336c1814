"""Pruning to a width: whole channels that nest, the same answers where the others are zero, and links that load again."""

from __future__ import annotations

import copy
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from support import factories
from support.errors import raises
from weckd_edge.artifacts import Link
from weckd_edge.config import LinkConfig
from weckd_edge.core.errors import ConfigError, ModelError
from weckd_edge.core.store import file_ref
from weckd_edge.devices.runtime.backends.table import open_runner
from weckd_edge.train.networks import pruning
from weckd_edge.train.networks.models import (
    Student,
    check_order,
    create_student,
    inherit_weights,
    load_link,
    measure_student,
    save_weights,
)
from weckd_edge.train.networks.preprocess import make_network_input
from weckd_edge.train.networks.pruning import channels_at, counts_of, prune, prune_to_width

pytest.importorskip("torch_pruning")

PRUNED = (
    "mobilenetv2_035",
    "mobilenetv4_conv_small_050",
    "mobilenetv3_small_050",
    "tf_efficientnet_lite0",
    "lcnet_050",
    "resnet10t",
    "resnet18",
)
"""Networks of every family that the documentation names, with depthwise convolutions, gates and additions."""

TINY = "test_resnet"
STEM = "conv1.0.weight"


def student(model: str = TINY, width: float = 1.0, *, seed: int = 0) -> Student:
    torch.manual_seed(seed)
    return create_student(LinkConfig(model=model, input_size=64, width=width), 3).student


def settled(networks: ModuleType, model: str) -> nn.Module:
    """Return a whole network whose weights and statistics look trained."""
    found: nn.Module = networks.settle(student(model).backbone)
    return found


def norms_of(backbone: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {name: layer for name, layer in backbone.named_modules() if isinstance(layer, nn.BatchNorm2d)}


def kept_channels(backbone: nn.Module, width: float) -> dict[str, list[int]]:
    """Return which channels of every batch norm stay at a width: each has its number for a gradient, which goes with it."""
    marked = copy.deepcopy(backbone)
    for norm in norms_of(marked).values():
        norm.bias.grad = torch.arange(norm.num_features, dtype=torch.float32)
    prune_to_width(marked, width)
    marks = {name: norm.bias.grad for name, norm in norms_of(marked).items()}
    return {name: [int(mark) for mark in numbers] for name, numbers in marks.items() if numbers is not None}


@given(channels=st.integers(1, 4096), widths=st.tuples(*[st.floats(0.01, 1.0)] * 2))
def test_channels_come_in_eights_and_no_narrower_link_has_more(channels: int, widths: tuple[float, float]) -> None:
    narrow, wide = (channels_at(channels, width) for width in sorted(widths))
    assert min(8, channels) <= narrow <= wide <= channels
    assert all(kept % 8 == 0 or kept == channels for kept in (narrow, wide))
    assert wide >= min(channels, 0.9 * channels * max(widths))
    assert channels_at(channels, 1.0) == channels


@pytest.mark.parametrize("model", PRUNED)
def test_a_pruned_network_predicts_as_the_whole_one_whose_other_channels_are_zero(model: str, networks: ModuleType) -> None:
    backbone = settled(networks, model)
    shown, kept = torch.rand(2, 3, 64, 64), kept_channels(backbone, 0.5)
    # Behind ReLU, ReLU6 and Hardswish a channel is zero where its batch norm's weight and bias are. The two convolutions
    # without a batch norm are left whole here.
    silent = copy.deepcopy(backbone)
    for name, norm in norms_of(silent).items():
        lost = sorted(set(range(norm.num_features)) - set(kept[name]))
        assert lost or norm.num_features == 8, "something is removed of every layer with more than eight channels"
        norm.weight.data[lost], norm.bias.data[lost] = 0, 0
    pruned = copy.deepcopy(silent)
    counts = counts_of(pruned)
    whole = {name: count for name, count in counts.items() if name.endswith(("conv_reduce", "conv_head"))}
    whole = {name: count for name, count in whole.items() if backbone.get_submodule(name).bias is not None}
    prune(pruned, {name: channels_at(count, 0.5) for name, count in counts.items()} | whole, [shown])
    with torch.no_grad():
        assert torch.allclose(silent.eval()(shown), pruned.eval()(shown), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("model", ["mobilenetv2_035", "resnet10t"])
def test_widths_nest_and_say_how_many_channels_whatever_the_weights(model: str, networks: ModuleType) -> None:
    backbone = settled(networks, model)
    wide, narrow = kept_channels(backbone, 0.75), kept_channels(backbone, 0.5)
    assert all(set(narrow[name]) <= set(wide[name]) for name in wide)
    other = networks.settle(student(model, seed=1).backbone, seed=5)
    found = kept_channels(other, 0.5)
    assert {name: len(kept) for name, kept in found.items()} == {name: len(kept) for name, kept in narrow.items()}
    assert found != narrow, "which channels stay is for the weights to say"


def test_the_channels_that_stay_are_those_that_images_excite_and_that_layers_read() -> None:
    backbone = student("resnet10t").backbone
    first, norm, reader = (backbone.get_submodule(f"conv1.{place}") for place in (0, 1, 3))
    assert isinstance(first, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(reader, nn.Conv2d)
    excited, unread, dim = [1, 3, 5, 6, 7, 11, 13, 15], 5, 4
    with torch.no_grad():
        norm.weight.fill_(0)
        norm.bias[excited] = 1.0
        norm.bias[dim] = 0.5
        reader.weight[:, unread] = 0
    filters = first.weight.detach().clone()
    prune_to_width(backbone, 0.35, [torch.rand(4, 3, 64, 64), torch.rand(2, 3, 64, 64)])
    stayed = [row for row in range(24) if any(torch.equal(filters[row], one) for one in first.weight)]
    assert stayed == sorted({*excited, dim} - {unread})


def test_layers_make_up_for_the_channels_they_lose(networks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, images = settled(networks, "resnet10t").eval(), torch.rand(40, 3, 64, 64)
    apart = {}
    for penalty in (pruning.PENALTY, 1e12):  # so large a penalty tells a layer nothing of what it loses
        monkeypatch.setattr(pruning, "PENALTY", penalty)
        pruned = copy.deepcopy(backbone)
        prune_to_width(pruned, 0.75, [images[:32]])
        with torch.no_grad():
            apart[penalty] = float((pruned(images[32:]) - backbone(images[32:])).norm())
    helped, plain = apart.values()
    assert helped < 0.8 * plain


def test_a_link_that_inherits_is_the_network_that_its_width_says_by_whatever_way_it_came(networks: ModuleType) -> None:
    whole = Student(settled(networks, TINY))
    half, stepwise, middle = student(width=0.5), student(width=0.5), student(width=0.75)
    inherit_weights(half, copy.deepcopy(whole))
    inherit_weights(middle, copy.deepcopy(whole))
    inherit_weights(stepwise, middle)
    assert counts_of(half.backbone) == counts_of(stepwise.backbone) == counts_of(student(width=0.5, seed=9).backbone)
    stem = whole.backbone.state_dict()[STEM]
    for narrow in (half, stepwise):
        rows = narrow.backbone.state_dict()[STEM]
        assert all(any(torch.equal(row, one) for one in stem) for row in rows), "filters are taken over whole"
    again = student(width=0.5, seed=3)
    inherit_weights(again, half)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), half.state_dict().values(), strict=True))


def test_a_link_that_inherits_nothing_starts_from_a_part_of_its_own_weights(networks: ModuleType, tmp_path: Path) -> None:
    whole = Student(settled(networks, TINY))
    save_weights(whole, tmp_path / "w.safetensors")
    config = LinkConfig(model=TINY, input_size=64, width=0.5, weights=str(tmp_path / "w.safetensors"))
    made = create_student(config, 5)
    stem = whole.backbone.state_dict()[STEM]
    assert all(any(torch.equal(row, one) for one in stem) for row in made.student.backbone.state_dict()[STEM])
    assert made.student(torch.zeros(1, 3, 64, 64))[0].shape == (1, 5)


def test_the_same_seed_gives_the_same_pruned_network_and_draws_no_other_numbers() -> None:
    one = student(width=0.5)
    drawn = torch.rand(1)
    two = student(width=0.5)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    student()
    assert torch.equal(torch.rand(1), drawn), "pruning takes nothing from the random numbers of the training"


@pytest.mark.parametrize("model", ["regnetx_002", "test_vit", "test_convnext"])
def test_a_network_that_cannot_be_pruned_says_so_in_one_line(model: str) -> None:
    with raises(ModelError, "E_MODEL_WIDTH", says="width") as caught:
        student(model, 0.5)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("width", [0.0, -0.5, 1.5])
def test_a_width_is_a_part(width: float) -> None:
    with raises(ConfigError, "E_CONFIG_RANGE", says=f"{width:g}"):
        LinkConfig(model=TINY, width=width)


def test_links_of_one_model_shrink_by_their_widths_alone() -> None:
    links = [LinkConfig(model=TINY, input_size=64, width=width) for width in (1.0, 0.75, 0.5)]
    sizes = [measure_student(student(width=link.width), (64, 64)) for link in links]
    check_order(links, sizes)
    assert sizes[0].macs > sizes[1].macs > sizes[2].macs
    with raises(ModelError, "E_MODEL_CHAIN_ORDER", says=("0.5", "0.75")):
        check_order(links[::-1], sizes[::-1])


def written(made: Student, folder: Path, width: float) -> Link:
    save_weights(made, folder / "weights.safetensors")
    size = measure_student(made, (32, 32))
    return replace(
        factories.link(model=TINY, labels=("a", "b", "c")),
        width=width,
        parameters=size.parameters,
        macs=size.macs,
        weights=file_ref(folder, folder / "weights.safetensors"),
    )


def test_a_pruned_link_loads_again_and_predicts_the_same(tmp_path: Path) -> None:
    made = student(width=0.5).eval()
    again = load_link(written(made, tmp_path, 0.5), tmp_path)
    shown = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(shown)[0], made(shown)[0])
    assert measure_student(again, (32, 32)) == measure_student(made, (32, 32))
    narrower = student(width=0.25)
    inherit_weights(narrower, again)  # it can be pruned further, and so be handed on


def test_weights_of_another_width_than_the_record_says_are_refused(tmp_path: Path) -> None:
    link = written(student(width=0.5), tmp_path, 0.5)
    with raises(ModelError, "E_MODEL_OTHER_WEIGHTS", says="99"):
        load_link(replace(link, parameters=99), tmp_path)
    with raises(ModelError, "E_MODEL_OPTIONS"):
        load_link(replace(link, width=1.0), tmp_path)
    tensors = load_file(tmp_path / "weights.safetensors")
    tensors[STEM] = torch.zeros(640, 3, 3, 3)
    save_file(tensors, tmp_path / "weights.safetensors")
    with raises(ModelError, "E_MODEL_OTHER_WEIGHTS", says="640"):
        load_link(link, tmp_path)


@pytest.mark.parametrize("model", PRUNED)
def test_every_pruned_network_is_exported_quantized_and_run(model: str, networks: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    root = tmp_path / "images"
    index = networks.write_images(root, train=8, val=2, test=2)
    backbone = settled(networks, model)
    prune_to_width(backbone, 0.5)
    kind = networks.contract(size=64)
    exported = networks.export(backbone, tmp_path / "fp32", kind)
    networks.quantized(exported, tmp_path / "fp32", index, root, tmp_path / "int8", images=8)
    shown = networks.frames(1, kind)
    with torch.inference_mode():
        expected = backbone.eval()(make_network_input(torch.tensor(shown), kind)).softmax(dim=1).numpy()
    found = {}
    for precision in ("fp32", "int8"):
        with closing(open_runner("onnxruntime", tmp_path / precision / "model.onnx")) as runner:
            found[precision] = runner.run(shown)
    assert np.allclose(found["fp32"], expected, atol=1e-4)
    assert np.isclose(found["int8"].sum(), 1, atol=1e-3)
