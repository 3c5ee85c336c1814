"""Settings ``[[link]]``: the links of a chain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from weckd_edge.config.base import check_licence, check_setting, check_within, path_field
from weckd_edge.core.network_options import NetworkOptions, check_network_options


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkConfig:
    """One link of the chain.

    Attributes:
        model: timm name of the network, or ``hf_hub:owner/name``.
        input_size: Side of the network's input, 32 to 1024 pixels.
        width: Part of the model's channels that the link keeps, over 0 to 1. Below 1 the model is pruned to whole channels,
            in multiples of 8, before the link is trained.
        weights: Checkpoint to start from (safetensors, or a PyTorch file of plain tensors), relative to the configuration
            file. Its classifier is left out where the shape differs. A link with neither ``weights`` nor ``pretrained``
            starts from those of the first link of its ``model`` and ``options`` that has some.
        pretrained: Start from timm's own pretrained weights; needs a network connection or a filled cache. With
            ``if_available`` the link starts from them where they can be had, and else from random weights with a warning.
            False: from random weights, whatever other links start from. The bundle's record of the settings says which
            it was.
        options: Keyword arguments of ``timm.create_model`` that shape the network, such as ``{ channels = [16, 32, 64, 128]
            }`` for a narrow ResNet. Arguments that make timm read, fetch or run something are refused.
        mean: Mean of each RGB channel, of values in 0..1, that the weights were trained with. None takes the model's own;
            random weights take middle grey (128/255), which int8 holds without rounding. 0.5 is taken as middle grey.
        std: Standard deviation of each RGB channel, of values in 0..1; given together with ``mean``, or not at all.
        weights_licence: Licence of the weights that the link starts from, in words or as an SPDX expression, for the model
            card. None: not stated.
    """

    model: str
    input_size: int = 128
    width: float = 1.0
    weights: str | None = path_field(default=None)
    pretrained: bool | Literal["if_available"] | None = None
    options: NetworkOptions = field(default_factory=dict)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    weights_licence: str | None = None

    def __post_init__(self) -> None:
        check_setting(32 <= self.input_size <= 1024, f"input_size = {self.input_size}: expected 32 to 1024 pixels")
        check_setting(0 < self.width <= 1, f"{self.model}: width = {self.width:g}: expected more than 0, and at most 1")
        check_setting(
            not (self.weights and self.pretrained),
            f"{self.model}: weights and pretrained contradict each other; keep one of the two",
            code="E_CONFIG_CONFLICT",
        )
        check_network_options(self.options)
        check_setting(
            (self.mean is None) == (self.std is None),
            f"{self.model}: give both mean and std, or neither",
            code="E_CONFIG_OPTION_MISSING",
        )
        for name in ("mean", "std"):
            for value in getattr(self, name) or ():
                check_within(f"{self.model}: {name}", value, -1000, 1000)
        check_setting(self.std is None or min(self.std) > 0, f"{self.model}: std must be over 0")
        check_licence(self.model, self.weights_licence)


_DEFAULT_MODEL = "mobilenetv2_050"
_DEFAULT_SHAPES = ((128, 1.0), (112, 0.85), (96, 0.7))
"""Size of the input, and width, of each default link."""

DEFAULT_LINKS = tuple(
    LinkConfig(model=_DEFAULT_MODEL, input_size=size, width=width, pretrained="if_available")
    for size, width in _DEFAULT_SHAPES
)
"""Links of a chain that the settings leave open: one model, smaller from link to link in size and in width."""
