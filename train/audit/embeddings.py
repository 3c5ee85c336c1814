"""Describe pictures for the audit, by a frozen backbone that was trained on other images or by fixed colours and edges.

A network that was trained on the data set itself has seen the labels of most images, so that folds over its features would
flatter; it is never used for this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weckd_edge.artifacts import FrameSpec, InputSpec, NetworkInput
from weckd_edge.config import LinkConfig
from weckd_edge.train.networks.models import create_student, has_pretrained_backbone
from weckd_edge.train.networks.preprocess import MIDDLE_GREY, normalise, suited_mean

CELLS = 8
BEARINGS = 8
PLAIN_SIZE = 96


class Embedder(Protocol):
    """Turns pictures into features, the same each time."""

    @property
    def name(self) -> str:
        """Name of the features in words."""

    @property
    def pretrained(self) -> bool:
        """Whether the features were learned from other images."""

    @property
    def input(self) -> InputSpec:
        """Frame and size of the pictures that it takes."""

    def describe(self, pictures: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return features ``[B, D]``.

        Args:
            pictures: Pictures ``[B, 3, S, S]``, 0..255.
            keep: Mask of 1 where a pixel is shown and 0 where the mean colour covers it, ``[S, S]`` or ``[B, 1, S, S]``.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class BackboneFeatures:
    """Features of a network without its classifier; covered pixels have the network's mean colour."""

    name: str
    backbone: nn.Module
    input: InputSpec
    pretrained: bool = True

    def describe(self, pictures: Tensor, keep: Tensor | None = None) -> Tensor:
        shown = normalise(pictures, self.input.network)
        if keep is not None:
            shown = shown * keep
        with torch.inference_mode():
            found = self.backbone.forward_features(shown.contiguous(memory_format=torch.channels_last))  # type: ignore[operator]  # timm's models are untyped
            pooled: Tensor = self.backbone.forward_head(found, pre_logits=True)  # type: ignore[operator]  # likewise
        return pooled.flatten(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ColourAndEdgeFeatures:
    """Features of 8 x 8 cells: mean colour, its spread and the bearings of edges (after Dalal and Triggs 2005)."""

    input: InputSpec
    name: str = "fixed colours and edges (no pretrained weights were given)"
    pretrained: bool = False

    def describe(self, pictures: Tensor, keep: Tensor | None = None) -> Tensor:
        shown = pictures / 255 - MIDDLE_GREY
        if keep is not None:
            shown = shown * keep
        mean = F.adaptive_avg_pool2d(shown, CELLS)
        spread = (F.adaptive_avg_pool2d(shown**2, CELLS) - mean**2).clamp_min(0).sqrt()
        grey = shown.mean(dim=1, keepdim=True)
        across, down = F.pad(grey.diff(dim=3), (0, 1)), F.pad(grey.diff(dim=2), (0, 0, 0, 1))
        strength = (across**2 + down**2).sqrt()
        bearing = torch.remainder(torch.atan2(down, across), torch.pi) / torch.pi * BEARINGS
        which = bearing.long().clamp(max=BEARINGS - 1)
        edges = torch.zeros(len(grey), BEARINGS, *grey.shape[2:]).scatter_(1, which, strength)
        return torch.cat([part.flatten(1) for part in (mean, spread, 4 * F.adaptive_avg_pool2d(edges, CELLS))], dim=1)


def choose_embedder(links: Sequence[LinkConfig], frame: FrameSpec) -> Embedder:
    """Return the last pretrained backbone of a chain, with all of its channels, or, where it has none, colours and edges.

    A backbone that has lost channels and was not trained since says little of a picture.

    Args:
        links: The chain, largest first.
        frame: Frame of the data set.

    Raises:
        ModelError: The backbone's weights cannot be read or fetched.
    """
    chosen = next((link for link in reversed(links) if has_pretrained_backbone(link)), None)
    if chosen is None:
        grey = (MIDDLE_GREY, MIDDLE_GREY, MIDDLE_GREY)
        return ColourAndEdgeFeatures(
            input=InputSpec(
                frame=frame, network=NetworkInput(height=PLAIN_SIZE, width=PLAIN_SIZE, mean=grey, std=(1.0, 1.0, 1.0))
            )
        )
    created = create_student(replace(chosen, width=1.0), 2)
    shown = NetworkInput(
        height=chosen.input_size, width=chosen.input_size, mean=suited_mean(created.mean, fresh=False), std=created.std
    )
    weights = f" with {Path(chosen.weights).name}" if chosen.weights else ""
    return BackboneFeatures(
        name=f"frozen {chosen.model} at {chosen.input_size} px{weights}",
        backbone=created.student.backbone.eval().to(memory_format=torch.channels_last),
        input=InputSpec(frame=frame, network=shown),
    )
