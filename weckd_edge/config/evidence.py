"""What is looked for in the data, and what is told of the model."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields

from weckd_edge.config.base import check


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbesConfig:
    """The probes of the data set: leaks, shortcuts and doubtful labels.

    Attributes:
        enabled: Whether a build makes them.
        images: At most so many images are described; of more, a sample of whole groups.
        masked_images: At most so many of them are also described under every mask.
        discs: Diameters of the centred discs that are covered, and left alone, in parts of the picture's side; rising.
        masks: A folder of masks, relative to the config file, named as the images (``label/name.png``): what is brighter
            than black holds the clinical content. A CSV's column ``box`` (left top right bottom, pixels) serves too.
        source: The CSV's column that names where an image comes from; None takes ``source``, ``site``, ``hospital`` or
            ``device``, where there is one.
    """

    enabled: bool = True
    images: int = 4000
    masked_images: int = 400
    discs: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
    masks: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        for name in ("images", "masked_images"):
            check(getattr(self, name) >= 16, f"{name} = {getattr(self, name)}: expected at least 16")
        check(
            all(0 < part <= 1.2 for part in self.discs) and list(self.discs) == sorted(set(self.discs)),
            f"discs = {list(self.discs)}: expected rising diameters over 0 and at most 1.2",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BandConfig:
    """Where a column of numbers is cut into slices.

    Attributes:
        column: Of the data CSV, such as ``age``.
        edges: Rising; a number on an edge belongs to the band above it.
    """

    column: str
    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in itertools.pairwise(self.edges))
        check(bool(self.edges) and rising, f"edges = {list(self.edges)}: expected at least one number, rising")


@dataclass(frozen=True, kw_only=True, slots=True)
class PrevalenceConfig:
    """How frequent a class is where the device will be used.

    Attributes:
        label: The class.
        share: Of all examined, over 0 and under 1.
    """

    label: str
    share: float

    def __post_init__(self) -> None:
        check(0 < self.share < 1, f"share = {self.share}: expected over 0 and under 1 (0.2 for 20 %)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportConfig:
    """What the report shows.

    Attributes:
        sample_frames: How many test frames to picture with their answers; 0 keeps every image out of the bundle's report.
        slices: Columns of the data CSV whose values are judged apart, such as ``["site", "age"]``; None: every further
            column with 2 to 20 values, and columns of numbers.
        bands: Where columns of numbers are cut; others are cut at their terciles.
        prevalence: Of every class, in the clinic, for predictive values there; empty: only those of the test images' own
            mix are given.
    """

    sample_frames: int = 12
    slices: tuple[str, ...] | None = None
    bands: tuple[BandConfig, ...] = ()
    prevalence: tuple[PrevalenceConfig, ...] = ()

    def __post_init__(self) -> None:
        check(0 <= self.sample_frames <= 200, f"sample_frames = {self.sample_frames}: expected 0 to 200")
        for name, named in (("slices", self.slices or ()), ("bands", tuple(band.column for band in self.bands))):
            check(len(set(named)) == len(named), f"{name} = {list(named)}: names a column twice")
        total = sum(entry.share for entry in self.prevalence)
        check(
            not self.prevalence or abs(total - 1) < 1e-6,
            f"prevalence: the shares add up to {total:g}, expected 1; name every class once",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class CardConfig:
    """What only the builder can say of the model; it is written into the model card and the bill of materials as it is.

    What is left out stands there as "not stated by the builder".

    Attributes:
        owner: Who answers for the model.
        contact: Where to ask, such as a mail address.
        licence: Of the model itself.
        intended_use: What it is made for.
        intended_users: By whom it is to be used.
        out_of_scope: What it is not made for, one entry each.
        data_origin: Where the images are from: sites, devices, years, how they were labelled.
        data_owner: Who holds the images.
        data_licence: Under which terms they may be used.
        ethical: What was weighed: consent, privacy, who could be harmed and how.
        caveats: What else a user must know, one entry each.
    """

    owner: str | None = None
    contact: str | None = None
    licence: str | None = None
    intended_use: str | None = None
    intended_users: str | None = None
    out_of_scope: tuple[str, ...] = ()
    data_origin: str | None = None
    data_owner: str | None = None
    data_licence: str | None = None
    ethical: str | None = None
    caveats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            texts = value if isinstance(value, tuple) else () if value is None else (value,)
            check(all(text.strip() for text in texts), f"{item.name}: expected some words, got none; leave it out instead")
