"""Draw random views of cached images once, and apply them alike for teacher and student, in batches on the device."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True, slots=True)
class Views:
    """Random view of each image of a batch.

    Attributes:
        affine: Maps from output to input coordinates in -1..1 ``[B, 2, 3]``: flip, rotation, zoom and shift.
        brightness: Factors of the brightness ``[B]``.
        contrast: Factors around each image's mean ``[B]``.
        saturation: Factors around each pixel's grey ``[B]``.
    """

    affine: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor

    def at(self, positions: Tensor) -> Views:
        """Return the views of some images, by their positions ``[b]``."""
        return self._each(lambda values: values[positions])

    def to(self, device: torch.device) -> Views:
        """Return the same views on another device."""
        return self._each(lambda values: values.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Views:
        return Views(
            affine=change(self.affine),
            brightness=change(self.brightness),
            contrast=change(self.contrast),
            saturation=change(self.saturation),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """Cached images of a batch, for the networks of one size.

    Attributes:
        pixels: Images, uint8 ``[B, R, R, 3]``.
        span: Part of the image's side that the pixels cover from the first one's edge to the last one's.
    """

    pixels: Tensor
    span: float = 1.0

    def __len__(self) -> int:
        return len(self.pixels)

    def at(self, positions: Tensor) -> Pictures:
        """Return some of the images, by their positions ``[b]``."""
        return Pictures(pixels=self.pixels[positions], span=self.span)

    def to(self, device: torch.device) -> Pictures:
        """Return the same images on another device."""
        return Pictures(pixels=self.pixels.to(device, non_blocking=True), span=self.span)


def draw_views(count: int, strength: float, generator: torch.Generator) -> Views:
    """Draw views for ``count`` images.

    Args:
        count: Number of images.
        strength: Strength of the views: 0 for the plain image; 1 for up to 45 degrees, 0.5 zoom, 40 % colour changes.
        generator: Generator on the CPU, so that the same seed gives the same views on every device.
    """

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(count).uniform_(low, high, generator=generator)

    angle = uniform(-1, 1) * strength * math.pi / 4
    zoom = 1 - uniform(0, 1) * strength * 0.5
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0) if strength else torch.ones(count)
    margin = 1 - zoom
    shift_x, shift_y = uniform(-1, 1) * margin, uniform(-1, 1) * margin
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    affine = torch.stack(
        [torch.stack([cos * flip, -sin, shift_x], dim=1), torch.stack([sin * flip, cos, shift_y], dim=1)], dim=1
    )
    colour = 0.4 * strength
    return Views(
        affine=affine,
        brightness=1 + uniform(-1, 1) * colour,
        contrast=1 + uniform(-1, 1) * colour,
        saturation=1 + uniform(-1, 1) * colour,
    )


def apply_views(pictures: Pictures, views: Views, size: int) -> Tensor:
    """Return images under given views.

    Args:
        pictures: Cached images for networks of this size.
        views: View of each image.
        size: Side of the result, pixels; teacher and student may ask for different ones of the same view.

    Returns:
        Images, float32 ``[B, 3, size, size]`` in 0..255.
    """
    x = pictures.pixels.permute(0, 3, 1, 2).float()
    grid = _grid(views.affine / pictures.span, size)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    # Brightness, contrast around the image's mean, and saturation around each pixel's grey, combined into two passes.
    bright, contrast, saturation = (v.view(-1, 1, 1, 1) for v in (views.brightness, views.contrast, views.saturation))
    grey = x.mean(dim=1, keepdim=True)
    mean = grey.mean(dim=(2, 3), keepdim=True)
    rest = grey.mul_((1 - saturation) * contrast * bright).add_((1 - contrast) * bright * mean)
    return x.mul_(saturation * contrast * bright).add_(rest).clamp_(0, 255)


def _grid(affine: Tensor, size: int) -> Tensor:
    """Return the input coordinates of each output pixel ``[B, size, size, 2]``, faster than ``torch.affine_grid`` does."""
    centres = (2 * torch.arange(size, device=affine.device) + 1) / size - 1
    across, down = centres.view(1, 1, size), centres.view(1, size, 1)
    rows = affine.view(-1, 2, 3, 1, 1).unbind(dim=1)
    return torch.stack([row[:, 0] * across + row[:, 1] * down + row[:, 2] for row in rows], dim=-1)
