"""Preprocess camera frames to a network's input, exactly as the exported graph does."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from weckd_edge.artifacts import Colour, FrameSpec, InputSpec, NetworkInput, crop_box
from weckd_edge.devices.images.area_resize import HALF, SHIFT, area_weights
from weckd_edge.devices.images.filters import FILTERS, filter_axes

MIDDLE_GREY = 128 / 255
"""Mean that turns pixels into whole numbers from -128 to 127, which int8 holds without rounding."""


def suited_mean(mean: Colour, *, fresh: bool) -> Colour:
    """Return the mean that a network is trained with: middle grey, where its weights do not expect another.

    Args:
        mean: Mean per RGB channel, the architecture's own or the user's.
        fresh: Whether the weights are random and the user named no mean. Other networks keep their mean, unless it is middle
            grey to half a grey level, such as 0.5.
    """
    near = all(abs(255 * (value - MIDDLE_GREY)) <= 0.5 for value in mean)
    return (MIDDLE_GREY, MIDDLE_GREY, MIDDLE_GREY) if fresh or near else mean


def crop_and_resize(frames: Tensor, spec: FrameSpec, size: tuple[int, int]) -> Tensor:
    """Crop and resize frames without normalising them.

    Args:
        frames: Frames, uint8 ``[B, H, W, 3]``.
        spec: Frame whose ``crop`` and ``resize`` are applied.
        size: Height and width of the result, pixels.

    Returns:
        Images, float32 ``[B, 3, height, width]`` in 0..255; whole numbers but for ``bilinear``.
    """
    if spec.resize == "area":
        return _mean_of_area(frames, spec, size)
    if spec.resize in FILTERS:
        return _filtered(frames, spec, size)
    x = frames.float().permute(0, 3, 1, 2)
    top, left, height, width = _box(frames, spec)
    x = x[:, :, top : top + height, left : left + width]
    if x.shape[2:] != size:
        x = F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=False)
    return x


def _filtered(frames: Tensor, spec: FrameSpec, size: tuple[int, int]) -> Tensor:
    height, width = frames.shape[1:3]
    axes = filter_axes(replace(spec, height=height, width=width), size)
    rows, columns = (torch.tensor(axis, device=frames.device) for axis in axes)
    across = _whole_levels(frames.double().permute(0, 3, 1, 2) @ columns.T)
    return _whole_levels(rows @ across).float()


def _whole_levels(values: Tensor) -> Tensor:
    """Round to whole grey levels of 0 to 255, halves up."""
    return (values.clamp(0, 255) + 0.5).floor()


def _mean_of_area(frames: Tensor, spec: FrameSpec, size: tuple[int, int]) -> Tensor:
    top, left, height, width = _box(frames, spec)
    x = frames[:, top : top + height, left : left + width]
    if (height, width) != size:
        sums = _weighted_sums(_weighted_sums(x, size[0]).transpose(1, 2), size[1]).transpose(1, 2)
        x = (sums + HALF) >> SHIFT
    return x.float().permute(0, 3, 1, 2)


def _weighted_sums(values: Tensor, target: int) -> Tensor:
    """Sum values ``[B, S, ...]`` to ``[B, target, ...]`` by area; integers, which no device and no precision rounds."""
    source = values.shape[1]
    axis = area_weights(source, target)
    sums = torch.zeros((values.shape[0], target, *values.shape[2:]), dtype=torch.int32, device=values.device)
    for places, weights in zip(axis.places(source).T, axis.weights.T, strict=True):
        taken = values.index_select(1, torch.tensor(places, device=values.device)).int()
        sums.addcmul_(taken, torch.tensor(weights, device=values.device).view(-1, 1, 1))
    return sums


def _box(frames: Tensor, spec: FrameSpec) -> tuple[int, int, int, int]:
    """Return the box that is kept of frames ``[B, H, W, 3]``: ``top, left, height, width``, pixels."""
    height, width = frames.shape[1:3]
    return crop_box(replace(spec, height=height, width=width))


def normalise(images: Tensor, network_input: NetworkInput) -> Tensor:
    """Normalise images ``[B, 3, H, W]`` in 0..255 to the network's input."""
    mean, std = (_by_channel(values, images.device) for values in (network_input.mean, network_input.std))
    return (images / 255 - mean) / std


def _by_channel(values: Colour, device: torch.device) -> Tensor:
    """Return a value for each channel ``[1, 3, 1, 1]``; a GPU is sent them without being waited for."""
    return torch.tensor(values).to(device, non_blocking=True).view(1, 3, 1, 1)


def make_network_input(frames: Tensor, spec: InputSpec) -> Tensor:
    """Preprocess uint8 frames ``[B, H, W, 3]`` to the network's input ``[B, 3, S, T]``."""
    return normalise(crop_and_resize(frames, spec.frame, spec.network.size), spec.network)
