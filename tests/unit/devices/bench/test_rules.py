import pytest

from support.errors import raises
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.bench.load_generator.rules import MINIMUM_QUERIES, RULES, find_rules


def test_mlperfs_rules_are_those_that_loadgen_carries() -> None:
    loadgen = pytest.importorskip("mlperf_loadgen")
    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.SingleStream
    assert settings.FromConfig("", "*", "SingleStream", 0) == 0  # 0: the mlperf.conf inside it
    rules = RULES["mlperf"]
    assert settings.min_duration_ms == rules.min_seconds * 1000
    assert settings.min_query_count == rules.min_queries
    assert settings.single_stream_target_latency_percentile == 0.9


@pytest.mark.parametrize("name", RULES)
def test_every_rule_allows_a_90th_percentile_and_says_what_it_is(name: str) -> None:
    rules = find_rules(name)
    assert rules.min_queries >= MINIMUM_QUERIES
    assert rules.text(5, 1.25).startswith(f"{name} (")
    assert "5 queries in 1.2 s after 50" in rules.text(5, 1.25)
    assert ("not a submission" in rules.note) == (name != "quick")


def test_a_number_of_ones_own_is_exact_and_no_longer_the_rules() -> None:
    rules = find_rules("mlperf", queries=70, warmup=0)
    assert (rules.min_queries, rules.min_seconds, rules.max_seconds, rules.warmup) == (70, 0.0, None, 0)
    assert "not by those rules" in rules.note
    assert "for builds" in find_rules("quick", queries=70).note
    assert find_rules("mobile", warmup=3).min_seconds == 60.0


@pytest.mark.parametrize(("queries", "warmup"), [(0, 0), (1, -1)])
def test_a_run_of_nothing_is_refused(queries: int, warmup: int) -> None:
    with raises(ConfigError, "E_CONFIG_RANGE", says=("1", "0")):
        find_rules("quick", queries=queries, warmup=warmup)


def test_unknown_rules_are_refused_with_the_known_ones() -> None:
    with raises(ConfigError, "E_CONFIG_CHOICE", says=("'mlpref'", "'mlperf'")):
        find_rules("mlpref")
