"""What the report draws: the histogram of latencies, and links over their time or their MACs."""

import dataclasses
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from support import factories
from support.bundles.report_evidence import make_evidence, make_manifest, rate, text_of, write
from weckd_edge.artifacts import (
    Gate,
    LinkEvaluation,
    LinkLatency,
)
from weckd_edge.pipeline.steps.select_link import choose_link
from weckd_edge.report.charts import latency_histogram


def test_every_query_is_in_the_histogram_or_in_its_count_of_slower_ones() -> None:
    base = factories.latency([1_000_000] * 99 + [9_000_000])
    svg = latency_histogram(base, None)
    assert svg.count('class="bin"') == 1
    assert "1 slower, up to 9.00\u00a0ms" in svg


def test_without_a_bench_the_report_says_not_measured(tmp_path: Path) -> None:
    evidence = dataclasses.replace(make_evidence(), measurement=None)
    page = text_of(write(tmp_path, evidence, make_manifest()))
    assert "not measured" in page
    assert "weckd-edge bench" in page


def weighed(name: str, scale: float, *, label: str = "measured", limit_ms: float = 2.0) -> LinkEvaluation:
    got = 0.84 * scale
    known: dict[str, Any] = {"p90_ns": got * 1e6, "low_ns": None, "high_ns": None}
    if label == "estimated":
        known = {"p90_ns": got * 1e6, "low_ns": got * 8e5, "high_ns": got * 13e5}
    if label == "unknown":
        known = dict.fromkeys(known)
    verdict: Any = "INCONCLUSIVE" if label != "measured" else "PASS" if got <= limit_ms else "FAIL"
    gate = Gate(
        name="max_latency_p90_ms", limit=limit_ms, value=got, verdict=verdict, reason=f"{got:.3g} ms against {limit_ms:g} ms"
    )
    return LinkEvaluation(
        name=name,
        precision="int8",
        backend="openvino",
        method="int8 mse",
        bytes=int(1e6 * scale),
        val_accuracy=rate(70, 80, 30),
        latency=LinkLatency(label=label, reason="on this very board", **known),  # type: ignore[arg-type]  # a test's text
        build_machine_p90_ns=int(got * 1e6),
        gates=(gate,),
    )


def test_each_line_of_the_histogram_has_its_label_in_a_row_of_its_own() -> None:
    latency = make_evidence().measurement.end_to_end
    svg = latency_histogram(latency, latency.p50_ns / 1e6)
    rows = [float(y) for y in re.findall(r'<text class="mark[a-z ]* text" x="[\d.]+" y="([\d.]+)"', svg)]
    assert len(rows) == 4
    assert all(b - a >= 15 for a, b in itertools.pairwise(sorted(rows)))


@pytest.mark.parametrize(
    ("label", "axis"),
    [
        ("measured", "end-to-end latency, p90, measured for generic-x86 (ms"),
        ("estimated", "end-to-end latency, estimated for generic-x86 (ms"),
        ("unknown", "end-to-end latency, p90, on the build machine (ms"),
    ],
)
def test_evaluated_links_are_drawn_over_their_time_and_listed_in_a_table(tmp_path: Path, label: str, axis: str) -> None:
    evidence = make_evidence()
    links = tuple(weighed(name, scale, label=label) for name, scale in (("M1", 3.1), ("M2", 1.6), ("M3", 0.84)))
    page = write(tmp_path, dataclasses.replace(evidence, link_selection=choose_link(links)), make_manifest())
    assert axis in page
    text = text_of(page)
    assert "Selection of the deployed link" in text
    assert "baseline, FP32" in page
    assert ("M1 int8" in page, "M3 int8, deployed" in page) == (True, True)
    if label == "estimated":
        assert "0.706\u00a0ms (0.564\u00a0ms to 0.917\u00a0ms)" in page


def test_the_deployed_link_is_drawn_at_the_latency_that_its_gate_was_checked_with(tmp_path: Path) -> None:
    links = tuple(weighed(name, scale) for name, scale in (("M1", 3.1), ("M2", 1.6), ("M3", 0.84)))
    gate = Gate(name="max_latency_p90_ms", limit=2.0, value=1.25, verdict="PASS", reason="1.25 ms is within 2 ms")
    contents = dataclasses.replace(make_evidence(), link_selection=choose_link(links))
    page = write(tmp_path, contents, make_manifest(gates=(gate,)))
    assert re.search(r"M2 int8: \d+\.\d% at 1\.34 ms; M3 int8, deployed: \d+\.\d% at 1\.25 ms", page)
    unchecked = dataclasses.replace(gate, value=None, verdict="INCONCLUSIVE")
    page = write(tmp_path, contents, make_manifest(gates=(unchecked,)))
    assert "% at 0.706 ms" in page


def test_without_evaluated_links_the_chain_is_drawn_over_macs(tmp_path: Path) -> None:
    page = write(tmp_path, make_evidence(), make_manifest())
    assert "MACs of one image (million" in page
    assert "Selection of the deployed link" not in page


def test_where_larger_links_were_not_evaluated_the_chain_is_drawn_over_macs(tmp_path: Path) -> None:
    contents = dataclasses.replace(make_evidence(), link_selection=choose_link([weighed("M3", 0.84)]))
    page = write(tmp_path, contents, make_manifest())
    assert "MACs of one image (million" in page
    assert "On the same held-out test images, in FP32" in page
    assert "M3 is the smallest link that meets every limit" in text_of(page)
