"""Slices: images that share a value of a column of the data CSV, such as a site, a device or a band of age."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from weckd_edge.artifacts import DatasetIndex, ImageRecord
from weckd_edge.config import ReportConfig
from weckd_edge.core.errors import ConfigError, did_you_mean

MAX_VALUES = 20
"""Largest number of different texts in a column that is cut into slices without being asked for."""

UNKNOWN = "not given"
"""Value of an image whose cell in the column is empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SliceCut:
    """One value of one column, and the images that have it.

    Attributes:
        column: Name of the column.
        value: Value of the column, or a band of numbers.
        paths: Paths of the images.
    """

    column: str
    value: str
    paths: frozenset[str]


def check_report(config: ReportConfig, index: DatasetIndex) -> None:
    """Raise an error where the settings name slices or prevalences that the data set does not have.

    Raises:
        ConfigError: A column or a class is not there, has too many values, or is not made of numbers; or a column has bands
            and is not cut.
    """
    columns = slice_columns(index)
    for column in (*(config.slices or ()), *(band.column for band in config.bands)):
        if column not in columns:
            raise ConfigError(
                f"report: the data set has no column '{column}' beside path, label, group and split"
                + (did_you_mean(column, columns) if columns else "; only a CSV has further columns"),
                code="E_CONFIG_COLUMN",
            )
    for column in config.slices or ():
        values = _values(index, column)
        if len(values) > MAX_VALUES and _numbers(values) is None:
            raise ConfigError(
                f"report.slices: column '{column}' holds {len(values)} different texts, expected at most {MAX_VALUES}; "
                "merge some values, or remove the column from report.slices",
                code="E_CONFIG_COLUMN",
            )
    for band in config.bands:
        if config.slices is not None and band.column not in config.slices:
            raise ConfigError(
                f"report.bands: column '{band.column}' is not cut, as report.slices does not name it; add it to "
                "report.slices, or leave its bands out",
                code="E_CONFIG_CONFLICT",
            )
        if _numbers(_values(index, band.column)) is None:
            raise ConfigError(
                f"report.bands: column '{band.column}' holds texts, expected numbers to cut", code="E_CONFIG_COLUMN"
            )
    stated = [entry.label for entry in config.prevalence]
    if stated and sorted(stated) != sorted(index.labels):
        raise ConfigError(
            f"report.prevalence: expected each of the classes {', '.join(index.labels)} once, got {', '.join(stated)}",
            code="E_CONFIG_CLASSES",
        )


def cut_slices(config: ReportConfig, index: DatasetIndex) -> tuple[tuple[SliceCut, ...], tuple[str, ...]]:
    """Return the slices of a whole data set by column and value, and notes on columns that are not cut.

    A column of numbers with more than ``MAX_VALUES`` of them, or one with bands, is cut into bands: at the edges that were
    given, else at the terciles of all images, so that every split has the same bands.
    """
    columns, notes = slice_columns(index), []
    if not columns:
        return (), ("no slices: the data set names nothing beside label, group and split (a CSV may have further columns)",)
    if config.slices == ():
        return (), ("no slices: report.slices is empty",)
    edges = {band.column: band.edges for band in config.bands}
    cuts: list[SliceCut] = []
    for column in columns if config.slices is None else config.slices:
        values = _values(index, column)
        numbers = _numbers(values)
        if numbers is not None and (column in edges or len(values) > MAX_VALUES):
            cuts += _bands(index, column, edges.get(column) or terciles(index, column))
        elif len(values) > MAX_VALUES:
            notes.append(f"column '{column}' was not cut into slices: {len(values)} different values")
        elif len(values) < 2:
            only = next(iter(values), UNKNOWN)
            notes.append(f"column '{column}' was not cut into slices: every image says '{only}'")
        else:
            cuts += _by(index, column, lambda record, column=column: value_of(record, column), sorted(values))  # type: ignore[misc]
    return tuple(cuts), tuple(notes)


def slice_columns(index: DatasetIndex) -> tuple[str, ...]:
    """Return the names of the further columns of a data set, sorted."""
    return tuple(sorted({attribute.column for record in index.images for attribute in record.attributes}))


def value_of(record: ImageRecord, column: str) -> str:
    """Return an image's value in a column."""
    return next((a.value for a in record.attributes if a.column == column and a.value), UNKNOWN)


def terciles(index: DatasetIndex, column: str) -> tuple[float, ...]:
    """Return the two numbers that cut a numeric column into three parts with about as many images."""
    numbers = [number for record in index.images if (number := _number(value_of(record, column))) is not None]
    return tuple(sorted({float(edge) for edge in np.quantile(numbers, (1 / 3, 2 / 3), method="nearest")}))


def _values(index: DatasetIndex, column: str) -> set[str]:
    return {value_of(record, column) for record in index.images}


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _numbers(values: set[str]) -> list[float] | None:
    found = [_number(value) for value in values if value != UNKNOWN]
    known = [number for number in found if number is not None]
    return known if known and len(known) == len(found) else None


def _bands(index: DatasetIndex, column: str, edges: Sequence[float]) -> list[SliceCut]:
    names = [f"under {edges[0]:g}"]
    names += [f"{low:g} to under {high:g}" for low, high in itertools.pairwise(edges)]
    names += [f"{edges[-1]:g} and over"]

    def band(record: ImageRecord) -> str:
        number = _number(value_of(record, column))
        return UNKNOWN if number is None else names[int(np.searchsorted(edges, number, side="right"))]

    return _by(index, column, band, [*names, UNKNOWN])


def _by(index: DatasetIndex, column: str, key: Callable[[ImageRecord], str], order: Sequence[str]) -> list[SliceCut]:
    found: dict[str, set[str]] = {}
    for record in index.images:
        found.setdefault(key(record), set()).add(record.path)
    return [SliceCut(column=column, value=value, paths=frozenset(found[value])) for value in order if value in found]
