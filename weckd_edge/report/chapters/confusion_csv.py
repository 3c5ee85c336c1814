"""The confusion matrix as CSV, to be read by a table program or a script."""

from __future__ import annotations

import base64
import csv
import io

from weckd_edge.artifacts import Manifest, Verification
from weckd_edge.report.chapters.verdicts import confusion

CORNER = "true label"
ABSTAINED = "abstained"
"""Heading of the column that counts images without a decision."""


def confusion_csv(verification: Verification, manifest: Manifest) -> str:
    """Return how the deployed model decides the test images, as CSV text.

    A line is a true label and a column is a decision, in the order of the manifest's labels. Where the operating point lets
    the model abstain, a last column counts the images without a decision. The cells add up to the test images.
    """
    labels, point = manifest.labels, manifest.operating_point
    counts, abstained = confusion(
        verification.predictions, len(labels), point.confidence_threshold, point.non_gradeable_labels, labels
    )
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow([CORNER, *labels, *([ABSTAINED] if point.abstains else [])])
    for label, row, without in zip(labels, counts, abstained, strict=True):
        table.writerow([label, *row, *([without] if point.abstains else [])])
    return written.getvalue()


def csv_url(text: str) -> str:
    """Return CSV text as a ``data:`` URL, so that a page can offer it and needs no file beside it."""
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(text.encode()).decode()
