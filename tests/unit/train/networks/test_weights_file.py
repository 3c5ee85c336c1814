"""What trainers write is opened without running its code, and what was taken of it is said."""

from __future__ import annotations

import argparse
import collections
import json
import pickle
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.errors import raises

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

from safetensors.torch import save_file  # noqa: E402 - behind the skips

from weckd_edge.compile.importing.hints import InputHints  # noqa: E402 - likewise
from weckd_edge.config import BuildConfig, LinkConfig  # noqa: E402 - likewise
from weckd_edge.core.errors import ConfigError, ModelError  # noqa: E402 - likewise
from weckd_edge.pipeline.network_sources.open import open_source_network  # noqa: E402 - likewise
from weckd_edge.pipeline.request import CompileRequest  # noqa: E402 - likewise
from weckd_edge.train.networks.checkpoint import Checkpoint, read_checkpoint  # noqa: E402 - likewise
from weckd_edge.train.networks.models import create_student  # noqa: E402 - likewise
from weckd_edge.train.networks.weights_file import STAND_INS, read_weights  # noqa: E402 - likewise

TINY = LinkConfig(model="test_resnet")


def weights(seed: int = 1, prefix: str = "") -> dict[str, Any]:
    torch.manual_seed(seed)
    made = timm.create_model("test_resnet", num_classes=3)
    return {f"{prefix}{name}": value for name, value in made.state_dict().items()}


def assert_taken(made: Checkpoint, seed: int) -> None:
    expected = weights(seed)
    found = made.student.backbone.state_dict()
    assert set(found) == set(expected)
    assert all(torch.equal(found[n], v) for n, v in expected.items() if not n.endswith("num_batches_tracked"))


def by_timm(folder: Path) -> Path:
    """Write what timm's own train.py writes, by its own saver."""
    from timm.utils import CheckpointSaver, ModelEmaV3

    torch.manual_seed(1)
    network = timm.create_model("test_resnet", num_classes=3)
    average = ModelEmaV3(network)
    average.module.load_state_dict(weights(2))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.zeros(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    network.load_state_dict(weights(1))
    args = argparse.Namespace(
        model="test_resnet", mean=[0.1, 0.2, 0.3], std=[0.4], img_size=96, crop_pct=0.9, data_dir=Path("images"), lr=0.1
    )
    saver = CheckpointSaver(network, optimizer, args, average, checkpoint_dir=str(folder), recovery_dir=str(folder))
    saver.save_checkpoint(3, metric=np.float64(71.5))
    return folder / "model_best.pth.tar"


def by_torchvision(folder: Path) -> Path:
    network = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    found = {
        "model": weights(1),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3).state_dict(),
        "epoch": 89,
        "args": argparse.Namespace(model="test_resnet", val_crop_size=64, output_dir="."),
        "scaler": {"scale": 65536.0},
        "model_ema": {"n_averaged": torch.tensor(7), **weights(2, "module.")},
    }
    torch.save(found, folder / "checkpoint.pth")
    return folder / "checkpoint.pth"


def by_lightning(folder: Path) -> Path:
    from lightning_fabric.utilities.data import AttributeDict

    found = {
        "epoch": 2,
        "global_step": 30,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**weights(1, "net."), "criterion.weight": torch.ones(3), "val_acc.tp": torch.zeros(3)},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 3}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best_model_score": torch.tensor(0.5), "dirpath": Path("x")}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": []}],
        "hyper_parameters": AttributeDict(model_name="test_resnet", lr=0.1, sizes=collections.defaultdict(int, a=1)),
    }
    torch.save(found, folder / "last.ckpt")
    return folder / "last.ckpt"


@pytest.mark.parametrize(
    ("write", "seed", "said"),
    [
        (by_timm, 2, "Weights are taken from 'state_dict_ema', a running average of them (EMA)."),
        (by_torchvision, 2, "Weights are taken from 'model_ema.module', a running average of them (EMA)."),
        (by_lightning, 1, "Weights are taken from 'state_dict.net'."),
    ],
)
def test_what_trainers_write_opens_and_names_its_network(tmp_path: Path, write: Any, seed: int, said: str) -> None:
    for model in (TINY, None):
        made = read_checkpoint(model, write(tmp_path))
        assert_taken(made, seed)
        assert said in made.notes
        assert ("The file says that it is of test_resnet." in made.notes) == (model is None)


def test_another_of_several_tables_is_taken_by_its_name(tmp_path: Path) -> None:
    file = by_timm(tmp_path)
    told = " ".join(read_checkpoint(TINY, file).notes)
    assert "The file also holds 'state_dict'; --weights-key NAME takes another." in told
    assert_taken(read_checkpoint(TINY, file, key="state_dict"), 1)
    assert_taken(read_checkpoint(TINY, by_torchvision(tmp_path), key="model"), 1)
    with raises(ModelError, "E_MODEL_WEIGHTS_FILE", says=("'teacher'", "'state_dict'")):
        read_checkpoint(TINY, file, key="teacher")


def test_what_the_file_says_of_its_input_is_taken_unless_it_is_given(tmp_path: Path) -> None:
    file = by_timm(tmp_path)
    made = read_checkpoint(None, file)
    assert (made.mean, made.std, made.input_size) == ((0.1, 0.2, 0.3), (0.4, 0.4, 0.4), (96, 96))
    told = " ".join(made.notes)
    assert "Mean and standard deviation are those that the file names." in told
    assert [one.crop_pct for one in made.preparations] == [0.9, 0.95]  # the file's, and behind it timm's own
    given = read_checkpoint(None, file, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    assert (given.mean, given.std) == ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    assert "the file names." not in " ".join(given.notes).replace("The file names an input", "")


def test_options_of_the_network_are_read_from_the_trainers_settings(tmp_path: Path) -> None:
    args = argparse.Namespace(model="test_efficientnet", bn_eps=0.01, model_kwargs={"drop_rate": 0.5, "hook": [1, "x"]})
    tensors = timm.create_model("test_efficientnet", num_classes=3).state_dict()
    torch.save({"state_dict": tensors, "args": args}, tmp_path / "a.pth")
    made = read_checkpoint(None, tmp_path / "a.pth")
    assert made.options == {"bn_eps": 0.01, "drop_rate": 0.5}
    assert {one.eps for one in made.student.modules() if isinstance(one, torch.nn.BatchNorm2d)} == {0.01}
    given = read_checkpoint(LinkConfig(model="test_efficientnet", options={"bn_eps": 0.02}), tmp_path / "a.pth")
    assert given.options == {"bn_eps": 0.02}


@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.", "model._orig_mod.", "backbone.encoder.", "ema_model.module.", "0."]
)
def test_names_may_stand_behind_any_prefix(tmp_path: Path, prefix: str) -> None:
    for wrapped in (weights(1, prefix), {"model_state_dict": weights(1, prefix)}, (weights(1, prefix), 7)):
        torch.save(wrapped, tmp_path / "w.pth")
        assert_taken(read_checkpoint(TINY, tmp_path / "w.pth"), 1)
    save_file(weights(1, prefix), tmp_path / "w.bin")  # known by what it holds
    assert_taken(read_checkpoint(TINY, tmp_path / "w.bin"), 1)


def test_a_copy_in_the_same_table_is_no_part_of_the_network(tmp_path: Path) -> None:
    torch.save({**weights(1), **weights(2, "ema.")}, tmp_path / "w.pth")
    assert_taken(read_checkpoint(TINY, tmp_path / "w.pth"), 2)
    assert "The file also holds the file itself" in " ".join(read_checkpoint(TINY, tmp_path / "w.pth").notes)


def test_a_larger_network_that_holds_all_the_names_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {**weights(1, "net."), "net.layer9.weight": torch.ones(1)}}, tmp_path / "w.pth")
    with raises(ModelError, "E_MODEL_OTHER_WEIGHTS", says=("1", "test_resnet", "'layer9.weight'")):
        read_checkpoint(TINY, tmp_path / "w.pth")


def test_a_build_starts_from_what_a_trainer_wrote(tmp_path: Path) -> None:
    made = create_student(LinkConfig(model="test_resnet", weights=str(by_torchvision(tmp_path))), 5)
    assert torch.equal(made.student.backbone.state_dict()["conv1.0.weight"], weights(2)["conv1.0.weight"])


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self.marker)!r}, 'w').close()",)


class ByGetattr(Evil):
    def __reduce__(self) -> Any:
        return getattr, (self.marker, "touch")


@pytest.mark.parametrize("kind", [Evil, ByGetattr])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path, kind: Any, legacy: bool) -> None:
    marker = tmp_path / "marker"
    args = argparse.Namespace(model="test_resnet", hook=kind(marker))
    torch.save({"state_dict": weights(), "args": args}, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    with raises(ModelError, "E_MODEL_WEIGHTS_FILE", says="exec" if kind is Evil else "getattr"):
        read_checkpoint(TINY, tmp_path / "w.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"state_dict": kind(marker)}, protocol=2))
    with pytest.raises(ModelError):
        read_checkpoint(TINY, tmp_path / "plain.pth")
    assert not marker.exists()


def test_nothing_that_stands_beside_weights_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("omegaconf.dictconfig")
    marker = []

    class DictConfig:
        def __setstate__(self, state: object) -> None:
            marker.append(state)

    DictConfig.__module__, DictConfig.__qualname__ = "omegaconf.dictconfig", "DictConfig"
    module.DictConfig = DictConfig  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
    monkeypatch.setitem(sys.modules, "omegaconf.dictconfig", module)
    config = DictConfig()
    config.__dict__["model"] = "test_resnet"
    torch.save({"state_dict": weights(), "hyper_parameters": config}, tmp_path / "w.ckpt")
    monkeypatch.delitem(sys.modules, "omegaconf.dictconfig")
    assert read_weights(tmp_path / "w.ckpt").settings["model"] == "test_resnet"
    assert marker == []
    assert all(how in (dict,) or how.__module__ == "weckd_edge.train.networks.weights_file" for how in STAND_INS.values())


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = timm.create_model("test_resnet", num_classes=3)


def test_a_whole_pickled_network_is_refused_with_lines_that_convert_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, Net.__module__, sys.modules.get(Net.__module__) or types.ModuleType(Net.__module__))
    monkeypatch.setattr(sys.modules[Net.__module__], "Net", Net, raising=False)
    net = Net()
    net.backbone.load_state_dict(weights(1))
    for found in (net, {"model": net}, {"state_dict": net.state_dict(), "trainer": Evil}):
        torch.save(found, "whole.pth")
        with pytest.raises(ModelError) as caught:
            read_checkpoint(TINY, Path("whole.pth"))
        assert "save its state_dict alone, and give that:" in str(caught.value)
        assert str(caught.value).isprintable()
        assert len(caught.value.lines) == 3
        exec("\n".join(caught.value.lines), {})
        assert_taken(read_checkpoint(TINY, Path("weights.pth")), 1)


def test_a_torchscript_program_is_refused_with_lines_that_convert_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    network = timm.create_model("test_resnet", num_classes=3).eval()
    with pytest.warns() as _:
        torch.jit.trace(network, torch.zeros(1, 3, 32, 32)).save("traced.pt")
    with raises(ModelError, "E_MODEL_WEIGHTS_FILE") as caught:
        read_checkpoint(TINY, Path("traced.pt"))
    assert len(caught.value.lines) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own torch.jit
        exec("\n".join(caught.value.lines), {})
    assert_taken(read_checkpoint(TINY, Path("weights.pth")), 1)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>404", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"\x89HDF\r\n\x1a\n" + bytes(90), "HDF5"),
    ],
)
def test_a_file_that_is_something_else_is_called_what_it_is(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "w.pth").write_bytes(data)
    with raises(ModelError, "E_MODEL_WEIGHTS_FILE", says=said):
        read_checkpoint(TINY, tmp_path / "w.pth")


def test_a_network_of_other_names_is_sent_to_onnx(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    torch.save({"model": torchvision.models.squeezenet1_0(num_classes=3).state_dict()}, tmp_path / "w.pth")
    with raises(ModelError, "E_MODEL_OTHER_WEIGHTS", says="torch.onnx.export"):
        read_checkpoint(TINY, tmp_path / "w.pth")
    torch.save(torchvision.models.resnet18(num_classes=3).state_dict(), tmp_path / "r.pth")
    assert read_checkpoint(LinkConfig(model="resnet18"), tmp_path / "r.pth").classes == 3


def test_the_command_line_shows_the_lines_to_copy(
    run: Callable[..., tuple[int, str, str]], ears: Path, tmp_path: Path
) -> None:
    torch.save({"state_dict": weights(), "trainer": Evil}, tmp_path / "w.pth")
    options = ("--data", ears, "--target", "cpu", "--out", tmp_path / "out", "--model", "test_resnet")
    code, _, err = run("compile", tmp_path / "w.pth", *options)
    first, *lines = err.splitlines()
    assert code == 1
    assert first.startswith("error[E_MODEL_WEIGHTS_FILE]: w.pth: cannot be read as weights: it holds ")
    assert lines[0] == "import torch; found = torch.load('w.pth', map_location='cpu', weights_only=False)"
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("name", "timms", "options"),
    [
        ("mobilenet_v2", "mobilenetv2_100", {}),
        ("mobilenet_v3_small", "mobilenetv3_small_100", {"bn_eps": 1e-3}),
        ("efficientnet_b0", "efficientnet_b0", {}),
    ],
)
def test_torchvisions_networks_are_opened_under_timms_names(
    tmp_path: Path, name: str, timms: str, options: dict[str, float]
) -> None:
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None, num_classes=3).eval()
    for one in network.modules():
        if isinstance(one, torch.nn.BatchNorm2d):
            one.running_mean.normal_(0, 0.1)
            one.running_var.uniform_(0.5, 1.5)
    args = argparse.Namespace(model=name, val_crop_size=96)
    torch.save({"model": {f"module.{k}": v for k, v in network.state_dict().items()}, "args": args}, tmp_path / "w.pth")
    image = torch.rand(1, 3, 96, 96)
    for config in (None, LinkConfig(model=name)):
        made = read_checkpoint(config, tmp_path / "w.pth", 3)
        assert (made.architecture, made.options, made.classes, made.input_size) == (timms, options, 3, (96, 96))
        assert f"Its tensors have the names of torchvision's {name}" in " ".join(made.notes)
        with torch.inference_mode():
            assert torch.allclose(made.student(image)[0], network(image), atol=1e-5)
    with raises(ModelError, "E_MODEL_CLASSES", says=("3", "4")):
        read_checkpoint(None, tmp_path / "w.pth", 4)


def test_torchvisions_network_that_timms_does_not_predict_as_is_refused(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v2(num_classes=3)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    with raises(ModelError, "E_MODEL_OTHER_WEIGHTS", says="mobilenet_v2"):
        read_checkpoint(LinkConfig(model="mobilenet_v2", options={"bn_eps": 0.1}), tmp_path / "w.pth")


def request(file: Path, **more: Any) -> CompileRequest:
    hints = more.pop("hints", InputHints())
    return CompileRequest(
        source=file, data=file.parent, target="cpu", device=None, out=file.parent / "out", hints=hints,
        config=BuildConfig(link=()), **more,
    )  # fmt: skip


def test_compile_needs_no_model_where_the_checkpoint_names_it(tmp_path: Path) -> None:
    found = open_source_network(request(by_timm(tmp_path), weights_key="state_dict"))
    assert_taken(found.checkpoint, 1)  # type: ignore[attr-defined]
    assert found.key() != open_source_network(request(by_timm(tmp_path))).key()
    torch.save(weights(), tmp_path / "plain.pth")
    with raises(ConfigError, "E_CONFIG_SOURCE"):
        open_source_network(request(tmp_path / "plain.pth"))
    (tmp_path / "n.onnx").write_bytes(b"x")
    with raises(ConfigError, "E_CONFIG_OPTION_UNUSED", says="--weights-key"):
        open_source_network(request(tmp_path / "n.onnx", weights_key="a"))


def test_the_settings_that_timm_saves_beside_weights_are_read(tmp_path: Path) -> None:
    save_file(weights(1), tmp_path / "model.safetensors")
    beside = {
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        "crop_mode": "squash",
        "input_size": [3, 64, 96],
        "mean": [0.1] * 3,
    }
    config = {"architecture": "test_resnet", "pretrained_cfg": {**beside, "std": [0.3] * 3}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    made = read_checkpoint(None, tmp_path / "model.safetensors")
    assert (made.architecture, made.input_size, made.mean, made.std) == ("test_resnet", (64, 96), (0.1,) * 3, (0.3,) * 3)
    said, timms = made.preparations
    assert (said.source, said.crop_pct, said.crop, said.resize) == ("the file says", 0.9, "stretch", "antialiased_bicubic")
    assert (timms.source, timms.crop_pct, timms.resize) == ("timm has it for test_resnet", 0.95, "antialiased_bilinear")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"architecture": "test_resnet"}', '{"pretrained_cfg": 3}'])
def test_another_tools_file_beside_weights_is_passed_over(tmp_path: Path, text: str) -> None:
    save_file(weights(1), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(text)
    assert read_checkpoint(TINY, tmp_path / "model.safetensors").preparations[0].crop_pct is None
