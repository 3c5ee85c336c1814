"""Settings ``[report]``: contents of the report."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from weckd_edge.config.base import check_setting


@dataclass(frozen=True, kw_only=True, slots=True)
class BandConfig:
    """Edges at which a numeric CSV column is cut into slices.

    Attributes:
        column: Name of the column in the data CSV, such as ``age``.
        edges: Edges of the bands, rising; a number on an edge belongs to the band above it.
    """

    column: str
    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in itertools.pairwise(self.edges))
        check_setting(bool(self.edges) and rising, f"edges = {list(self.edges)}: expected at least one number, rising")


@dataclass(frozen=True, kw_only=True, slots=True)
class PrevalenceConfig:
    """Prevalence of a class where the device will be used.

    Attributes:
        label: Name of the class.
        fraction: Fraction of all examined patients, over 0 and under 1.
    """

    label: str
    fraction: float

    def __post_init__(self) -> None:
        check_setting(0 < self.fraction < 1, f"fraction = {self.fraction}: expected over 0 and under 1 (0.2 for 20 %)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportConfig:
    """Contents of the report.

    Attributes:
        sample_frames: Number of test frames that are shown with their predictions, 0 to 200; 0 keeps every image out of the
            report.
        slices: Columns of the data CSV whose values are evaluated separately, such as ``["site", "age"]``. None: every
            further column with 2 to 20 values, and numeric columns.
        bands: Edges at which numeric columns are cut; other numeric columns are cut at their terciles.
        prevalence: Prevalence of every class in the clinic, adding up to 1, for predictive values there. Empty gives
            predictive values for the class mix of the test images alone.
    """

    sample_frames: int = 12
    slices: tuple[str, ...] | None = None
    bands: tuple[BandConfig, ...] = ()
    prevalence: tuple[PrevalenceConfig, ...] = ()

    def __post_init__(self) -> None:
        check_setting(0 <= self.sample_frames <= 200, f"sample_frames = {self.sample_frames}: expected 0 to 200")
        for name, named in (("slices", self.slices or ()), ("bands", tuple(band.column for band in self.bands))):
            check_setting(
                len(set(named)) == len(named), f"{name} = {list(named)}: names a column twice", code="E_CONFIG_CONFLICT"
            )
        total = sum(entry.fraction for entry in self.prevalence)
        check_setting(
            not self.prevalence or abs(total - 1) < 1e-6,
            f"prevalence: the fractions add up to {total:g}, expected 1; name every class once",
        )
