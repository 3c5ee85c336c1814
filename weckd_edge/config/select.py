"""Settings ``[select]``: which link of the chain is deployed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from weckd_edge.config.base import check_setting, path_field


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectConfig:
    """Selection of the link that is deployed.

    Attributes:
        link: ``smallest`` deploys the smallest link that meets every limit: it quantizes, compiles, times and evaluates the
            last link on validation images, and the ones before it only until one meets the limits. ``last``, or a link's
            name such as ``M2``, deploys that link; no other is compiled.
        compare: Whether ``smallest`` evaluates every link, so that the report compares them all.
        measurements: File that ``weckd-edge estimate --calibrate`` wrote on the device, relative to the configuration file.
            A build on another machine estimates the device's latencies from it. None: no estimates from measurements of the
            device.
    """

    link: str = "smallest"
    compare: bool = False
    measurements: str | None = path_field(default=None)

    def __post_init__(self) -> None:
        check_setting(
            re.fullmatch("smallest|last|M[1-9][0-9]{0,2}", self.link) is not None,
            f"link = '{self.link}': expected smallest, last, or such as M2",
            code="E_CONFIG_CHOICE",
        )
        check_setting(
            self.link == "smallest" or not self.compare,
            f"compare = true: compares links where link = 'smallest', and link is '{self.link}'",
            code="E_CONFIG_CONFLICT",
        )
