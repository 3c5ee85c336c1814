"""Options of a network shape it: none makes timm read a file, ask a network or run code, wherever the options come from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support import factories
from support.errors import raises

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

from safetensors.torch import save_file  # noqa: E402 - behind the skips

from weckd_edge.artifacts import (  # noqa: E402 - likewise
    ChainRecord,
    FrameSpec,
    InputSpec,
    Link,
    NetworkInput,
    Rate,
)
from weckd_edge.config import LinkConfig, load_config  # noqa: E402 - likewise
from weckd_edge.core.errors import ConfigError, ModelError, StoreError  # noqa: E402 - likewise
from weckd_edge.core.network_options import check_network_options  # noqa: E402 - likewise
from weckd_edge.core.serialization import from_json, to_data, to_json  # noqa: E402 - likewise
from weckd_edge.core.store import ARTIFACT_FILE, Workspace, file_ref  # noqa: E402 - likewise
from weckd_edge.pipeline.network_sources.link_source import open_link  # noqa: E402 - likewise
from weckd_edge.train.networks.checkpoint import read_checkpoint  # noqa: E402 - likewise
from weckd_edge.train.networks.models import create_student, load_link  # noqa: E402 - likewise

TINY = "test_resnet"
REFUSED = "'checkpoint_path'"
Run = Callable[..., tuple[int, str, str]]


class Trap:
    """A file that writes a marker when it is unpickled, and a timm that unpickles whatever it is pointed at."""

    def __init__(self, folder: Path) -> None:
        self.file, self.marker = folder / "evil.pth", folder / "it-ran"

    def options(self) -> dict[str, str]:
        return {"checkpoint_path": str(self.file)}


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trap:
    made = Trap(tmp_path)

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(made.marker)!r}, 'w').close()",)

    def careless(model: object, path: str) -> None:
        torch.load(path, weights_only=False)

    torch.save({"state_dict": Evil()}, made.file)
    monkeypatch.setattr("timm.models._factory.load_checkpoint", careless)
    return made


@pytest.fixture
def link(tmp_path: Path) -> Link:
    """A link whose weights lie in ``tmp_path``."""
    save_file(timm.create_model(TINY, num_classes=2).state_dict(), tmp_path / "w.safetensors")
    rate = Rate(value=1.0, low=0.5, high=1.0, correct=4, images=4, groups=4)
    return factories.link(
        "M1",
        model=TINY,
        input=InputSpec(
            frame=FrameSpec(height=32, width=32, crop="center"),
            network=NetworkInput(height=32, width=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        ),
        labels=("a", "b"),
        parameters=1,
        macs=1,
        weights=file_ref(tmp_path, tmp_path / "w.safetensors"),
        labels_used=4,
        images_used=4,
        val_accuracy=rate,
        test_accuracy=rate,
    )


def foreign(record: object, options: object, at: tuple[str | int, ...] = ()) -> str:
    """Return a record's JSON with the options somebody else wrote into it."""
    data = to_data(record)
    inner = data
    for key in at:
        inner = inner[key]
    inner["options"] = options
    return json.dumps(data)


def test_the_trap_is_one(trap: Trap) -> None:
    timm.create_model(TINY, num_classes=2, **trap.options())
    assert trap.marker.exists()


def test_a_configuration_is_refused(trap: Trap, tmp_path: Path) -> None:
    config = tmp_path / "build.toml"
    option = f'options = {{ checkpoint_path = "{trap.file}" }}'
    config.write_text(f'[[link]]\nmodel = "{TINY}"\n{option}\n[[link]]\nmodel = "{TINY}"\n')
    with raises(ConfigError, "E_CONFIG_NETWORK_OPTION", says=REFUSED):
        load_config(config)
    assert not trap.marker.exists()


def test_the_command_line_is_refused(trap: Trap, run: Run, ears: Path, tmp_path: Path, link: Link) -> None:
    given = ("--model", TINY, "--model-options", json.dumps(trap.options()))
    weights = tmp_path / link.weights.path
    code, _, err = run("compile", weights, "--data", ears, "--target", "cpu", "--out", tmp_path / "out", *given)
    assert (code, trap.marker.exists()) == (2, False)
    assert REFUSED in err


def test_a_foreign_link_is_refused(trap: Trap, run: Run, ears: Path, tmp_path: Path, link: Link) -> None:
    (tmp_path / ARTIFACT_FILE).write_text(foreign(link, trap.options()))
    with raises(StoreError, "E_CONFIG_NETWORK_OPTION", says=REFUSED):
        open_link(tmp_path)
    code, _, err = run("compile", tmp_path, "--data", ears, "--target", "cpu", "--out", tmp_path.with_name("out"))
    assert (code, trap.marker.exists()) == (1, False)
    assert REFUSED in err
    assert "Traceback" not in err


def test_a_foreign_bundle_is_refused_by_the_chain_it_records(trap: Trap, link: Link) -> None:
    chain = ChainRecord(links=(link,), baseline=None, labels_used=4)
    for text in (
        foreign(chain, trap.options(), ("links", 0)),
        foreign(replace(chain, baseline=link), trap.options(), ("baseline",)),
    ):
        with raises(StoreError, "E_CONFIG_NETWORK_OPTION", says=REFUSED):
            from_json(ChainRecord, text, where="chain.json", error=StoreError)


def test_what_lies_in_a_workspace_is_made_again(trap: Trap, tmp_path: Path, link: Link) -> None:
    workspace = Workspace(tmp_path / "out.work")

    def make(folder: Path) -> Link:
        save_file(timm.create_model(TINY, num_classes=2).state_dict(), folder / "w.safetensors")
        return replace(link, weights=file_ref(folder, folder / "w.safetensors"))

    with workspace.locked():
        made = workspace.stage("link-M1", Link, {}, make)
        (made.folder / ARTIFACT_FILE).write_text(foreign(made.artifact, trap.options()))
        assert workspace.find("link-M1", Link, {}) is None
        again = workspace.stage("link-M1", Link, {}, make)
    assert (again.reused, again.artifact.options, trap.marker.exists()) == (False, {}, False)


def test_a_folder_with_its_own_config_is_refused(trap: Trap, tmp_path: Path, link: Link) -> None:
    said = {"architecture": TINY, "num_classes": 2, "pretrained_cfg": {}, "model_args": trap.options()}
    (tmp_path / "config.json").write_text(json.dumps(said))
    (tmp_path / link.weights.path).rename(tmp_path / "model.safetensors")
    with raises(ModelError, "E_MODEL_OPTIONS", says=REFUSED):
        create_student(LinkConfig(model=f"local-dir:{tmp_path}"), 2)
    assert not trap.marker.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "other.pth"])
def test_a_folder_whose_weights_would_run_code_is_refused(trap: Trap, tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architecture": TINY, "num_classes": 2, "pretrained_cfg": {}}))
    trap.file.rename(tmp_path / name)
    with raises(ModelError, "E_MODEL_FETCH", says="local-dir"):
        create_student(LinkConfig(model=f"local-dir:{tmp_path}"), 2)
    assert not trap.marker.exists()


def test_a_folder_with_its_own_config_keeps_options_that_shape_it(tmp_path: Path) -> None:
    shape = {"channels": [8, 8, 8, 8], "stem_width": 8, "drop_rate": None}
    network = timm.create_model("resnet10t", num_classes=2, channels=(8, 8, 8, 8), stem_width=8)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    said = {"architecture": "resnet10t", "num_classes": 2, "pretrained_cfg": {}, "model_args": shape}
    (tmp_path / "config.json").write_text(json.dumps(said))
    made = create_student(LinkConfig(model=f"local-dir:{tmp_path}"), 2)
    assert made.options == {"channels": (8, 8, 8, 8), "stem_width": 8}


@pytest.mark.parametrize(
    "name",
    [
        "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "pretrained_filter_fn",
        "checkpoint_path", "cache_dir", "model_cfg", "feature_cfg", "pruned", "kwargs_filter", "weights_url", "config_file",
        "hf_hub_id", "path",
    ],
)  # fmt: skip
def test_arguments_that_read_fetch_or_run_are_refused_by_name(name: str) -> None:
    with raises(ConfigError, "E_CONFIG_NETWORK_OPTION", says=f"'{name}'"):
        check_network_options({name: True})


@pytest.mark.parametrize("name", ["num_classes", "in_chans", "features_only", "device", "dtype", "model_name"])
def test_arguments_that_the_build_decides_are_refused_by_name(name: str) -> None:
    with raises(ConfigError, "E_CONFIG_NETWORK_OPTION", says=f"'{name}'"):
        check_network_options({name: 1})


@pytest.mark.parametrize("text", ["/tmp/w.pth", "w.pth", "..", "https://a/b", "hf_hub:a/b", "a b", "a" * 65, "a\n"])
def test_a_text_that_is_no_plain_word_is_refused(text: str) -> None:
    with raises(ConfigError, "E_CONFIG_NETWORK_OPTION", says=("act_layer", "'gelu'")):
        check_network_options({"act_layer": text})


def test_every_argument_by_which_timm_reads_is_refused() -> None:
    """A new timm with another such argument fails here before it reaches anybody."""
    import inspect

    from timm.models._builder import build_model_with_cfg

    shape = {"model_name", "num_classes", "kwargs", "model_cls", "variant"}
    found = {*inspect.signature(timm.create_model).parameters, *inspect.signature(build_model_with_cfg).parameters} - shape
    assert found >= {"checkpoint_path", "cache_dir", "pretrained", "pretrained_cfg_overlay"}
    for name in found:
        with pytest.raises(ConfigError):
            check_network_options({name: "x"})


def test_options_that_shape_a_network_are_taken() -> None:
    given = {"channels": (8, 8, 8, 8), "stem_width": 8, "act_layer": "hard_swish", "drop_path_rate": 0.1, "avg_down": True}
    check_network_options(given)
    assert LinkConfig(model="resnet10t", options=given).options == given  # type: ignore[arg-type]  # as wide as a table


@pytest.mark.parametrize(
    "options",
    [{"act_layer": "nope"}, {"channels": ()}, {"no_such_option": 1}],
    ids=["unknown word", "empty list", "unknown argument"],
)
def test_options_that_timm_cannot_use_are_one_line(options: dict[str, object], tmp_path: Path, link: Link) -> None:
    with raises(ModelError, "E_MODEL_OPTIONS"):
        create_student(LinkConfig(model=TINY, options=options), 2)  # type: ignore[arg-type]  # as wide as a table
    with raises(ModelError, "E_MODEL_OPTIONS"):
        load_link(replace(link, options=options), tmp_path)  # type: ignore[arg-type]  # likewise


@pytest.mark.parametrize("model", ["hf_hub:nobody/nothing", "local-dir:/tmp", "no_such_network"])
def test_a_link_names_a_network_of_timm_and_no_other_place(
    model: str, tmp_path: Path, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("timm was asked"))
    with raises(ModelError, "E_MODEL_NAME"):
        load_link(from_json(Link, to_json(replace(link, model=model)), where="link", error=StoreError), tmp_path)
    if ":" in model:
        with raises(ModelError, "E_MODEL_NAME"):
            read_checkpoint(LinkConfig(model=model), tmp_path / link.weights.path)
