"""The last step: parts are copied, judged, described and sealed as one bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support import factories
from support.bundles.made_parts import INPUT, LABELS, MEASUREMENT, NO_LIMITS, answer, assemble, make_parts, parity
from weckd_edge.artifacts import (
    Gate,
    Manifest,
)
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.config import AbstainConfig, GateConfig, LinkConfig
from weckd_edge.core.fingerprint import library_versions
from weckd_edge.core.store import check_ref, refs_in
from weckd_edge.devices.profiles.profile import load_profile
from weckd_edge.devices.runtime.golden_arrays import load_expected, load_golden_frames
from weckd_edge.pipeline.steps.sdk import sdk_files
from weckd_edge.report import read_contents

pytest.importorskip("jinja2")
pytest.importorskip("cyclonedx")


def verdicts(manifest: Manifest) -> dict[str, str]:
    return {gate.name: gate.verdict for gate in manifest.gates}


def test_a_bundle_for_a_processor_holds_each_part_where_it_belongs(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    manifest = assemble(parts)
    found = {p.relative_to(parts.out).as_posix() for p in parts.out.rglob("*") if p.is_file()}
    assert found == {
        *("manifest.json", "model/model.onnx", "model/openvino/model.xml", "model/openvino/model.bin"),
        *("selftest/frames.npy", "selftest/expected.npy", "evidence/report.html", "evidence/model_card.md"),
        *("evidence/sbom.cdx.json", "evidence/measurements.jsonl", "evidence/dataset_index.json"),
        *("evidence/chain.json", "evidence/verification.json", "evidence/build.json", "evidence/precision_selection.json"),
        *("evidence/metrics.json", "evidence/environment.json"),
        *("evidence/link_selection.json", "evidence/confusion_matrix.csv"),
        *(f"sdk/{path.as_posix()}" for path in sdk_files()),
    }
    assert "sdk/include/weckd_edge.h" in {file.path for file in manifest.files}
    assert open_bundle(parts.out).manifest == manifest
    for reference in refs_in(manifest):
        check_ref(parts.out, reference)
    assert (parts.out / manifest.models[0].files[1].path).read_bytes() == b"b" * (1 << 20)
    golden = (tmp_path / "golden/expected.npy").read_bytes()
    assert load_golden_frames(open_bundle(parts.out)).shape == (2, 16, 16, 3)
    for model in manifest.models:
        assert model.expected is not None
        assert (parts.out / model.expected.path).read_bytes() == golden
        assert load_expected(open_bundle(parts.out), model, 2).shape == (2, 3)
    assert (parts.out / manifest.onnx.path).read_bytes() == b"a graph"


def test_a_bundle_for_a_jetson_holds_the_recipe_and_no_file_of_a_preflight(tmp_path: Path) -> None:
    manifest = assemble(make_parts(tmp_path, target="jetson"))
    assert [(m.backend, [f.path for f in m.files]) for m in manifest.models] == [
        ("tensorrt", ["model/tensorrt/recipe.json"]),
        ("onnxruntime", ["model/model.onnx"]),
        ("tensorrt-rtx", []),
    ]
    assert [model.tolerance for model in manifest.models] == [0.1, 0.02, None]
    assert (manifest.target, manifest.device) == ("jetson", "jetson-orin-nano-8gb")


def test_the_manifest_says_what_the_parts_are(tmp_path: Path) -> None:
    manifest = assemble(make_parts(tmp_path, abstain=AbstainConfig(threshold=0.6)))
    assert (manifest.name, manifest.target, manifest.device) == ("bundle", "cpu", "generic-x86")
    assert (manifest.labels, manifest.input) == (LABELS, INPUT)
    assert (manifest.input_name, manifest.network_input_name, manifest.output_name) == (
        *("frame", "network_input", "probabilities"),
    )
    assert manifest.operating_point.confidence_threshold == 0.6
    assert [(model.backend, model.tolerance) for model in manifest.models] == [("openvino", 0.02), ("onnxruntime", 0.02)]
    assert manifest.synthetic is True
    assert manifest.passed is True
    assert manifest.versions == library_versions()


def test_the_evidence_is_what_the_stages_found(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    assemble(parts)
    found, made = read_contents(parts.out, open_bundle(parts.out).manifest), parts.contents
    assert (found.dataset, found.chain, found.verification) == (made.dataset, made.chain, made.verification)
    assert (found.measurement, found.link_measurements) == (made.measurement, made.link_measurements)
    assert (found.build.steps, found.build.data_name) == (parts.ctx.times.taken, "ears")


def test_versions_name_what_is_installed_and_leave_out_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weckd_edge.core.fingerprint.LIBRARIES", {"numpy": "numpy", "nobodys": "a_library_nobody_has"})
    found = library_versions()
    assert list(found) == ["weckd-edge", "python", "numpy"]
    assert found["numpy"] == np.__version__


def test_paths_of_weights_are_not_written(tmp_path: Path) -> None:
    secret = str(Path("/") / "home" / "somebody" / "clinic")
    links = (
        LinkConfig(model="resnet10t", weights=f"{secret}/large.safetensors"),
        LinkConfig(model="resnet10t"),
    )
    parts = make_parts(tmp_path, link=links)
    assemble(parts)
    config = json.loads(json.loads((parts.out / "evidence/build.json").read_text())["config"])
    assert [entry["weights"] for entry in config["link"]] == ["large.safetensors", None]
    assert parts.ctx.config.link == links, "the settings themselves are as they were"
    for path in parts.out.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
            assert str(tmp_path).encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("bars", "failed"),
    [
        ({"max_latency_p90_ms": 0.5}, "max_latency_p90_ms"),
        ({"max_memory_mib": 50.0}, "max_memory_mib"),
        ({"max_size_mib": 1.0}, "max_size_mib"),
        ({"min_accuracy": 0.95}, "min_accuracy"),
    ],
)
def test_a_failed_gate_makes_a_whole_bundle_that_has_not_passed(tmp_path: Path, bars: dict[str, float], failed: str) -> None:
    parts = make_parts(tmp_path, decided="000111220", gates=replace(NO_LIMITS, **bars))
    manifest = assemble(parts)
    assert manifest.passed is False
    assert [name for name, verdict in verdicts(manifest).items() if verdict == "FAIL"] == [failed]
    assert open_bundle(parts.out).manifest.passed is False


def test_lost_accuracy_fails(tmp_path: Path) -> None:
    parts = make_parts(tmp_path, decided="000111220", gates=replace(NO_LIMITS, max_accuracy_drop=0.05))
    right = [replace(p, fp32=answer(p.label)) for p in parts.contents.verification.predictions]
    manifest = assemble(parts.holding(verification=factories.verification(right, LABELS, parity=(parity(),))))
    assert verdicts(manifest)["max_accuracy_drop"] == "FAIL"
    assert not manifest.passed


def test_implementations_that_differ_fail(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    differing = replace(parts.contents.verification, parity=(parity(0.01), parity(0.3)))
    manifest = assemble(parts.holding(verification=differing))
    assert verdicts(manifest)["parity"] == "FAIL"
    assert not manifest.passed


def test_a_limit_that_cannot_be_evaluated_here_does_not_fail(tmp_path: Path) -> None:
    manifest = assemble(make_parts(tmp_path, target="jetson", gates=replace(NO_LIMITS, max_latency_p90_ms=0.5)))
    assert verdicts(manifest)["max_latency_p90_ms"] == verdicts(manifest)["max_memory_mib"] == "INCONCLUSIVE"
    assert manifest.passed is True


def gate(manifest: Manifest, name: str) -> Gate:
    return next(g for g in manifest.gates if g.name == name)


def test_the_profiles_limits_hold_where_the_build_sets_none(tmp_path: Path) -> None:
    manifest = assemble(make_parts(tmp_path, gates=GateConfig(max_memory_mib=7.0)))
    assert gate(manifest, "max_latency_p90_ms").limit == load_profile("generic-x86").gates.max_latency_p90_ms
    assert gate(manifest, "max_memory_mib").limit == 7.0


def test_size_is_that_of_what_the_device_loads(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    bars = replace(NO_LIMITS, max_size_mib=2.0)
    assert gate(assemble(make_parts(tmp_path / "a", gates=bars)), "max_size_mib").value == ((1 << 20) + 100) / 2**20
    on_jetson = assemble(make_parts(tmp_path / "b", target="jetson", gates=bars))
    assert gate(on_jetson, "max_size_mib").value == len(b"a graph") / 2**20, "the engine is made of the graph alone"


def test_the_bench_of_what_is_deployed_is_evaluated_and_not_that_of_a_link(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    slow = factories.latency([900_000_000] * 64)
    link_bench = replace(MEASUREMENT, link="M1", precision="fp32", end_to_end=slow)
    manifest = assemble(parts.holding(link_measurements=(link_bench,)))
    assert gate(manifest, "max_latency_p90_ms").value == 1.0
