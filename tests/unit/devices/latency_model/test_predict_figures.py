"""The claims of docs/results/latency-estimates.md, worked out again from the kept measurements; nothing is timed."""

import json
from types import ModuleType
from typing import Any

import pytest

from support.programs.benchmark_scripts import BENCHMARKS, load_script
from weckd_edge.devices.latency_model.reference import ONNXRUNTIME_PRICES_NS, PRICES_NS


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return load_script("predict_figures")


@pytest.fixture(scope="module")
def kept(module: ModuleType) -> list[Any]:
    return list(module.kept_measurements())


@pytest.fixture(scope="module")
def line() -> dict[str, Any]:
    lines = (BENCHMARKS / "results" / "predict.jsonl").read_text().splitlines()
    newest: dict[str, Any] = json.loads(lines[-1])
    return newest


@pytest.fixture(scope="module")
def figures(module: ModuleType, kept: list[Any], line: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = module.figures(kept, frozenset(line["later"]))
    return found


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("split", ["families_left_out", "networks_left_out"])
def test_median_error_and_coverage_are_within_the_limits(figures: dict[str, Any], split: str, precision: str) -> None:
    got = figures[split][precision]
    assert got["networks"] >= 25
    assert got["median_absolute_error"] <= 0.15
    assert got["coverage"] >= 0.9


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(
    "split", ["ladder_alone", "ladder_alone_later_networks", "ladder_alone_all_networks", "ladder_alone_frame_to_answer"]
)
def test_calibration_networks_alone_keeps_the_error_within_the_limit(
    figures: dict[str, Any], split: str, precision: str
) -> None:
    assert figures[split][precision]["networks"] >= 25
    assert figures[split][precision]["median_absolute_error"] <= 0.15


def test_the_figures_are_those_of_the_kept_line(figures: dict[str, Any], line: dict[str, Any]) -> None:
    for split, by_precision in figures.items():
        for precision, got in by_precision.items():
            assert got == pytest.approx(line["figures"][split][precision], abs=2e-3)


def test_the_reference_prices_are_those_of_the_kept_measurements(module: ModuleType, kept: list[Any]) -> None:
    assert module.reference_prices(kept) == pytest.approx(PRICES_NS, rel=1e-2, abs=1e-6)


@pytest.fixture(scope="module")
def onnxruntime(module: ModuleType) -> list[Any]:
    return list(module.kept_measurements(module.ONNXRUNTIME))


def test_onnx_runtimes_prices_are_those_of_its_kept_measurements(module: ModuleType, onnxruntime: list[Any]) -> None:
    assert {timed.backend for timed in onnxruntime} == {"onnxruntime"}
    assert module.reference_prices(onnxruntime, near_openvino=True) == pytest.approx(
        ONNXRUNTIME_PRICES_NS, rel=1e-2, abs=1e-6
    )


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_documentation_says_how_far_onnx_runtimes_estimates_are_off(
    module: ModuleType, onnxruntime: list[Any], precision: str
) -> None:
    got = module.onnxruntime_figures(onnxruntime)["ladder_alone"][precision]
    text = (BENCHMARKS.parent / "docs" / "results" / "latency-estimates.md").read_text(encoding="utf-8")
    cells = (
        "ladder alone; networks of timm, end-to-end latency, ONNX Runtime",
        precision,
        str(got["networks"]),
        f"{got['median_absolute_error']:.1%}",
        f"{got['p90_absolute_error']:.1%}",
        f"{got['inside']} ({got['coverage']:.1%})",
        f"{got['interval_factor']:.2f}",
    )
    assert f"| {' | '.join(cells)} |" in text


def test_the_documentation_says_what_published_figures_come_to(module: ModuleType) -> None:
    text = (BENCHMARKS.parent / "docs" / "results" / "latency-estimates.md").read_text(encoding="utf-8")
    count, lines = module.published_lines()
    assert count in " ".join(text.split())
    told = [line for line in text.splitlines() if line.endswith(("| hit |", "| **miss** |"))]
    assert told == lines
    assert text.count("\n- ", text.index("## Against published")) == sum("miss" in line for line in lines)
