"""Hints of the user about a network, on points that its ONNX file may leave open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from weckd_edge.artifacts import MAX_OF_UNIT
from weckd_edge.core.errors import ConfigError

Layout = Literal["nchw", "nhwc"]
ChannelOrder = Literal["rgb", "bgr"]

MAX_SIDE = 2048
"""Largest side of the network's input, pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputHints:
    """Hints about a network's input and output; None leaves it to the file.

    Attributes:
        input_size: Side of the network's input, pixels; or its height and width.
        layout: Channels before rows (``nchw``) or behind columns (``nhwc``).
        mean: Mean that its pixels are normalised with, of values in 0..1, in the order red, green, blue.
        std: Standard deviation that its pixels are normalised with, in the same form.
        channels: Number of its input's colour channels: 3, or 1 for a network that takes the luminance.
        channel_order: Order of the three, ``rgb`` or ``bgr``. ``mean`` and ``std`` keep their order red, green, blue.
        output: Name of the output with the classes, where there are several.
        to_inference: Whether operators that were exported in training mode are set to inference, instead of refusing the
            file.
    """

    input_size: int | tuple[int, int] | None = None
    layout: Layout | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channels: int | None = None
    channel_order: ChannelOrder = "rgb"
    output: str | None = None
    to_inference: bool = False

    def __post_init__(self) -> None:
        if self.size is not None and not all(8 <= side <= MAX_SIDE for side in self.size):
            raise ConfigError(f"--input-size {self.size_text}: expected 8 to {MAX_SIDE} pixels", code="E_CONFIG_RANGE")
        if self.channels not in (None, 1, 3):
            raise ConfigError(f"--channels {self.channels}: expected 1 (luminance) or 3 (colour)", code="E_CONFIG_RANGE")
        if self.channels == 1 and self.channel_order != "rgb":
            raise ConfigError(
                "--channel-order bgr: a network of one channel has no order of channels; leave one of them out",
                code="E_CONFIG_CONFLICT",
            )
        if (self.mean is None) != (self.std is None):
            raise ConfigError("give both --mean and --std, or neither", code="E_CONFIG_OPTION_MISSING")
        if self.mean is None or self.std is None:
            return
        if not all(np.isfinite(v) and v > 0 for v in self.std):
            raise ConfigError(f"--std {_shown(self.std)}: expected numbers over 0", code="E_CONFIG_RANGE")
        if not all(np.isfinite(v) for v in self.mean):
            raise ConfigError("--mean: expected finite numbers", code="E_CONFIG_RANGE")
        if max(map(abs, (*self.mean, *self.std))) > MAX_OF_UNIT:
            scaled = [_shown(tuple(v / 255 for v in values)) for values in (self.mean, self.std)]
            raise ConfigError(
                f"--mean {_shown(self.mean)} --std {_shown(self.std)}: expected those of values in 0..1, found some over "
                f"{MAX_OF_UNIT:g}, as they are of values in 0..255; divide by 255: --mean {scaled[0]} --std {scaled[1]}",
                code="E_CONFIG_RANGE",
            )

    @property
    def size(self) -> tuple[int, int] | None:
        """Return height and width of the network's input, pixels; None: it was not said."""
        return (self.input_size, self.input_size) if isinstance(self.input_size, int) else self.input_size

    @property
    def size_text(self) -> str:
        """Return the size as a user writes it: one side, or height and width."""
        return str(self.input_size) if isinstance(self.input_size, int) else "x".join(map(str, self.input_size or ()))


def _shown(values: tuple[float, ...]) -> str:
    if len(set(values)) == 1:
        return "1/255" if abs(values[0] * 255 - 1) < 1e-9 else f"{values[0]:.4g}"
    return ",".join(f"{value:.4g}" for value in values)
