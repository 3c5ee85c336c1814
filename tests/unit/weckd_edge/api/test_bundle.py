"""A bundle is loaded, says what it is, and proves it."""

import json
import platform
from dataclasses import replace
from pathlib import Path

import pytest

import weckd_edge
from support import factories
from support.errors import raises
from weckd_edge.bundle.writer import seal
from weckd_edge.cli.main import cli
from weckd_edge.core.errors import BundleError, ConfigError, DeviceError

pytest.importorskip("onnxruntime")


def test_a_loaded_bundle_says_what_its_manifest_holds(here: Path) -> None:
    bundle = weckd_edge.load("ear-bundle")
    assert bundle.path == Path("ear-bundle")
    assert bundle.labels == ("effusion", "normal", "wax")
    assert (bundle.input.frame.height, bundle.input.frame.width) == (8, 8)
    assert (bundle.name, bundle.target, bundle.device, bundle.version) == ("ears", "cpu", "generic-x86", 3)
    assert [gate.name for gate in bundle.gates] == ["max_latency_p90_ms"]
    assert bundle.passed
    assert bundle.signature == "unchecked"
    assert "ears" in repr(bundle)


def test_metrics_and_evidence_are_read_from_the_bundle(here: Path) -> None:
    bundle = weckd_edge.load(here / "ear-bundle")
    assert bundle.metrics is not None
    assert bundle.metrics.compiled.accuracy.images == 12
    assert bundle.contents.metrics is bundle.metrics
    assert bundle.contents.chain.links
    assert bundle.report is None  # the kept bundle has no report


def test_a_report_is_a_path_in_the_bundle(here: Path) -> None:
    folder = here / "ear-bundle"
    manifest = weckd_edge.load(folder).manifest
    (folder / "evidence/report.html").write_text("<!doctype html>")
    (folder / "signature").unlink()
    seal(folder, manifest)
    assert weckd_edge.load(folder).report == folder / "evidence/report.html"


def test_the_owners_key_is_checked(here: Path) -> None:
    pytest.importorskip("model_signing")
    bundle = weckd_edge.load("ear-bundle", key="owner.pub")
    assert bundle.signature == "valid"
    assert bundle.verify().signature == "valid"


def test_an_unsigned_bundle_is_refused_with_a_key_and_loaded_without_one(here: Path) -> None:
    pytest.importorskip("model_signing")
    (here / "ear-bundle/signature").unlink()
    with raises(BundleError, "E_BUNDLE_UNSIGNED", says="owner.pub"):
        weckd_edge.load("ear-bundle", key="owner.pub")
    assert weckd_edge.load("ear-bundle").signature == "unsigned"


def test_a_key_that_is_missing_is_refused(here: Path) -> None:
    pytest.importorskip("model_signing")
    with raises(ConfigError, "E_FILE_MISSING", says="other.pub"):
        weckd_edge.load("ear-bundle", key="other.pub")


def test_a_folder_that_is_missing_or_no_bundle_is_refused(here: Path) -> None:
    with raises(BundleError, "E_BUNDLE_NO_MANIFEST", "E_BUNDLE_IO", says="no-such-bundle"):
        weckd_edge.load("no-such-bundle")
    with raises(BundleError, "E_BUNDLE_NO_MANIFEST", says="pictures"):
        weckd_edge.load("pictures")


def test_a_changed_file_is_refused(here: Path) -> None:
    file = here / "ear-bundle/model/model.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with raises(BundleError, "E_BUNDLE_DIGEST", says="model/model.onnx"):
        weckd_edge.load("ear-bundle")


def test_an_older_version_than_the_smallest_is_refused(here: Path) -> None:
    assert weckd_edge.load("ear-bundle", min_version=3).version == 3
    with raises(BundleError, "E_BUNDLE_ROLLBACK", says=("4", "3")):
        weckd_edge.load("ear-bundle", min_version=4)


def test_verify_checks_anew_what_lies_on_disk(here: Path) -> None:
    bundle = weckd_edge.load("ear-bundle")
    found = bundle.verify()
    assert found.passed
    assert {test.backend for test in found.selftest if test.passed} >= {"onnxruntime"}
    (here / "ear-bundle/evidence/chain.json").write_text("{}")
    again = bundle.verify()
    assert (again.passed, again.code) == (False, "E_BUNDLE_DIGEST")


def test_a_bench_measures_as_many_queries_as_are_asked_for_and_keeps_them(here: Path) -> None:
    settings = weckd_edge.BenchSettings(queries=64, warmup=0)
    found = weckd_edge.load("ear-bundle").bench(settings, backend="onnxruntime", power="none", out="bench")
    assert len(found.end_to_end.samples_ns) == 64
    assert found.backend == "onnxruntime"
    assert (here / "bench/bench.html").is_file()


def test_a_bench_is_never_kept_in_a_bundle(here: Path) -> None:
    bundle = weckd_edge.load("ear-bundle")
    with raises(ConfigError, "E_CONFIG_OUT_PLACE", says="ear-bundle"):
        bundle.bench(out="ear-bundle/bench")
    assert weckd_edge.load("ear-bundle").verify().passed


def test_an_unknown_power_source_or_rule_is_refused(here: Path) -> None:
    bundle = weckd_edge.load("ear-bundle")
    with raises(ConfigError, "E_CONFIG_CHOICE", says="'solar'"):
        bundle.bench(power="solar")
    with raises(ConfigError, "E_CONFIG_CHOICE", says="'slow'"):
        bundle.bench(weckd_edge.BenchSettings(rules="slow"), power="none")


def test_an_unknown_backend_or_too_few_threads_are_refused(here: Path) -> None:
    bundle = weckd_edge.load("ear-bundle")
    with raises(ConfigError, "E_CONFIG_CHOICE", says="'onnxruntime'"):
        bundle.open("onnxruntim")
    with raises(ConfigError, "E_CONFIG_RANGE", says="0"):
        bundle.open("onnxruntime", threads=0)
    with raises(DeviceError, "E_DEVICE_NO_ENGINE", "E_DEVICE_BACKEND"):
        bundle.open("tensorrt")


def test_a_model_runs_the_bytes_that_were_checked_whatever_becomes_of_the_files(here: Path) -> None:
    bundle = weckd_edge.load("ear-bundle")
    with bundle.open("onnxruntime") as model:
        before = model.predict("eardrum.png")
    (here / "ear-bundle/model/model.onnx").write_bytes(b"changed")
    with bundle.open("onnxruntime") as model:
        assert model.predict("eardrum.png") == before


def with_limit(here: Path, milliseconds: float) -> weckd_edge.Bundle:
    """The bundle with another limit of latency, unsigned."""
    folder = here / "ear-bundle"
    manifest = weckd_edge.load(folder).manifest
    gates = tuple(replace(gate, limit=milliseconds, verdict="INCONCLUSIVE", value=None) for gate in manifest.gates)
    (folder / "signature").unlink()
    seal(folder, replace(manifest, gates=gates))
    return weckd_edge.load(folder)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the bundle is for x86")
@pytest.mark.parametrize(("milliseconds", "verdict", "code"), [(1e-6, "FAIL", 3), (1e4, "PASS", 0)])
def test_a_bench_on_its_device_judges_the_bundles_limits(
    here: Path, capsys: pytest.CaptureFixture[str], milliseconds: float, verdict: str, code: int
) -> None:
    bundle = with_limit(here, milliseconds)
    settings = weckd_edge.BenchSettings(queries=700, warmup=0)
    (gate,) = bundle.judge(bundle.bench(settings, power="none"))
    assert (gate.name, gate.limit) == ("max_latency_p90_ms", milliseconds)
    assert gate.verdict == verdict
    assert cli(["bench", "ear-bundle", "--queries", "700", "--power", "none", "-q"], standalone_mode=False) == code
    assert verdict in capsys.readouterr().out
    line = ["bench", "ear-bundle", "--queries", "700", "--power", "none", "-q", "--json"]
    assert cli(line, standalone_mode=False) == code
    assert [one["verdict"] for one in json.loads(capsys.readouterr().out)["gates"]] == [verdict]


def test_a_bench_is_judged_by_the_profile_that_the_bundle_was_built_for(here: Path) -> None:
    (here / "mine.toml").write_text('extends = "generic-x86"\nid = "mine"\nname = "Mine"\n', encoding="utf-8")
    bundle = weckd_edge.load("ear-bundle")
    with raises(ConfigError, "E_CONFIG_CHOICE", says="generic-x86"):
        bundle.judge(factories.measurement(), device="mine.toml")
