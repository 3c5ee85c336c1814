"""docs/results/backends.md is what its script makes of its results."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from support.programs.benchmark_scripts import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("backends_page")


def test_predictions_are_compared_with_fp32_and_those_in_int8_with_the_graph_as_it_is_written() -> None:
    plain = np.array([[0.9, 0.1], [0.6, 0.4]])
    moved = np.array([[0.9, 0.1], [0.4, 0.6]])
    predictions = {"onnxruntime fp32": plain, "openvino fp32": plain, "openvino int8": moved, "as written": moved}
    found = load_script("bench_backends").differences(predictions)
    assert set(found) == {
        "openvino fp32 from onnxruntime fp32",
        "openvino int8 from onnxruntime fp32",
        "openvino int8 from as written",
        "as written from onnxruntime fp32",
    }
    assert found["openvino int8 from onnxruntime fp32"] == {"largest": 0.2, "median": 0.1, "over_0.02": 1, "flips": 1}
    assert found["openvino int8 from as written"]["largest"] == 0


def test_the_page_is_written_from_the_results(script: ModuleType) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.write_page(script.read_results())


def test_every_convolution_is_fused_and_onnx_runtime_gains_what_the_page_claims(script: ModuleType) -> None:
    results = script.read_results()
    assert set(results) == {"mobilenetv2_035", "resnet10t", "mobilenetv4_conv_small_050"}
    for line in results.values():
        in_int8, layers = line["int8_layers"]["onnxruntime int8"]
        assert layers - in_int8 <= 1, "the last product alone may stay in floating point"
        assert line["int8_layers"]["openvino int8"][0] == layers
        assert line["ratios"]["onnxruntime symmetric int8 over int8"][0] >= 1.8
        assert line["ratios"]["openvino symmetric int8 over int8"][1] >= 1.0
