"""From camera frames to a network's input, exactly as the exported graph does it (see ``InputContract``)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from weckd_edge.artifacts import InputContract


def crop_and_resize(frames: Tensor, contract: InputContract, size: int) -> Tensor:
    """Crop and resize frames as the contract says, without normalising.

    Args:
        frames: uint8 ``[B, H, W, 3]``.
        contract: Whose ``crop`` is applied.
        size: Side of the result.

    Returns:
        float32 ``[B, 3, size, size]`` in 0..255.
    """
    x = frames.float().permute(0, 3, 1, 2)
    height, width = x.shape[2:]
    if contract.crop == "center":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        x = x[:, :, top : top + side, left : left + side]
    if x.shape[2:] != (size, size):
        x = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False, antialias=False)
    return x


def normalise(images: Tensor, contract: InputContract) -> Tensor:
    """Turn ``[B, 3, S, S]`` in 0..255 into the network's input."""
    mean = torch.tensor(contract.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(contract.std, device=images.device).view(1, 3, 1, 1)
    return (images / 255 - mean) / std


def network_input(frames: Tensor, contract: InputContract) -> Tensor:
    """Turn uint8 frames ``[B, H, W, 3]`` into the network's input ``[B, 3, S, S]``."""
    return normalise(crop_and_resize(frames, contract, contract.input_size), contract)
