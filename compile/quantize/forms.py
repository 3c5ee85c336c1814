"""Forms of the int8 graph: what TensorRT builds, and what the runtimes of processors run fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.artifacts import Target
from weckd_edge.compile.quantize.ranges import Histogram, Method

FormName = Literal["tensorrt", "processor"]

SIGNED_LEVELS, UNSIGNED_LEVELS = 127, 255
"""Number of steps on the positive side of a range around zero, and of one that begins at zero."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """One form of the int8 graph.

    Attributes:
        name: ``tensorrt``: activations int8 around a zero point of 0. ``processor``: activations uint8; a tensor that is
            never negative has a zero point of 0, so that its quantizer does what ReLU did, any other one of 128.
        open_sums: Whether nothing is left between a convolution and the residual sum it feeds, as TensorRT's int8 fusion
            asks. Processors' runtimes fuse the sum with the pair in place and run it apart without.
    """

    name: FormName
    open_sums: bool

    @property
    def unsigned(self) -> bool:
        """Whether activations are uint8."""
        return self.name == "processor"

    def limits(self, seen: Histogram, method: Method) -> tuple[float, float]:
        """Return the lowest and the highest value that a tensor's codes stand for.

        Args:
            seen: Values of the tensor on the calibration frames.
            method: How ranges are clipped.
        """
        if self.unsigned and seen.smallest >= 0:
            return 0.0, seen.limit(method, UNSIGNED_LEVELS)
        limit = seen.limit(method, SIGNED_LEVELS)
        return (-limit * (SIGNED_LEVELS + 1) / SIGNED_LEVELS if self.unsigned else -limit), limit


TENSORRT = Form(name="tensorrt", open_sums=True)
PROCESSOR = Form(name="processor", open_sums=False)


def form_for(target: Target) -> Form:
    """Return the form that a target runs."""
    return PROCESSOR if target == "cpu" else TENSORRT
