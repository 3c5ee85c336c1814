"""Load weights of torchvision's networks under timm's names: the same tensors in the same order, proved by predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require
from weckd_edge.train.networks.weights_file import FittedWeights, WeightsFile, fit_to

TIMM_NAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "mobilenet_v2": ("mobilenetv2_100", {}),
    "mobilenet_v3_large": ("mobilenetv3_large_100", {"bn_eps": 1e-3}),
    "mobilenet_v3_small": ("mobilenetv3_small_100", {"bn_eps": 1e-3}),
    "mnasnet0_5": ("mnasnet_050", {}),
    "mnasnet0_75": ("mnasnet_075", {}),
    "mnasnet1_0": ("mnasnet_100", {}),
    **{
        name: (name, {})
        for name in (
            *(f"efficientnet_b{n}" for n in range(4)),
            *(f"convnext_{size}" for size in ("tiny", "small", "base")),
            *(f"densenet{n}" for n in (121, 161, 169, 201)),
            *(f"vgg{n}{norm}" for n in (11, 13, 16, 19) for norm in ("", "_bn")),
        )
    },
}
"""timm's name and options of torchvision's networks that timm has too, by torchvision's name.

Its ResNets need no entry, as their tensors have the same names.
"""

_SIDE = 224
_TOLERANCE = 1e-4
"""Largest difference of the two networks' logits, as a part of the largest logit."""


def fit_torchvision(
    file: WeightsFile, name: str, backbone: nn.Module, classes: int, *, key: str | None = None
) -> FittedWeights | None:
    """Find the weights of one of torchvision's networks in a file, under timm's names.

    Args:
        file: File of weights.
        name: Name of the network in torchvision, a key of ``TIMM_NAMES``.
        backbone: Network of timm, with as many classes; its weights are overwritten.
        classes: Number of classes of the file's classifier.
        key: Name of the file's table to take; None decides as ``fit_to`` does.

    Returns:
        The weights; None where the file holds no such network.

    Raises:
        ModelError: The two networks predict differently with these weights, so that their names do not match after all.
    """
    models = require("torchvision.models", "read torchvision's weights")
    theirs = models.get_model(name, weights=None, num_classes=classes).eval()
    found = fit_to(file, theirs.state_dict(), key=key)
    own = [n for n in backbone.state_dict() if not n.endswith("num_batches_tracked")]
    names = [n for n in theirs.state_dict() if not n.endswith("num_batches_tracked")]
    if set(found.tensors) != set(names) or len(own) != len(names):
        return None
    wanted = backbone.state_dict()
    renamed = {to: found.tensors[n] for n, to in zip(names, own, strict=True)}
    if any(value.numel() != wanted[n].numel() for n, value in renamed.items()):
        return None
    # A linear classifier of the one may be a convolution of the other: the same numbers, with sides of one pixel.
    renamed = {n: value.reshape(wanted[n].shape) for n, value in renamed.items()}
    _require_alike(file.name, name, theirs, found.tensors, backbone, renamed)
    return FittedWeights(place=found.place, tensors=renamed, others=found.others, left_out=found.left_out)


def _require_alike(
    file: str,
    name: str,
    theirs: nn.Module,
    tensors: Mapping[str, Tensor],
    backbone: nn.Module,
    renamed: Mapping[str, Tensor],
) -> None:
    theirs.load_state_dict(tensors, strict=False)
    backbone.load_state_dict(renamed, strict=False)
    training = backbone.training
    image = torch.randn(1, 3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = theirs(image), backbone.eval()(image)
    backbone.train(training)
    deviation = float((expected - found).abs().max())
    if deviation > _TOLERANCE * float(expected.abs().max()):  # NaN passes here: the caller refuses it
        raise ModelError(
            f"{file}: with these weights, torchvision's {name} and timm's network predict {deviation:.2g} apart; import it "
            "as ONNX: torch.onnx.export(network.eval(), torch.zeros(1, 3, SIDE, SIDE), 'network.onnx')",
            code="E_MODEL_OTHER_WEIGHTS",
        )
