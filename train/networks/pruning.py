"""Structured pruning: keep a part of a network's channels, whole channels at a time, with the weights of those that stay.

Layers that an addition, a depthwise convolution or a gate couples lose the same channels; torch-pruning finds them by its
dependency graph (Fang et al. 2023, arXiv 2301.12900). Of each such group those channels stay that give most to the layers
that read them: the mean square of a channel over images, times that of the weights that read it (Sun et al. 2023, arXiv
2306.11695, for whole channels). These layers make up for the lost channels by what those that stay tell of them, least
squares with a penalty (He et al. 2017, arXiv 1707.06168). How many stay depends on the network and the width alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from weckd_edge.core.errors import ModelError, first_line
from weckd_edge.core.optional_imports import require

MULTIPLE = 8
"""Channels come in multiples of this, as kernels for int8 and for vectors want it, and there are at least as many."""

SIDE = 64
"""Side of the image on which a network is traced, pixels."""

TOLERANCE = 1e-3
"""Largest difference of outputs, relative to the largest of them, by which rounding explains it."""

PENALTY = 0.1
"""Weight of the penalty of the regression of lost channels on kept ones, relative to the kept ones' mean square."""

Counts = Mapping[str, int]
"""Number of output channels of layers, by the layer's name."""


def channels_at(channels: int, width: float) -> int:
    """Return how many of a layer's channels stay at a width: the nearest multiple of 8, never less than 90 % of the part.

    MobileNetV2 rounds its widths so (arXiv 1801.04381). The number never falls where the width grows.
    """
    if width == 1:
        return channels
    wanted = channels * width
    nearest = max(MULTIPLE, int(wanted + MULTIPLE / 2) // MULTIPLE * MULTIPLE)
    return min(channels, nearest + MULTIPLE if nearest < 0.9 * wanted else nearest)


def counts_of(backbone: nn.Module) -> Counts:
    """Return how many channels each convolution and linear layer of a network has."""
    return {name: _outputs(layer) for name, layer in backbone.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))}


def prune_to_width(backbone: nn.Module, width: float, images: Iterable[Tensor] = ()) -> None:
    """Prune a whole network to a part of its channels.

    Args:
        backbone: timm network on the CPU with all of its channels.
        width: Part of the channels to keep, over 0 to 1.
        images: Images that say which channels matter, in batches ``[B, 3, H, W]``; noise stands for none.

    Raises:
        ModelError: The network cannot be pruned.
        MissingDependency: torch-pruning is not installed, or is broken.
    """
    prune(backbone, {name: channels_at(count, width) for name, count in counts_of(backbone).items()}, images)


def prune(backbone: nn.Module, counts: Counts, images: Iterable[Tensor] = ()) -> None:
    """Prune a network to a number of channels for each layer.

    The pruned network predicts as the whole one does where nothing reads the channels that are removed; this is tried.

    Args:
        backbone: timm network on the CPU, pruned before or not.
        counts: Number of channels that each layer keeps.
        images: Images that say which channels matter, in batches ``[B, 3, H, W]``, as the network takes them. Without any,
            noise stands for them: which channels stay then means little, how many is the same.

    Raises:
        ModelError: The network cannot be pruned.
        MissingDependency: torch-pruning is not installed, or is broken.
    """
    library = require("torch_pruning", "prune a link to a part of its channels")
    name = type(backbone).__name__
    noise = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    _refuse_grouped(backbone)
    with _evaluating(backbone):
        try:
            graph = library.DependencyGraph().build_dependency(backbone, (noise,), verbose=False)
            classifier = backbone.get_classifier()  # type: ignore[operator]  # timm's models are untyped
            coupled = list(graph.get_all_groups(ignored_layers=[classifier]))
            readers = {layer for group in coupled for layer, _, _ in _readers(library, group)}
            moments = _moments(backbone, readers, [*images] or [noise])
            kept = {layer: counts[name] for name, layer in backbone.named_modules() if name in counts}
            groups = [
                graph.get_pruning_group(root.layer, root.pruning_fn, lost)
                for root, lost in _choose(library, coupled, kept, moments)
            ]
            _repair_readers(library, groups, moments)
            expected = _outputs_of(backbone, noise)
            for group in groups:
                group.prune(record_history=False)
            found = _outputs_of(backbone, noise)
        except Exception as err:  # the library raises any kind of error over a network that it does not understand
            raise ModelError(
                f"{name}: cannot be pruned ({first_line(err)}); leave width out, or take a plain convolutional network",
                code="E_MODEL_WIDTH",
            ) from err
    difference = float((found - expected).abs().max())
    if not difference <= TOLERANCE * float(expected.abs().max()):
        raise ModelError(
            f"{name}: cannot be pruned: without channels that no layer reads its outputs are {difference:.2g} apart; leave "
            "width out, or take a plain convolutional network with batch norms",
            code="E_MODEL_WIDTH",
        )


def _refuse_grouped(backbone: nn.Module) -> None:
    convolutions = [layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d)]
    grouped = next((layer.groups for layer in convolutions if 1 < layer.groups < layer.out_channels), None)
    if grouped is not None:
        raise ModelError(
            f"{type(backbone).__name__}: cannot be pruned, as a convolution divides its channels into {grouped} groups; "
            "leave width out, or take a network without such convolutions",
            code="E_MODEL_WIDTH",
        )


def cut_to_fit(backbone: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a whole network the shapes of the weights of a pruned one; its own weights are lost.

    Args:
        backbone: timm network with all of its channels.
        tensors: Weights of the pruned network; those of other names change nothing.

    Raises:
        ModelError: A shape is not one that pruning leaves.
    """
    held = {**dict(backbone.named_parameters()), **dict(backbone.named_buffers())}
    for name, tensor in tensors.items():
        if name not in held or held[name].shape == tensor.shape:
            continue
        before = held[name].shape
        if len(before) != tensor.ndim or any(not 0 < n <= whole for n, whole in zip(tensor.shape, before, strict=True)):
            raise ModelError(
                f"'{name}' has shape {list(tensor.shape)}, but at most {list(before)} remains of it when it is pruned",
                code="E_MODEL_OTHER_WEIGHTS",
            )
        path, _, last = name.rpartition(".")
        layer = backbone.get_submodule(path)
        empty = torch.empty_like(tensor)
        setattr(layer, last, nn.Parameter(empty) if isinstance(held[name], nn.Parameter) else empty)
    for layer in backbone.modules():
        _describe(layer)


def _describe(layer: nn.Module) -> None:
    """Set a layer's numbers of channels to those of its weights."""
    if isinstance(layer, nn.Conv2d):
        depthwise = layer.groups > 1
        layer.out_channels = layer.weight.shape[0]
        layer.groups = layer.out_channels if depthwise else 1
        layer.in_channels = layer.weight.shape[1] * layer.groups
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None:
        layer.num_features = len(layer.running_mean)


def _choose(
    library: Any, groups: Sequence[Any], kept: Mapping[nn.Module, int], moments: Mapping[nn.Module, Tensor]
) -> Iterator[tuple[Any, list[int]]]:
    """Yield the first layer of each of torch-pruning's groups that is cut, and which of its channels matter least."""
    for group in groups:
        root = group[0].dep
        scores = torch.zeros(len(group[0].idxs), dtype=torch.float64)
        for layer, channels, roots in _readers(library, group):
            weights = layer.weight.detach().transpose(0, 1).flatten(1)[channels].square().sum(dim=1)
            matter = moments[layer].diagonal()[channels] * weights
            scores.index_add_(0, torch.tensor(roots), matter / matter.sum().clamp_min(1e-30))
        surplus = len(scores) - kept[root.layer]
        if surplus > 0:
            yield root, torch.argsort(scores, stable=True)[:surplus].sort().values.tolist()


def _repair_readers(library: Any, groups: Sequence[Any], moments: Mapping[nn.Module, Tensor]) -> None:
    """Let every layer that reads channels of these groups read what the others say of them."""
    lost: dict[nn.Conv2d | nn.Linear, set[int]] = {}
    for group in groups:
        for layer, channels, _ in _readers(library, group):
            lost.setdefault(layer, set()).update(channels)
    for layer, gone in lost.items():
        _repair_layer(layer, sorted(gone), moments[layer])


@torch.no_grad()
def _repair_layer(layer: nn.Conv2d | nn.Linear, lost: list[int], moments: Tensor) -> None:
    """Let a layer read, in place of some channels, what the others say of them: a ridge regression on these."""
    kept = sorted(set(range(len(moments))) - set(lost))
    penalty = (PENALTY * moments.diagonal().mean()).clamp_min(1e-12) * torch.eye(len(kept), dtype=moments.dtype)
    from_kept = torch.linalg.solve(moments[kept][:, kept] + penalty, moments[kept][:, lost]).to(layer.weight.dtype)
    layer.weight[:, kept] += torch.einsum("ol...,kl->ok...", layer.weight[:, lost], from_kept)
    layer.weight[:, lost] = 0


def _readers(library: Any, group: Any) -> Iterator[tuple[nn.Conv2d | nn.Linear, list[int], list[int]]]:
    """Yield the layers that add up a group's channels, with the channels' numbers there and in the group's first layer."""
    for item in group:
        if item.dep.pruning_fn in (library.prune_conv_in_channels, library.prune_linear_in_channels):
            yield item.dep.layer, item.idxs, item.root_idxs


@torch.no_grad()
def _moments(backbone: nn.Module, layers: Iterable[nn.Module], images: Sequence[Tensor]) -> dict[nn.Module, Tensor]:
    """Return the mean products ``[C, C]`` of every two channels that a layer reads, over images and places."""
    found: dict[nn.Module, list[Tensor]] = {layer: [] for layer in layers}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        read = inputs[0].movedim(1, -1) if isinstance(layer, nn.Conv2d) else inputs[0]
        rows = read.flatten(0, -2)
        found[layer].append((rows.T @ rows).double() / len(rows))

    hooks = [layer.register_forward_pre_hook(note) for layer in found]
    try:
        for batch in images:
            backbone(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return {layer: torch.stack(parts).mean(dim=0) for layer, parts in found.items()}


def _outputs(layer: nn.Conv2d | nn.Linear) -> int:
    return layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features


@torch.no_grad()
def _outputs_of(backbone: nn.Module, shown: Tensor) -> Tensor:
    outputs: Tensor = backbone(shown)
    return outputs


@contextmanager
def _evaluating(backbone: nn.Module) -> Iterator[None]:
    """Switch a network to evaluation with gradients, which the library traces, and back again."""
    training = backbone.training
    with torch.enable_grad():
        backbone.eval()
        try:
            yield
        finally:
            backbone.train(training)
