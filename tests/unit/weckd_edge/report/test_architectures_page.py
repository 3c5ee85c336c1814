"""docs/results/architectures.md is what its script makes of its results."""

from __future__ import annotations

from types import ModuleType

import pytest

from support.programs.benchmark_scripts import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    for library in ("torch", "timm", "torchvision", "onnx", "onnxruntime"):
        pytest.importorskip(library)
    return load_script("bench_architectures")


def test_the_page_is_written_from_the_results(script: ModuleType) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.write_page(script.read_results())


def test_every_network_of_the_script_was_measured_for_both_targets(script: ModuleType) -> None:
    results = script.read_results()
    assert list(results) == [network.name for network in script.NETWORKS]
    for line in results.values():
        assert {"cpu", "jetson"} <= line.keys()
