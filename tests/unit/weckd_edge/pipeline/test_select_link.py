"""The smallest link that misses no limit ships; where every one misses some, the closest, with what to change."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest

from support import factories
from support.errors import raises
from weckd_edge.artifacts import Gate, LinkEvaluation, LinkLatency, Rate
from weckd_edge.config import BuildConfig, DistillConfig, GateConfig, LinkConfig, SelectConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.pipeline.steps import select_link as step
from weckd_edge.pipeline.steps.select_link import (
    choose_link,
    gate_distance,
    last_link_selection,
    requested_link,
    select_link,
)
from weckd_edge.pipeline.steps.train_chain import check_strategy

RATE = Rate(value=0.9, low=0.85, high=0.94, correct=90, images=100, groups=60)


def gate(name: str, bar: float, got: float | None, verdict: Any) -> Gate:
    return Gate(name=name, limit=bar, value=got, verdict=verdict, reason=f"{got} against {bar}")


def link(name: str, *gates: Gate) -> LinkEvaluation:
    return LinkEvaluation(
        name=name,
        precision="int8",
        backend="openvino",
        method="int8 mse",
        bytes=1000,
        val_accuracy=RATE,
        latency=LinkLatency(label="measured", p90_ns=1e6, low_ns=None, high_ns=None, reason="here"),
        build_machine_p90_ns=1_000_000,
        gates=gates,
    )


def accuracy(got: float, bar: float = 0.9) -> Gate:
    return gate("min_accuracy", bar, got, "PASS" if got >= bar else "FAIL")


def latency(got: float, bar: float = 10.0) -> Gate:
    return gate("max_latency_p90_ms", bar, got, "PASS" if got <= bar else "FAIL")


def test_the_smallest_of_those_that_pass_is_deployed() -> None:
    found = choose_link([link("M1", accuracy(0.97)), link("M2", accuracy(0.94)), link("M3", accuracy(0.91))])
    assert (found.chosen, found.advice) == ("M3", ())
    assert found.reason == "M3 is the smallest link that meets every limit"


def test_a_smaller_one_that_misses_a_limit_is_passed_over_and_named() -> None:
    found = choose_link([link("M1", accuracy(0.97)), link("M2", accuracy(0.94)), link("M3", accuracy(0.85))])
    assert found.chosen == "M2"
    assert "M3 misses accuracy (0.85 against 0.9)" in found.reason


def test_a_larger_one_is_too_slow_and_a_smaller_one_too_bad() -> None:
    chain = [link("M1", latency(30), accuracy(0.97)), link("M2", latency(9), accuracy(0.92)), link("M3", accuracy(0.7))]
    assert choose_link(chain).chosen == "M2"


def test_a_limit_that_cannot_be_evaluated_is_not_failed_and_is_named() -> None:
    open_ = gate("max_latency_p90_ms", 10.0, None, "INCONCLUSIVE")
    found = choose_link([link("M1", open_, accuracy(0.97)), link("M2", open_, accuracy(0.95))])
    assert found.chosen == "M2"
    assert found.reason == "M2 is the smallest link that misses no limit; not judged here: end-to-end latency"


def test_where_none_passes_the_closest_is_deployed_with_what_to_change() -> None:
    far, near = link("M1", latency(40), accuracy(0.97)), link("M2", latency(11), accuracy(0.93))
    worst = link("M3", latency(5), accuracy(0.45))
    found = choose_link([far, near, worst])
    assert gate_distance(far) == pytest.approx(3.0)
    assert gate_distance(worst) == pytest.approx(0.5)
    assert found.chosen == "M2"
    assert found.reason.startswith("no link meets every limit; M2 comes closest")
    assert len(found.advice) == 1
    assert "raise gates.max_latency_p90_ms" in found.advice[0]


def test_of_two_as_close_as_each_other_the_smaller_is_deployed() -> None:
    assert choose_link([link("M1", accuracy(0.8)), link("M2", accuracy(0.8))]).chosen == "M2"


def test_without_limits_the_last_link_is_deployed() -> None:
    assert choose_link([link("M1"), link("M2")]).chosen == "M2"


@pytest.mark.parametrize(("asked", "found"), [("smallest", None), ("last", "M3"), ("M2", "M2")])
def test_a_link_can_be_named(asked: str, found: str | None) -> None:
    names = ["M1", "M2", "M3"]
    assert requested_link(SelectConfig(link=asked), names) == found
    assert requested_link(SelectConfig(), ["imported"]) == "imported", "nothing is weighed where there is nothing to choose"
    assert "M2 was asked for" in last_link_selection("M2", names).reason


@pytest.mark.parametrize("asked", ["M0", "M4", "M", "m2", "first", "M02", "M002", "M\u0662", "M2\n"])
def test_a_link_that_is_not_there_is_refused(asked: str) -> None:
    with raises(ConfigError, "E_CONFIG_CHOICE"):
        BuildConfig(select=SelectConfig(link=asked))


@pytest.mark.parametrize("name", [field.name for field in fields(GateConfig)])
def test_whatever_limit_is_missed_is_reported_in_words_with_what_to_change(name: str) -> None:
    found = choose_link([link("M1", gate(name, 0.9, 0.8, "FAIL"))])
    told = found.reason.removeprefix("no link meets every limit; M1 comes closest: misses ")
    assert told.endswith(" (0.8 against 0.9)")
    assert "_" not in told, "words, not a key"
    (advice,) = found.advice
    assert advice.endswith(f"gates.{name}")


@pytest.mark.parametrize(
    ("settings", "accuracies", "compiled", "chosen"),
    [
        (SelectConfig(), (0.9, 0.8, 0.95), ["M3"], "M3"),
        (SelectConfig(), (0.9, 0.95, 0.8), ["M3", "M2"], "M2"),
        (SelectConfig(), (0.5, 0.7, 0.6), ["M3", "M2", "M1"], "M2"),
        (SelectConfig(compare=True), (0.9, 0.8, 0.95), ["M3", "M2", "M1"], "M3"),
        (SelectConfig(link="M2"), (0.9, 0.1, 0.95), ["M2"], "M2"),
        (SelectConfig(link="last"), (0.9, 0.9, 0.1), ["M3"], "M3"),
    ],
)
def test_a_larger_link_is_compiled_only_where_the_smaller_ones_miss_a_limit(
    settings: SelectConfig,
    accuracies: tuple[float, ...],
    compiled: list[str],
    chosen: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[str] = []
    benched: list[str] = []
    gained = dict(zip(("M1", "M2", "M3"), accuracies, strict=True))

    def compile_link(network: Any) -> Any:
        found.append(network.name)
        return SimpleNamespace(name=network.name, deployed=SimpleNamespace(model=None))

    def bench(ctx: Any, student: Any, images: Any, guard: Any) -> Any:
        benched.append(student.name)
        return factories.measurement((1_000_000,))

    monkeypatch.setattr(step, "bench", bench)
    monkeypatch.setattr(
        step, "_latency", lambda *_: LinkLatency(label="measured", p90_ns=1.0, low_ns=None, high_ns=None, reason="r")
    )
    monkeypatch.setattr(step, "evaluate_link", lambda ctx, student, *_: link(student.name, accuracy(gained[student.name])))
    ctx: Any = SimpleNamespace(config=BuildConfig(select=settings), limits=GateConfig(), progress=SilentProgress())
    chain: Any = SimpleNamespace(networks=[SimpleNamespace(name=name) for name in gained])
    images: Any = SimpleNamespace(required=lambda what: None)
    choice = select_link(ctx, chain, compile_link, None, images, index=None)  # type: ignore[arg-type]
    assert (found, benched) == (compiled, compiled)
    assert choice.student.name == choice.link_selection.chosen == chosen
    evaluated = [one.name for one in choice.link_selection.links]
    assert evaluated == (sorted(compiled) if settings.link == "smallest" else [])
    assert choice.latency.label == "measured"
    assert [one.link for one in choice.others] == [name for name in sorted(compiled) if name != chosen]


def test_nothing_is_compared_with_a_link_that_is_named() -> None:
    with raises(ConfigError, "E_CONFIG_CONFLICT", says=("compare = true", "M2")):
        SelectConfig(link="M2", compare=True)


def test_limits_that_no_link_was_evaluated_against_are_not_reported_as_met() -> None:
    links = [link("M1", accuracy(0.9)), link("M2", accuracy(0.9))]
    assert choose_link(links).reason == "M2 is the smallest link that meets every limit"
    told = choose_link(links, ["min_exam_recall"]).reason
    assert told.startswith("M2 is the smallest link that misses no limit; not judged here: ")
    assert "examination" in told


@pytest.mark.parametrize(
    ("strategy", "asked", "fits"), [("one-step", "M3", False), ("one-step", "M2", True), ("dgkd", "M3", True)]
)
def test_a_link_that_the_strategy_does_not_train_cannot_be_named(strategy: str, asked: str, fits: bool) -> None:
    links = tuple(LinkConfig(model=name) for name in "abc")
    config = BuildConfig(link=links, select=SelectConfig(link=asked), distill=DistillConfig(strategy=strategy))
    if fits:
        check_strategy(config)
        return
    with raises(ConfigError, "E_CONFIG_CHOICE", says=("'M3'", "one-step", "M1, M2")):
        check_strategy(config)
