"""Where timm's pretrained weights are: in the cache, on a hub that can be reached, or nowhere."""

from __future__ import annotations

import http.server
import socket
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import huggingface_hub.constants as hub

from weckd_edge.cli.settled_links import with_settled_links
from weckd_edge.config import DEFAULT_LINKS, BuildConfig, LinkConfig
from weckd_edge.core.errors import ModelError
from weckd_edge.train.networks import available_weights as module
from weckd_edge.train.networks.available_weights import can_fetch, is_cached, settle_weights

MODEL = "mobilenetv2_050"


def link(model: str = MODEL, **changes: Any) -> LinkConfig:
    return LinkConfig(model=model, **{"pretrained": "if_available", **changes})


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of the hub, and no connection to it."""

    def refuse(*args: object, **more: object) -> None:
        raise AssertionError("a network was asked")

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return tmp_path


def fill(cache: Path, repository: str, file: str) -> None:
    """Put an empty file into the cache as the hub's own client lays it out."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("c0ffee")
    (folder / "snapshots" / "c0ffee").mkdir(parents=True)
    (folder / "snapshots" / "c0ffee" / file).write_bytes(b"")


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_weights_in_the_cache_are_used_without_a_connection(offline: Path, file: str) -> None:
    assert not is_cached(MODEL)
    fill(offline, "timm/mobilenetv2_050.lamb_in1k", file)
    assert is_cached(MODEL)
    settled = settle_weights([link(), link(input_size=96)])
    assert [one.pretrained for one in settled.links] == [True, True]
    assert settled.missing == ""


def test_another_file_in_the_cache_holds_no_weights(offline: Path) -> None:
    fill(offline, "timm/mobilenetv2_050.lamb_in1k", "config.json")
    assert not is_cached(MODEL)
    assert not is_cached("no_such_model")
    assert not is_cached("test_resnet_of_nobody")


def test_without_weights_links_start_from_nothing_and_one_sentence_says_so(offline: Path) -> None:
    settled = settle_weights(DEFAULT_LINKS)
    assert [one.pretrained for one in settled.links] == [False] * len(DEFAULT_LINKS)
    assert [one.input_size for one in settled.links] == [one.input_size for one in DEFAULT_LINKS]
    for part in (DEFAULT_LINKS[0].model, "random weights", "more images and steps", "weights = "):
        assert part in settled.missing
    assert settled.missing.count(DEFAULT_LINKS[0].model) == 1


def test_what_the_settings_say_plainly_is_left_alone(offline: Path) -> None:
    links = (
        link(pretrained=True),
        link(pretrained=False),
        LinkConfig(model=MODEL, weights="own.safetensors", pretrained=False),
    )
    assert settle_weights(links).links == links
    assert settle_weights(links).missing == ""


def test_links_of_one_model_share_the_weights_that_one_of_them_names(offline: Path) -> None:
    named = LinkConfig(model=MODEL, weights="own.safetensors", weights_licence="MIT", mean=(0.5,) * 3, std=(0.5,) * 3)
    settled = settle_weights(
        [
            LinkConfig(model="mobilenetv2_100"),
            LinkConfig(model=MODEL, input_size=160, width=0.9),
            named,
            LinkConfig(model=MODEL, input_size=112, mean=(0.4,) * 3, std=(0.2,) * 3, weights_licence="BSD-3-Clause"),
            LinkConfig(model=MODEL, input_size=96, width=0.7, pretrained=False),
            LinkConfig(model=MODEL, input_size=64, options={"bn_eps": 1e-3}),
        ]
    ).links
    assert [one.weights for one in settled] == [None, "own.safetensors", "own.safetensors", "own.safetensors", None, None]
    assert [bool(one.pretrained) for one in settled] == [False] * 6
    assert [one.mean for one in settled] == [None, (0.5,) * 3, (0.5,) * 3, (0.4,) * 3, None, None]
    assert [one.weights_licence for one in settled] == [None, "MIT", "MIT", "BSD-3-Clause", None, None]
    assert [one.input_size for one in settled] == [128, 160, 128, 112, 96, 64]
    assert settle_weights(settled).links == settled


def test_links_of_one_model_share_the_wish_for_pretrained_weights(offline: Path) -> None:
    settled = settle_weights([link(), LinkConfig(model=MODEL, input_size=96)])
    assert [one.pretrained for one in settled.links] == [False, False]
    fill(offline, "timm/mobilenetv2_050.lamb_in1k", "model.safetensors")
    assert [one.pretrained for one in settle_weights([link(), LinkConfig(model=MODEL)]).links] == [True, True]


def test_a_hub_that_is_reached_but_does_not_give_the_weights_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch, offline: Path
) -> None:
    def refuse(config: LinkConfig, classes: int) -> None:
        raise ModelError(f"{config.model}: no", code="E_MODEL_FETCH")

    monkeypatch.setattr(module, "can_fetch", lambda: True)
    monkeypatch.setattr(module, "create_student", refuse)
    settled = settle_weights([link()])
    assert settled.links == (link(pretrained=False),)
    assert "does not give them" in settled.missing
    monkeypatch.setattr(module, "create_student", lambda config, classes: None)
    assert settle_weights([link()]).links == (link(pretrained=True),)


def test_commands_settle_links_once_with_a_warning(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settled = with_settled_links(BuildConfig(link=(link(), link(input_size=96, pretrained=False))))
    assert [one.pretrained for one in settled.link] == [False, False]
    assert "warning: The pretrained weights" in " ".join(capsys.readouterr().err.split())
    assert with_settled_links(settled) == settled
    assert capsys.readouterr().err == ""


def test_whether_weights_can_be_fetched_is_found_out_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(hub, "ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        assert not can_fetch(0.5)
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.handle_request, daemon=True).start()
    monkeypatch.setattr(hub, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    assert can_fetch(5)
    server.server_close()


def test_whoever_is_offline_by_choice_asks_nobody_for_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def reach(*args: object, **more: object) -> None:
        raise AssertionError("a host was asked")

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(urllib.request, "urlopen", reach)
    assert not can_fetch(5)
