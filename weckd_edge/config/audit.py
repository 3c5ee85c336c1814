"""Settings ``[audit]``: the data audit."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.config.base import check_setting, path_field


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditConfig:
    """The data audit: leaks, shortcuts and label errors.

    Attributes:
        enabled: Whether a build audits its data.
        images: Largest number of images that are embedded, at least 16; of more, a sample of whole groups is taken.
        masked_images: Largest number of images that are also embedded under every mask, at least 16.
        discs: Diameters of the centred discs that are covered or shown alone, as fractions of the image's side, over 0 and
            at most 1.2, rising.
        masks: Folder of masks, relative to the configuration file, named like the images (``label/name.png``). Pixels
            brighter than black mark the clinical content. A CSV column ``box`` (left top right bottom, pixels) works too.
        source_column: CSV column that names the source of an image. None takes ``source``, ``site``, ``hospital`` or
            ``device``, where there is one.
    """

    enabled: bool = True
    images: int = 4000
    masked_images: int = 400
    discs: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
    masks: str | None = path_field(default=None)
    source_column: str | None = None

    def __post_init__(self) -> None:
        for name in ("images", "masked_images"):
            check_setting(getattr(self, name) >= 16, f"{name} = {getattr(self, name)}: expected at least 16")
        check_setting(
            all(0 < part <= 1.2 for part in self.discs) and list(self.discs) == sorted(set(self.discs)),
            f"discs = {list(self.discs)}: expected rising diameters over 0 and at most 1.2",
        )
