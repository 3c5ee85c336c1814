"""The report and the model card of a small bundle, as they were read and found right."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support.bundles.reports import small_contents
from support.goldens import FOLDER
from weckd_edge.report import write_documents, write_evidence, write_report

pytest.importorskip("jinja2")
pytest.importorskip("cyclonedx")
pytest.importorskip("scipy")
pytest.importorskip("onnxruntime")


def body_of(html: str) -> str:
    """The page's own part, each opening tag on a line of its own; pictures are named and not drawn."""
    main = html.split("<main")[1].split("</main>")[0]
    main = re.sub(r"<svg.*?</svg>", "<svg/>", main, flags=re.DOTALL)
    main = re.sub(r"data:[a-z/+]+;base64,[^\"]+", "data:", main)
    words = re.sub(r"\s+", " ", "<main" + main)
    return re.sub(r" ?(<[^/])", r"\n\1", words).strip() + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    contents = small_contents()
    write_evidence(folder, contents)
    write_report(contents, folder / "report.html")
    write_documents(folder, contents)
    return folder


def test_the_report_reads_as_its_golden(folder: Path, golden: Callable[[Path, str], None]) -> None:
    golden(FOLDER / "report.html", body_of((folder / "report.html").read_text()))


def test_the_model_card_reads_as_its_golden(folder: Path, golden: Callable[[Path, str], None]) -> None:
    golden(FOLDER / "model_card.md", (folder / "evidence/model_card.md").read_text())
