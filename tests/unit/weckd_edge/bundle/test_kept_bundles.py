"""Bundles of each format, kept as they were made: whatever reads bundles must go on reading them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from weckd_edge.bundle.reader import open_bundle
from weckd_edge.core.store import SCHEMA_VERSION
from weckd_edge.devices.runtime.verify_bundle import verify_bundle

FIXTURES = Path(__file__).parents[3] / "fixtures"
KEPT = sorted(path.name for path in FIXTURES.glob("bundle-v*") if path.is_dir())


@pytest.fixture(params=KEPT)
def kept(request: pytest.FixtureRequest) -> Path:
    return FIXTURES / request.param


def test_a_bundle_of_every_format_is_kept() -> None:
    assert [f"bundle-v{version}" for version in range(1, SCHEMA_VERSION + 1)] == KEPT


def test_its_signature_its_files_and_its_self_test_hold(kept: Path) -> None:
    pytest.importorskip("cryptography")
    pytest.importorskip("onnxruntime")
    found = verify_bundle(kept, key=kept.with_suffix(".pub"), min_version=3)
    assert (found.signature, found.digests_ok, found.passed) == ("valid", True, True)


def test_it_predicts_an_image(kept: Path, tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    pytest.importorskip("onnxruntime")
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (8, 8), (200, 40, 40)).save(tmp_path / "a.png")
    code, out, err = run("predict", kept, tmp_path / "a.png", "--backend", "onnxruntime", "--json")
    assert code == 0, err
    (answer,) = json.loads(out)["images"]
    assert set(answer["probabilities"]) == set(open_bundle(kept).manifest.labels)


def test_its_report_is_written_again(kept: Path, tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    pytest.importorskip("jinja2")
    code, _, err = run("report", kept, "--out", tmp_path / "report.html")
    assert code == 0, err
    assert open_bundle(kept).manifest.name in (tmp_path / "report.html").read_text()


def test_it_is_compared_with_a_bundle_of_today(kept: Path) -> None:
    pytest.importorskip("scipy")
    from weckd_edge.report.diff.compare import compare_bundles

    found = compare_bundles(kept, kept)
    assert found.unknown == ()
    assert found.results is not None
