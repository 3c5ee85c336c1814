"""Which benches may be quoted, and how two of them are compared."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support import factories
from weckd_edge.artifacts import Measurement
from weckd_edge.devices.bench.folder import BenchFolder
from weckd_edge.devices.bench.percentiles import summarize_latency
from weckd_edge.devices.bench.verdict import verdict_of


def measured(samples: Iterable[int]) -> Measurement:
    return factories.measurement(list(samples), host="h", rules="r", peak_rss_bytes=None)


def test_a_quiet_run_of_enough_queries_may_be_quoted() -> None:
    verdict, reason = verdict_of(measured([1000] * 64))
    assert (verdict, reason[:10]) == ("VALID", "64 queries")


def test_a_noisy_run_may_not_be_quoted_and_says_what_to_do() -> None:
    verdict, reason = verdict_of(measured([1000, 2000] * 64))
    assert verdict == "INVALID"
    assert "spans 1.00 of the median" in reason
    assert "close other programs" in reason


@pytest.mark.parametrize(("spread", "verdict"), [(100, "VALID"), (101, "INVALID")])
def test_a_spread_of_a_tenth_is_the_most_that_is_quiet(spread: int, verdict: str) -> None:
    samples = [1000] * 48 + [1000 + spread] * 32
    assert summarize_latency(samples).iqr_over_median == spread / 1000
    assert verdict_of(measured(samples))[0] == verdict


def test_too_few_queries_may_not_be_quoted_however_quiet() -> None:
    verdict, reason = verdict_of(measured([1000] * 63))
    assert verdict == "INVALID"
    assert "63 queries" in reason
    assert "at least 64" in reason


def keep_bench(folder: Path, samples: Iterable[int], **kw: Any) -> Path:
    kept = dataclasses.replace(measured(samples), **kw)
    BenchFolder(folder).finish(kept)
    return folder


def test_two_benches_are_compared_and_a_slower_one_ends_with_3(tmp_path: Path, run: Any) -> None:
    fast, slow = keep_bench(tmp_path / "a", [1000, 1001] * 50), keep_bench(tmp_path / "b", [1300, 1301] * 50)
    code, out, _ = run("bench", "--compare", fast, slow)
    assert code == 3
    assert "slower: the second takes 1.3" in out
    code, out, _ = run("bench", "--compare", slow, fast, "--json")
    assert code == 0
    data = json.loads(out)
    assert data["verdict"] == "faster"
    assert data["difference_ns"] == -300
    assert run("bench", "--compare", fast, fast)[0] == 0
    assert "not shown" in run("bench", "--compare", fast, slow, "--margin", "0.5")[1]


def test_unlike_devices_are_a_wrong_request_unless_allowed(tmp_path: Path, run: Any) -> None:
    here, there = keep_bench(tmp_path / "a", [1000] * 64), keep_bench(tmp_path / "b", [1000] * 64, host="another")
    code, out, err = run("bench", "--compare", here, there)
    assert (code, out) == (2, "")
    assert "host: h and another" in err
    code, out, err = run("bench", "--compare", here, there, "--allow-different-devices")
    assert code == 0
    assert "unlike devices, host: h and another" in err


def test_a_bundle_and_two_folders_are_not_asked_for_at_once(tmp_path: Path, run: Any) -> None:
    assert run("bench", "b", "--compare", "x", "y")[0] == 2
    assert run("bench")[0] == 2
    code, _, err = run("bench", "--compare", tmp_path / "x", tmp_path / "y")
    assert code == 1
    assert "expected measurement.json" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--compare", "x", "y", "--out", "z"), "leave --out out"),
        (("--compare", "x", "y", "--backend", "onnxruntime", "--rules", "quick"), "leave --backend, --rules out"),
        (("--compare", "x", "y", "--queries", "64", "--min-version", "1"), "leave --queries, --min-version out"),
        (("b", "--compare", "x", "y", "--jobs", "2"), "leave BUNDLE, --jobs out"),
        (("b", "--margin", "0.05"), "without --compare nothing reads --margin"),
        (("b", "--allow-different-devices"), "without --compare nothing reads --allow-different-devices"),
    ],
)
def test_an_option_that_nothing_would_read_is_a_wrong_request(arguments: tuple[str, ...], said: str, run: Any) -> None:
    code, _, err = run("bench", *arguments)
    assert code == 2
    assert said in " ".join(err.split())


def test_unknown_rules_and_power_sources_are_wrong_requests(toy: ModuleType, tmp_path: Path, run: Any) -> None:
    toy.write_bundle(tmp_path / "b")
    for option in ("--rules", "--power"):
        code, _, err = run("bench", tmp_path / "b", option, "x", "-q")
        assert code == 2
        assert f"{option}: unknown value 'x'. Known: " in err
