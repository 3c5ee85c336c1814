"""The ladder of students and the chain picked from it."""

from __future__ import annotations

import http.server
import socket
import threading
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.errors import raises
from weckd_edge.config import BuildConfig, LinkConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.pipeline.auto_chain import CANDIDATES, CandidateTiming, CandidateTimings, pick_chain, time_candidates


def rung(name: str, milliseconds: float, macs: int) -> CandidateTiming:
    return CandidateTiming(
        link=LinkConfig(model=name),
        parameters=1,
        macs=macs,
        int8_ns=int(milliseconds * 1e6),
        fp32_ns=int(milliseconds * 2e6),
    )


LADDER = CandidateTimings(
    host="here",
    candidates=tuple(
        rung(name, ms, k) for k, (name, ms) in enumerate(zip("abcdef", (0.5, 0.7, 1.0, 1.9, 4.0, 9.0), strict=True))
    ),
    left_out=(),
    pretrained=True,
)


def names(links: tuple[LinkConfig, ...]) -> str:
    return "".join(link.model for link in links)


@pytest.mark.parametrize(
    ("bar", "chain"),
    [
        (None, "dca"),  # the fastest last, each before it about twice as slow
        (1.3, "edc"),  # 1.0 ms fits 1.3 with headroom
        (1.2, "dcb"),  # 1.0 ms does not fit 1.2
        (100.0, "fed"),  # as slow as leaves two above it
    ],
)
def test_the_last_link_is_the_largest_that_fits_and_each_before_it_is_about_twice_as_slow(
    bar: float | None, chain: str
) -> None:
    assert names(pick_chain(LADDER, bar, 3)) == chain


def test_the_links_take_their_pretrained_weights_where_they_can_be_had() -> None:
    assert all(link.pretrained for link in pick_chain(LADDER, None, 2))


def test_a_limit_that_nothing_fits_and_too_long_a_chain_are_refused() -> None:
    with raises(ConfigError, "E_CONFIG_AUTO_CHAIN", says=("0.5", "128", "0.50")):
        pick_chain(LADDER, 0.5, 3)
    with raises(ConfigError, "E_CONFIG_AUTO_CHAIN", says=("7", "6")):
        pick_chain(LADDER, None, 7)


def test_every_candidate_is_a_model_of_timm_with_pretrained_weights() -> None:
    timm = pytest.importorskip("timm")
    for link in CANDIDATES:
        assert timm.list_pretrained(f"{link.model}.*"), link.model


def test_students_are_measured_and_one_that_gives_less_for_more_time_is_left_out(
    networks: ModuleType, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("openvino")
    index = networks.write_images(tmp_path)
    wide: dict[str, Any] = {"channels": (64, 64, 128, 128), "stem_width": 32}
    narrow: dict[str, Any] = {"channels": (16, 16, 16, 16), "stem_width": 8}
    candidates = [LinkConfig(model="resnet10t", input_size=32, options=o) for o in (wide, narrow)]
    ladder = time_candidates(index, tmp_path, BuildConfig(), SilentProgress(), candidates, host="here")
    assert [r.link.options for r in ladder.candidates] == [narrow, wide]
    assert ladder.candidates[0].macs < ladder.candidates[1].macs
    assert all(r.int8_ns > 0 and r.fp32_ns > 0 for r in ladder.candidates)


def test_whether_weights_can_be_fetched_is_found_out_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    import huggingface_hub.constants as hub

    from weckd_edge.train.networks.models import can_fetch

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
    pytest.importorskip("torch")
    import huggingface_hub.constants as hub

    from weckd_edge.train.networks.models import can_fetch

    def reach(*args: object, **more: object) -> None:
        raise AssertionError("a host was asked")

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(urllib.request, "urlopen", reach)
    assert not can_fetch(5)
