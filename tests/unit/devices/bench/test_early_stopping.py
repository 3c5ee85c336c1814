import math
import re
from pathlib import Path

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.bench.early_stopping import (
    binomial_tail,
    decide_percentile,
    early_stop,
    max_over,
    more_queries,
    queries_needed,
)


@pytest.mark.parametrize(
    ("most", "trials", "rate"),
    [
        (0, 10, 0.3),
        (3, 10, 0.3),
        (9, 10, 0.3),
        (1, 64, 0.1),
        (12, 100, 0.1),
        (95, 100, 0.9),
        (5, 1000, 0.01),
        (40, 300, 0.1),
    ],
)
def test_the_tail_is_the_sum_of_its_terms(most: int, trials: int, rate: float) -> None:
    exact = sum(math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(most + 1))
    assert binomial_tail(most, trials, rate) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("most", "trials"), [(59_000, 600_000), (60_100, 600_000), (5_900, 60_000)])
def test_the_tail_of_long_runs_agrees_with_scipy(most: int, trials: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert binomial_tail(most, trials, 0.1) == pytest.approx(stats.binom.cdf(most, trials, 0.1), rel=1e-6)


def test_the_tails_ends_are_certain() -> None:
    assert binomial_tail(-1, 10, 0.5) == 0.0
    assert binomial_tail(10, 10, 0.5) == 1.0
    assert (binomial_tail(3, 10, 0.0), binomial_tail(3, 10, 1.0)) == (1.0, 0.0)


def test_mlperfs_floors_are_found() -> None:
    assert (queries_needed(0.9), queries_needed(0.99)) == (64, 662)


@pytest.mark.parametrize("percentile", [0.5, 0.9, 0.99])
def test_one_more_over_would_break_the_confidence(percentile: float) -> None:
    for queries in (700, 1664, 20_000):
        over = max_over(queries, percentile)
        assert binomial_tail(over, queries, 1 - percentile) <= 0.01 < binomial_tail(over + 1, queries, 1 - percentile)


def test_too_few_queries_give_no_estimate() -> None:
    assert max_over(63, 0.9) == 0
    stop = early_stop(range(1, 64), 90)
    assert (stop.estimate_ns, stop.over, stop.needed) == (None, 0, 64)
    assert early_stop(range(1, 65), 90).estimate_ns == 64


@pytest.mark.parametrize(("queries", "percentile", "confidence"), [(-1, 0.9, 0.99), (5, 1.0, 0.99), (5, 0.9, 0.0)])
def test_a_question_without_meaning_is_refused(queries: int, percentile: float, confidence: float) -> None:
    with raises(ConfigError, "E_CONFIG_RANGE", says="0"):
        max_over(queries, percentile, confidence)


def test_the_estimate_holds_its_confidence_in_simulation() -> None:
    # Times of a long tail whose percentile is known. Of 4000 runs at 99 % about 40 may miss; at 60 more than a thousandth
    # of correct programs would. With as many over as there are on average, half of the runs would miss.
    random = np.random.default_rng(7)
    for percent, queries in ((90, 64), (90, 1024), (99, 1024)):
        over = max_over(queries, percent / 100)
        truth = math.exp({90: 1.2815515655446004, 99: 2.3263478740408408}[percent])
        times = np.sort(np.exp(random.standard_normal((4000, queries))), axis=1)
        missed = int((times[:, -over] < truth).sum())
        assert missed <= 60, (percent, queries)
        naive = int((times[:, -round(queries * (100 - percent) / 100)] < truth).sum())
        assert naive > 1000


def test_loadgen_gives_the_same_estimates_of_its_own_times(tmp_path: Path) -> None:
    pytest.importorskip("mlperf_loadgen")
    from weckd_edge.devices.bench.load_generator.loadgen_backend import run_loadgen
    from weckd_edge.devices.bench.load_generator.rules import find_rules

    class Sums:
        def run(self, frame: np.ndarray) -> float:
            return float(frame.sum())

    frames = [np.ones(size, np.float32) for size in (10, 1000, 5000, 20_000)]
    for queries in (64, 700, 1500):
        folder = tmp_path / str(queries)
        folder.mkdir()
        run = run_loadgen(Sums(), frames, find_rules("quick", queries=queries, warmup=0), 10_000, trace=folder)
        text = (folder / "mlperf_log_trace.json").read_text()  # its lines are JSON, the whole is not always
        spans = re.findall(r'"issue_start_ns":(\d+),"complete_ns":(\d+)', text)
        theirs = [int(complete) - int(start) for start, complete in spans]
        assert len(theirs) == len(run.samples_ns) == queries
        assert run.loadgen is not None
        assert early_stop(theirs, 90).estimate_ns == run.loadgen.early_stopping_p90_ns
        assert early_stop(theirs, 99).estimate_ns == run.loadgen.early_stopping_p99_ns


@pytest.mark.parametrize(
    ("over", "queries", "verdict"),
    [(0, 64, "PASS"), (2, 64, "INCONCLUSIVE"), (6, 64, "INCONCLUSIVE"), (20, 64, "FAIL"), (0, 10, "INCONCLUSIVE")],
)
def test_a_limit_is_decided_only_where_the_run_proves_it(over: int, queries: int, verdict: str) -> None:
    assert decide_percentile(over, queries, 0.9) == verdict


def test_of_nothing_nothing_is_known() -> None:
    assert decide_percentile(0, 0, 0.9) == "INCONCLUSIVE"
    assert more_queries(0, 0, 0.9) == 64


@pytest.mark.parametrize("over", [95, 92, 107, 115])
def test_so_many_more_queries_decide_and_a_tenth_fewer_do_not(over: int) -> None:
    more = more_queries(over, 1000, 0.9)
    assert more is not None
    assert more > 0

    def at(total: int) -> str:
        return decide_percentile(round(over / 1000 * total), total, 0.9)

    assert at(round((1000 + more) * 1.01)) == ("PASS" if over < 100 else "FAIL")
    assert at(round((1000 + more) * 0.9)) == "INCONCLUSIVE"


def test_a_limit_on_the_percentile_itself_is_never_decided() -> None:
    assert more_queries(100, 1000, 0.9) is None


def test_what_is_decided_needs_no_more() -> None:
    assert more_queries(0, 64, 0.9) == 0


def test_both_decisions_hold_their_confidence_in_simulation() -> None:
    random = np.random.default_rng(3)
    over = random.binomial(500, 0.1, 4000)  # the bar is the 90th percentile: either decision is wrong
    found = [decide_percentile(int(count), 500, 0.9) for count in over]
    assert found.count("PASS") <= 60
    assert found.count("FAIL") <= 60
    assert found.count("PASS") > 0
