"""Which link of the chain is deployed."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.config.base import check_setting, path_field


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectConfig:
    """Which link of the chain is deployed.

    Attributes:
        link: ``smallest``: every link is quantized, compiled, timed and evaluated on validation images; the smallest that
            meets every limit is deployed. Else ``last``, or a link's name such as ``M2``, and no other is compiled.
        measurements: File that ``weckd-edge estimate --calibrate`` wrote on the device, relative to the configuration file.
            Where the build does not run on the device, latencies are estimated from it.
    """

    link: str = "smallest"
    measurements: str | None = path_field(default=None)

    def __post_init__(self) -> None:
        named = self.link[:1] == "M" and self.link[1:].isdecimal() and len(self.link) <= 4
        check_setting(
            named or self.link in ("smallest", "last"),
            f"link = '{self.link}': expected smallest, last, or such as M2",
            code="E_CONFIG_CHOICE",
        )
