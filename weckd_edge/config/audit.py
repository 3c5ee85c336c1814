"""What the data audit looks for."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.config.base import check_setting, path_field


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditConfig:
    """The probes of the data set: leaks, shortcuts and doubtful labels.

    Attributes:
        enabled: Whether a build makes them.
        images: At most so many images are described; of more, a sample of whole groups.
        masked_images: At most so many of them are also described under every mask.
        discs: Diameters of the centred discs that are covered, and left alone, in parts of the picture's side; rising.
        masks: A folder of masks, relative to the config file, named as the images (``label/name.png``): what is brighter
            than black holds the clinical content. A CSV's column ``box`` (left top right bottom, pixels) serves too.
        source_column: The CSV's column that names where an image comes from; None takes ``source``, ``site``, ``hospital`` or
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
