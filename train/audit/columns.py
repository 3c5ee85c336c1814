"""Read a CSV's further columns: the source of each image, and the box that holds the evidence of its label."""

from __future__ import annotations

from collections.abc import Mapping

from weckd_edge.artifacts import DatasetIndex
from weckd_edge.core.errors import DataError, did_you_mean
from weckd_edge.train.audit.masking.masks import Box

SOURCE_COLUMNS = ("source", "site", "hospital", "device")
"""Names of columns that hold the source of an image; the first that is present is taken."""

BOX_COLUMN = "box"


def index_columns(index: DatasetIndex) -> dict[str, dict[str, str]]:
    """Return every further column of a data set: by column, each image's cell by its path."""
    found: dict[str, dict[str, str]] = {}
    for record in index.images:
        for attribute in record.attributes:
            found.setdefault(attribute.column, {})[record.path] = attribute.value
    return found


def choose_source(columns: Mapping[str, Mapping[str, str]], requested: str | None) -> str | None:
    """Return the column that names the source; None where there is none.

    Raises:
        DataError: The column that was asked for does not exist.
    """
    if requested is not None:
        if requested.lower() not in columns:
            known = did_you_mean(requested, columns) if columns else "; it has none, and a folder of images never has one"
            raise DataError(
                f"audit.source_column: expected a CSV with a further column '{requested}'{known}", code="E_DATA_COLUMN"
            )
        return requested.lower()
    return next((name for name in SOURCE_COLUMNS if name in columns), None)


def read_boxes(values: Mapping[str, str]) -> dict[str, Box]:
    """Read cells such as ``40 32 200 180`` (left top right bottom, pixels); empty ones are left out.

    Raises:
        DataError: A cell holds something else.
    """
    boxes = {}
    for path, text in values.items():
        parts = text.replace(",", " ").split()
        if not parts:
            continue
        if len(parts) != 4 or not all(part.isdecimal() for part in parts):
            raise DataError(
                f"{path}: expected its box as left top right bottom in pixels, such as 40 32 200 180, got '{text}'",
                code="E_DATA_BOX",
            )
        left, top, right, bottom = (int(part) for part in parts)
        boxes[path] = Box(left=left, top=top, right=right, bottom=bottom)
    return boxes
