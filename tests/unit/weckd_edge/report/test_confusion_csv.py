"""The confusion matrix as CSV: every test image once, abstentions apart, in the bundle and on its report."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from support.bundles.reports import small_contents, small_manifest
from weckd_edge.artifacts import OperatingPoint
from weckd_edge.report import BundleContents, write_documents, write_evidence, write_report
from weckd_edge.report.chapters.confusion_csv import confusion_csv

pytest.importorskip("jinja2")
pytest.importorskip("cyclonedx")


def contents_at(point: OperatingPoint) -> BundleContents:
    return small_contents(small_manifest(operating_point=point))


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def counted(contents: BundleContents, threshold: float, refused: tuple[str, ...] = ()) -> Counter[tuple[str, str]]:
    """Count true labels and decisions, from the definition."""
    labels = contents.manifest.labels
    found: Counter[tuple[str, str]] = Counter()
    for one in contents.verification.predictions:
        decided = labels[max(range(len(labels)), key=lambda c: one.compiled[c])]
        unable = max(one.compiled) < threshold or decided in refused
        found[labels[one.label], "abstained" if unable else decided] += 1
    return found


@pytest.mark.parametrize(
    ("threshold", "refused", "header"),
    [
        (0.0, (), ["true label", "effusion", "normal", "wax"]),
        (0.9, (), ["true label", "effusion", "normal", "wax", "abstained"]),
        (0.0, ("wax",), ["true label", "effusion", "normal", "wax", "abstained"]),
    ],
)
def test_each_cell_counts_the_test_images_of_a_label_with_a_decision(
    threshold: float, refused: tuple[str, ...], header: list[str]
) -> None:
    contents = contents_at(OperatingPoint(confidence_threshold=threshold, non_gradeable_labels=refused))
    first, *rows = table(confusion_csv(contents.verification, contents.manifest))
    assert first == header
    assert [row[0] for row in rows] == list(contents.manifest.labels)
    cells = {(row[0], name): int(cell) for row in rows for name, cell in zip(header[1:], row[1:], strict=True)}
    assert Counter({at: count for at, count in cells.items() if count}) == counted(contents, threshold, refused)
    assert sum(cells.values()) == len(contents.verification.predictions) > 0
    assert ("abstained" in header) == any(name == "abstained" for _, name in counted(contents, threshold, refused))


def test_a_label_with_commas_quotes_and_letters_of_any_alphabet_stays_one_cell() -> None:
    contents = contents_at(OperatingPoint())
    labels = ('wax, "hard"', "normal", "ötitis")
    manifest = replace(contents.manifest, labels=labels)
    first, *rows = table(confusion_csv(contents.verification, manifest))
    assert first[1:] == [row[0] for row in rows] == list(labels)


def test_the_bundle_holds_it_and_the_report_offers_the_same_bytes(tmp_path: Path) -> None:
    contents = contents_at(OperatingPoint(confidence_threshold=0.9))
    write_evidence(tmp_path, contents)
    write_documents(tmp_path, contents)
    write_report(contents, tmp_path / "report.html")
    written = (tmp_path / "evidence/confusion_matrix.csv").read_bytes()
    assert written.decode() == confusion_csv(contents.verification, contents.manifest)
    (offered,) = re.findall(
        r'href="data:text/csv;charset=utf-8;base64,([^"]+)" download="confusion_matrix.csv"',
        (tmp_path / "report.html").read_text(),
    )
    assert base64.b64decode(offered) == written
