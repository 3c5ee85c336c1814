"""The table of what a device may run: each model of the bundle, in its order, with what was found of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from support import factories
from support.bundles.reports import small_contents, small_manifest
from support.bundles.toy import of_graph
from weckd_edge.artifacts import BuiltModel, Manifest, ModelAccuracy, PrecisionSelection, QuantizationTrial, Verification
from weckd_edge.report import BundleContents, write_report
from weckd_edge.report.chapters.models import model_rows
from weckd_edge.report.json_summaries import bundle_summary

SENTENCE = "ONNX Runtime takes 3.50 ms in int8 and 1.52 ms in FP32: int8 does not pay here, and FP32 comes before it"
GRAPH = factories.file_reference("model/model.onnx", bytes=1000)
RECIPE = BuiltModel(
    backend="tensorrt",
    backend_version="",
    precision="int8",
    kind="recipe",
    files=(GRAPH,),
    source_sha256=GRAPH.sha256,
    tolerance=0.1,
)
MODELS = (
    of_graph("openvino", GRAPH, tolerance=0.02, int8_layers=52, layers=52),
    of_graph("onnxruntime", GRAPH, "fp32", tolerance=0.03),
    of_graph("openvino", GRAPH, "fp16", tolerance=0.1),
    replace(RECIPE, kind="preflight", backend="tensorrt-rtx", tolerance=None),
)
TRIALS = (
    QuantizationTrial(name="fp32", precision="fp32", method=None, median_ns=2_000_000),
    QuantizationTrial(name="int8 mse", precision="int8", method="mse", median_ns=1_000_000),
    QuantizationTrial(
        name="fp32 in ONNX Runtime", precision="fp32", method=None, backend="onnxruntime", median_ns=1_520_000
    ),
    QuantizationTrial(name="fp16, computed in float16", precision="fp16", method=None),
)


def parts() -> tuple[Manifest, PrecisionSelection, Verification]:
    contents = small_contents(small_manifest())
    manifest = replace(contents.manifest, models=MODELS)
    selection = replace(
        contents.selection,
        trials=TRIALS,
        chosen="int8 mse",
        models=MODELS[:3],
        listed=("int8 mse", "fp32 in ONNX Runtime", "fp16, computed in float16"),
        backends=(SENTENCE,),
    )
    accuracies = (
        ModelAccuracy(backend="openvino", precision="int8", accuracy=factories.rate(8), flips=1),
        ModelAccuracy(backend="onnxruntime", precision="fp32", accuracy=factories.rate(9), flips=0),
    )
    return manifest, selection, replace(contents.verification, models=accuracies)


def contents() -> BundleContents:
    manifest, selection, verification = parts()
    return replace(small_contents(manifest), selection=selection, verification=verification)


def test_each_model_has_its_own_accuracy_time_layers_and_tolerance() -> None:
    rows = model_rows(*parts())
    assert [(r.name, r.accuracy and r.accuracy.correct, r.flips, r.median_ns, r.tolerance) for r in rows] == [
        ("openvino int8", 8, 1, 1_000_000, 0.02),
        ("onnxruntime fp32", 9, 0, 1_520_000, 0.03),
        ("openvino fp16", None, None, None, 0.1),
    ]
    assert [(r.int8_layers, r.layers) for r in rows] == [(52, 52), (None, None), (None, None)]


def test_where_the_device_builds_its_own_the_recipe_is_listed_without_a_time() -> None:
    manifest, selection, verification = parts()
    jetson = replace(manifest, target="jetson", models=(RECIPE, MODELS[0]))
    rows = model_rows(jetson, replace(selection, models=(), listed=()), verification)
    assert [(r.name, r.kind, r.median_ns) for r in rows] == [
        ("tensorrt int8", "built on the device", None),
        ("openvino int8", "runs as it is", None),
    ]


def test_the_page_says_of_a_backend_that_its_int8_does_not_pay(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    write_report(contents(), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert SENTENCE in page.replace("&nbsp;", " ")
    table = page.partition("Models of the bundle, in their order")[2].partition("</table>")[0]
    assert "52 of 52" in table
    assert table.index("openvino int8") < table.index("onnxruntime fp32") < table.index("openvino fp16")
    assert "does not run here" in table


def test_a_script_reads_the_same_of_the_summary(tmp_path: Path) -> None:
    summary = bundle_summary(contents(), tmp_path)
    assert summary["backends"] == [SENTENCE]
    assert [(m["name"], m["accuracy"], m["median_ns"]) for m in summary["models"]] == [
        ("openvino int8", 0.8, 1_000_000),
        ("onnxruntime fp32", 0.9, 1_520_000),
        ("openvino fp16", None, None),
    ]
