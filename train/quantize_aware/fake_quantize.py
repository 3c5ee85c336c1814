"""Round a network's values while it is trained, at the very places where its exported graph will be int8.

``weckd_edge.compile.quantize.quantize`` rounds the inputs of a convolution, a linear layer, a sum, a product or an average,
and, in the processor's form, what a convolution hands to an activation that cannot be absorbed. A torch mode that sees every
function a network calls does the same without touching the network. Quantizers that stand in front of modules, as
nvidia-modelopt's do, miss functions, such as a sum, and subclasses they do not know: in timm's MobileNetV2-0.35 modelopt
0.47 leaves out the ten sums and the five convolutions that pad as TensorFlow does. Trained alike, the two gave int8 graphs
as good as each other (one seed), so that a further library would buy nothing here.

Batch norms need no folding: a weight's scale is per output channel, as a batch norm's is, so that rounding before or after
the fold is the same. GELU and layer norms, which ONNX writes as sums and products, are one function here and not rounded
inside: for ConvNeXt, transformers and their like the places agree in part only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from weckd_edge.artifacts import Target
from weckd_edge.train.networks.models import Student

LEVELS, UNSIGNED_LEVELS = 127, 255
"""Number of int8 steps on either side of zero, and of a processor's over a range that begins at zero."""

LOPSIDED = 0.5
"""Largest negative magnitude, relative to the range, at which a processor's codes are not centred at zero, as calibrated."""

SMALLEST = 1e-9
"""Range of a tensor that holds zeros alone."""

FOLLOWS = 0.05
"""Part of the way that a range moves in a training step towards the largest value of that step's images, 0..1."""

CONVOLUTIONS = (F.conv1d, F.conv2d)
WEIGHTED = (*CONVOLUTIONS, F.linear)
AVERAGES = (F.adaptive_avg_pool2d, F.avg_pool2d, torch.mean, Tensor.mean)
OF_TWO = (torch.add, Tensor.add, torch.mul, Tensor.mul, torch.matmul, Tensor.matmul)
IN_PLACE = (Tensor.add_, Tensor.mul_)
READS: Mapping[Callable[..., Any], int] = {
    **dict.fromkeys((*WEIGHTED, *AVERAGES), 1),
    **dict.fromkeys((*OF_TWO, *IN_PLACE), 2),
}
"""Number of first arguments that each function reads as int8.

The largest of rounded values is the rounded largest value, so that max pooling needs no entry.
"""

ACTIVATIONS = (
    *(F.hardswish, F.hardsigmoid, F.silu, F.mish, F.gelu, F.elu, F.leaky_relu, F.sigmoid),
    *(torch.sigmoid, Tensor.sigmoid, torch.tanh, Tensor.tanh),
)
"""Activations that a quantizer's clipping does not replace, so that a processor's graph has a pair in front of them."""

FOLDED = (F.batch_norm,)
"""Functions that the graph folds into the convolution before them."""


class RoundedStudent(Student):
    """Student that predicts as its int8 graph would and can still be trained: gradients pass through the rounding.

    It stays in evaluation mode, as the graph will: batch norms are fixed, but for their scales and shifts, and nothing is
    dropped. The ranges start from the images shown, as a calibration would find them, and follow the weights.

    Args:
        backbone: Trained network, which is shared, so that its weights are trained further too.
        shown: Batches of a network's input ``[b, 3, S, S]``, on which the first ranges are found.
        target: Target whose form of the int8 graph it predicts as.
    """

    ranges: Tensor
    """Largest value that int8 holds at each place, float32 ``[places]``, in the order in which the network reads values."""

    smallest: Tensor
    """Smallest value at each place, float32 ``[places]``, 0 or less."""

    def __init__(self, backbone: nn.Module, shown: Iterable[Tensor], target: Target) -> None:
        super().__init__(backbone)
        self.eval()
        self.target = target
        found, smallest = [], []
        with torch.no_grad():
            for images in shown:
                with _RoundingPlaces(target) as seen:
                    super().forward(images)
                found.append(torch.stack(seen.largest))
                smallest.append(torch.stack(seen.smallest))
        self.register_buffer("ranges", torch.stack(found).amax(dim=0))
        self.register_buffer("smallest", torch.stack(smallest).amin(dim=0))

    def train(self, mode: bool = True) -> RoundedStudent:
        """Stay in evaluation mode, whatever ``mode`` is."""
        super().train(False)
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return logits ``[B, classes]`` and the last feature map, with every value rounded that int8 rounds."""
        with _RoundingPlaces(self.target, self.ranges.clone(), self.smallest.clone()) as seen:
            output = super().forward(images)
        if torch.is_grad_enabled():
            self.ranges.lerp_(torch.stack(seen.largest), FOLLOWS)
            self.smallest.lerp_(torch.stack(seen.smallest), FOLLOWS)
        return output


class _RoundingPlaces(TorchFunctionMode):
    """Watches the values that a network reads, place by place, and rounds them where ``ranges`` ``[places]`` are given."""

    def __init__(self, target: Target, ranges: Tensor | None = None, lows: Tensor | None = None) -> None:
        super().__init__()
        self.target, self.ranges, self.lows = target, ranges, lows
        self.largest: list[Tensor] = []
        self.smallest: list[Tensor] = []
        self._written: Any = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        before_activation = self.target == "cpu" and func in ACTIVATIONS and args[0] is self._written
        read = [self._read(value) for value in args[: 1 if before_activation else READS.get(func, 0)]]
        follows = func in CONVOLUTIONS or (func in FOLDED and args[0] is self._written)
        if self.ranges is not None and read:
            if func in WEIGHTED:
                read.append(round_weight(args[1]))
            if func in IN_PLACE:
                read[0] = args[0].copy_(read[0])
            args = (*read, *args[len(read) :])
        result = func(*args, **(kwargs or {}))
        if follows:
            self._written = result
        return result

    def _read(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        place = len(self.largest)
        self.largest.append(value.detach().abs().amax().float())
        self.smallest.append(value.detach().amin().float().clamp_max(0))
        if self.ranges is None or self.lows is None:
            return value
        largest, low = self.ranges[place], self.lows[place]
        if self.target == "cpu" and -low <= LOPSIDED * largest:
            return round_lopsided(value, low, largest)
        return round_activation(value, largest)


def round_lopsided(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Round values to uint8 steps from ``low`` ``[]``, 0 or less, to ``high`` ``[]``; values beyond them are clipped."""
    scale = (high - low).clamp_min(SMALLEST) / UNSIGNED_LEVELS
    return torch.fake_quantize_per_tensor_affine(values, scale, (-low / scale).round().int(), 0, UNSIGNED_LEVELS)


def round_activation(values: Tensor, largest: Tensor) -> Tensor:
    """Round values to int8 steps, with one scale for all; values over ``largest`` ``[]`` are clipped."""
    zero = torch.zeros((), dtype=torch.int32, device=values.device)
    return torch.fake_quantize_per_tensor_affine(values, largest.clamp_min(SMALLEST) / LEVELS, zero, -LEVELS - 1, LEVELS)


def round_weight(weight: Tensor) -> Tensor:
    """Round a weight ``[out, ...]`` to int8 steps, a scale for each output channel."""
    scale = weight.detach().abs().flatten(1).amax(dim=1).clamp_min(SMALLEST) / LEVELS
    zeros = torch.zeros(len(scale), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -LEVELS - 1, LEVELS)
