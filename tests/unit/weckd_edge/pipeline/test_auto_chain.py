"""The ladder of students and the chain picked from it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from support.errors import raises
from weckd_edge.config import BuildConfig, GateConfig, LinkConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.pipeline.auto_chain import CANDIDATES, CandidateTiming, CandidateTimings, pick_chain, time_candidates
from weckd_edge.pipeline.steps import train_chain


def rung(name: str, size: int, milliseconds: float, macs: int) -> CandidateTiming:
    return CandidateTiming(
        link=LinkConfig(model=name, input_size=size),
        parameters=1,
        macs=macs,
        int8_ns=int(milliseconds * 1e6),
        fp32_ns=int(milliseconds * 2e6),
    )


TIMINGS = CandidateTimings(
    host="here",
    candidates=(
        rung("a", 96, 0.5, 1),
        rung("a", 128, 0.9, 2),
        rung("b", 96, 1.0, 3),
        rung("a", 160, 1.4, 4),
        rung("b", 128, 1.9, 6),
        rung("b", 192, 4.0, 9),
    ),
    left_out=(rung("a", 192, 2.2, 5), rung("b", 160, 4.2, 8)),
)


def names(links: tuple[LinkConfig, ...]) -> list[str]:
    return [f"{link.model}{link.input_size}" for link in links]


@pytest.mark.parametrize(
    ("limit_ms", "chain"),
    [
        (None, ["a160", "a128", "a96"]),  # the fastest last; 0.9 ms is nearer to twice 0.5 than 1.4
        (1.2, ["a192", "a160", "a128"]),  # 0.9 ms fits 1.2 with headroom, 1.0 ms does not; one left out may teach
        (1.3, ["b192", "b128", "b96"]),
        (100.0, ["b192", "b160", "b128"]),  # as slow as leaves two sizes above it
    ],
)
def test_the_last_link_is_the_largest_that_fits_and_those_before_it_are_the_same_model_at_larger_sizes(
    limit_ms: float | None, chain: list[str]
) -> None:
    assert names(pick_chain(TIMINGS, limit_ms, 3)) == chain


def test_the_links_take_their_pretrained_weights_where_they_can_be_had() -> None:
    assert all(link.pretrained == "if_available" for link in pick_chain(TIMINGS, None, 2))


def test_a_limit_that_nothing_fits_and_too_long_a_chain_are_refused() -> None:
    with raises(ConfigError, "E_CONFIG_AUTO_CHAIN", says=("0.5", "96", "0.50")):
        pick_chain(TIMINGS, 0.5, 3)
    with raises(ConfigError, "E_CONFIG_AUTO_CHAIN", says=("7", "4")):
        pick_chain(TIMINGS, None, 7)


def test_the_candidates_offer_chains_of_one_model() -> None:
    sizes: dict[str, set[int]] = {}
    for one in CANDIDATES:
        sizes.setdefault(one.model, set()).add(one.input_size)
    assert all(len(found) >= 3 for found in sizes.values())
    assert sum(map(len, sizes.values())) == len(CANDIDATES)


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


def test_a_link_that_was_left_out_as_the_last_one_is_listed_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ctx: Any = SimpleNamespace(
        config=BuildConfig(link=3 * (LinkConfig(model="x"),)),
        machine=SimpleNamespace(host="here"),
        limits=GateConfig(max_latency_p90_ms=1.2),
        on_device=True,
        progress=None,
        root=None,
        step=lambda *_: SimpleNamespace(artifact=TIMINGS),
    )
    monkeypatch.setattr(train_chain, "key_of", lambda *_: None)
    links, told = train_chain._pick_links(ctx, cast(Any, SimpleNamespace(images=(), labels=("a", "b"))))
    assert names(links) == ["a192", "a160", "a128"]
    assert "a at 192 px (2.20 ms)" in told
