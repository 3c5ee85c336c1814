"""Start a pretrained backbone's classifier from a ridge regression before fine-tuning, called linear probing.

A classifier with random weights sends random gradients through the backbone and spoils what it knew before it was of any use
(Kumar et al. 2022, arXiv 2202.10054); with a few dozen labels there is little to repair it with.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weckd_edge.artifacts import NetworkInput
from weckd_edge.train.distill.loop.augmentation import apply_views, draw_views
from weckd_edge.train.distill.loop.sampler import TrainingImages
from weckd_edge.train.distill.reproducible import full_precision
from weckd_edge.train.networks.models import Student
from weckd_edge.train.networks.preprocess import normalise

BATCH = 64
RIDGE = 0.1
"""Weight of the penalty, for features whose mean squared length is one."""
SCALE = 5.0
"""Logits for each unit of the regression's output, so that the softmax of a clear output is near 1."""


def fit_linear_probe(student: Student, feed: TrainingImages, network_input: NetworkInput, classes: int) -> bool:
    """Set a student's classifier by ridge regression on the images whose label it may see, without random views.

    Args:
        student: Network with its pretrained backbone.
        feed: Training images on the student's device, of which the labelled ones are used.
        network_input: Size and normalisation of the network's input.
        classes: Number of classes.

    Returns:
        Whether the classifier was set: one that is no linear layer is left as it is.
    """
    classifier = student.backbone.get_classifier()  # type: ignore[operator]  # timm's models are untyped
    if not isinstance(classifier, nn.Linear):
        return False
    features = _features(student, feed, network_input)
    if features.shape[1] != classifier.in_features:
        return False
    targets = nn.functional.one_hot(torch.from_numpy(feed.labels[feed.labelled]), classes).double()
    weight, bias = ridge(features.double(), targets)
    with torch.no_grad():
        classifier.weight.copy_(SCALE * weight.T)
        if classifier.bias is not None:
            classifier.bias.copy_(SCALE * bias)
    return True


def ridge(features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights ``[D, C]`` and bias ``[C]`` that map features ``[N, D]`` to targets ``[N, C]``."""
    middle, mean = features.mean(dim=0), targets.mean(dim=0)
    centred = features - middle
    length = centred.pow(2).sum(dim=1).mean().sqrt().clamp_min(1e-12)
    centred = centred / length
    gram = centred.T @ centred + RIDGE * torch.eye(features.shape[1], dtype=features.dtype)
    weight = torch.linalg.solve(gram, centred.T @ (targets - mean)) / length
    return weight, mean - middle @ weight


def plain_inputs(feed: TrainingImages, indices: NDArray[np.int64], network_input: NetworkInput) -> Tensor:
    """Return images as a network's input ``[N, 3, S, S]`` on the images' device, without any random view."""
    pictures = feed.pictures_for(network_input.side, indices)
    views = draw_views(len(pictures), 0.0, torch.Generator()).to(feed.device)
    shown = apply_views(pictures, views, network_input.side)
    return normalise(shown, network_input).contiguous(memory_format=torch.channels_last)


def _features(student: Student, feed: TrainingImages, network_input: NetworkInput) -> Tensor:
    """Return the features that the classifier reads, ``[N, D]`` on the CPU."""
    student.eval()
    found = []
    with torch.inference_mode(), full_precision(feed.device):
        for start in range(0, len(feed.labelled), BATCH):
            shown = plain_inputs(feed, feed.labelled[start : start + BATCH], network_input)
            map_ = student.backbone.forward_features(shown)  # type: ignore[operator]  # timm's models are untyped
            found.append(student.backbone.forward_head(map_, pre_logits=True))  # type: ignore[operator]  # likewise
    return torch.cat(found).cpu()
