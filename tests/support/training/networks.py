"""Toy networks of a thousand weights, a data set of drawn frames for them, and what the compile stages make of both."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from support import factories
from weckd_edge.artifacts import (
    DatasetIndex,
    ExportedModel,
    FrameSpec,
    ImageRecord,
    InputSpec,
    NetworkInput,
    QuantizedModel,
    Split,
)
from weckd_edge.compile.export.onnx_export import export_onnx
from weckd_edge.compile.quantize.forms import PROCESSOR, Form
from weckd_edge.compile.quantize.quantize import calibrate, quantize, write_quantized
from weckd_edge.compile.quantize.ranges import Method
from weckd_edge.config import QuantizeConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import file_ref
from weckd_edge.devices.images.pixels import pixels_sha256
from weckd_edge.devices.machine.detect import detect

LABELS = ("effusion", "normal", "wax")
LINK_SHA256 = "5" * 64


def contract(**changes: Any) -> InputSpec:
    """A frame of 24 by 32 pixels, its centre halved to 12 by 12 for the network; ``size`` is a side, or height and width."""
    frame: dict[str, Any] = {"height": 24, "width": 32, "crop": "center", "resize": "bilinear"}
    frame |= {"crop_size": None, "scaled_size": None}
    size = changes.pop("size", 12)
    height, width = (size, size) if isinstance(size, int) else size
    network: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    assert set(changes) <= {*frame, *network}, f"no such part of an input: {sorted(changes)}"
    return InputSpec(
        frame=FrameSpec(**{name: changes.get(name, value) for name, value in frame.items()}),
        network=NetworkInput(
            height=height, width=width, **{name: changes.get(name, value) for name, value in network.items()}
        ),
    )


def conv(
    inputs: int, outputs: int, kernel: int = 1, *, groups: int = 1, act: type[nn.Module] | None = None
) -> nn.Sequential:
    """Convolution, batch norm and activation, as timm's networks have them."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


class Inverted(nn.Module):
    """MobileNetV2's block: expand, depthwise, project, and the sum with what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv(width, 2 * width, act=nn.ReLU6),
            conv(2 * width, 2 * width, 3, groups=2 * width, act=nn.ReLU6),
            conv(2 * width, width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x)


class Downsampled(nn.Module):
    """ResNet's block with a convolution on the shortcut too: either could be fused with the sum."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(conv(inputs, outputs, 3, act=nn.ReLU), conv(outputs, outputs, 3))
        self.shortcut = conv(inputs, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.branch(x) + self.shortcut(x))


class Bottleneck(nn.Module):
    """A sum of a convolution without activation, which another one reads too, and of that one behind an activation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = conv(width, width)
        self.branch = conv(width, width, act=nn.ReLU)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        projected = self.project(x)
        return projected + self.branch(projected)


class Network(nn.Module):
    """A stem, some blocks, a neck with Hardswish, pooling and a linear layer: every pattern of the students, small."""

    def __init__(self, *blocks: nn.Module, width: int = 8, classes: int = len(LABELS)) -> None:
        super().__init__()
        self.stem = conv(3, 8, 3, act=nn.ReLU6)
        self.blocks = nn.Sequential(*blocks)
        self.neck = conv(width, 12, act=nn.Hardswish)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(12, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.pool(self.neck(self.blocks(self.stem(x)))).flatten(1))
        return logits


def settle(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """Give every weight and every statistic of a batch norm a value of its own, as if it had been trained."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.7, 1.3, generator=random)
                module.bias.normal_(0.1, 0.2, generator=random)
                module.running_mean.normal_(0, 0.3, generator=random)  # type: ignore[union-attr]  # it tracks them
                module.running_var.uniform_(0.5, 1.5, generator=random)  # type: ignore[union-attr]  # likewise
            elif isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, generator=random)
                if module.bias is not None:
                    module.bias.normal_(0, 0.1, generator=random)
    return network.eval()


def inverted() -> nn.Module:
    """Two blocks of MobileNetV2 behind each other."""
    return settle(Network(Inverted(8), Inverted(8)))


def every_sum() -> nn.Module:
    """All three kinds of residual sum."""
    return settle(Network(Inverted(8), Downsampled(8, 8), Bottleneck(8)))


def frames(count: int, kind: InputSpec, *, seed: int = 1) -> NDArray[np.uint8]:
    """Return ``[N, height, width, 3]``: coarse patches of colour, so that answers differ."""
    random = np.random.default_rng(seed)
    images = [
        Image.fromarray(random.integers(0, 256, (3, 4, 3), np.uint8)).resize((kind.frame.width, kind.frame.height))
        for _ in range(count)
    ]
    return np.stack([np.asarray(image) for image in images])


def record(path: str, label: int, split: Split, *, pixels: str | None = None, group: str | None = None) -> ImageRecord:
    """An image that is in an index alone: its digests come from its path."""
    digest = hashlib.sha256(path.encode()).hexdigest()
    return factories.image(
        path,
        label=label,
        group=path if group is None else group,
        split=split,
        labelled_subset=0 if split == "train" else None,
        sha256=digest,
        pixels_sha256=hashlib.sha256(b"pixels of " + path.encode()).hexdigest() if pixels is None else pixels,
        width=32,
        height=24,
    )


def index_of(*records: ImageRecord) -> DatasetIndex:
    """A data set of these images."""
    return DatasetIndex(name="ears", labels=LABELS, images=tuple(sorted(records, key=lambda r: r.path)))


def write_images(root: Path, *, train: int = 12, val: int = 6, test: int = 9) -> DatasetIndex:
    """Draw as many PNG files as are asked for, classes in turn, and return their index."""
    records = []
    splits: list[Split] = [*(["train"] * train), *(["val"] * val), *(["test"] * test)]  # type: ignore[list-item]  # they are
    for number, (split, frame) in enumerate(zip(splits, frames(len(splits), contract(), seed=7), strict=True)):
        label = number % len(LABELS)
        path = root / LABELS[label] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(frame).save(path)
        records.append(
            factories.image(
                path.relative_to(root).as_posix(),
                label=label,
                group=f"g{number}",
                split=split,
                labelled_subset=0 if split == "train" else None,
                sha256=file_ref(root, path).sha256,
                pixels_sha256=pixels_sha256(frame),
                width=frame.shape[1],
                height=frame.shape[0],
            )
        )
    return index_of(*records)


def export(network: nn.Module, folder: Path, kind: InputSpec | None = None, *, cast_first: bool = False) -> ExportedModel:
    """Write ``model.onnx`` into a folder that need not be there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    return export_onnx(network, kind or contract(), LABELS, LINK_SHA256, folder, cast_first=cast_first)


def saturates() -> bool:
    """Tell whether this processor's 8-bit sums can saturate, so that only weights of 7 bits are answered right here."""
    return bool(detect().overflow_fix_needed)


def quantized(
    exported: ExportedModel,
    source: Path,
    index: DatasetIndex,
    root: Path,
    folder: Path,
    *,
    form: Form = PROCESSOR,
    method: Method = "minmax",
    images: int = 8,
    reduce_range: bool = False,
) -> QuantizedModel:
    """Write the int8 graph into a folder that need not be there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    config, progress = QuantizeConfig(images=images), SilentProgress()
    calibration = calibrate(exported, source, index, root, config, seed=3, progress=progress)
    model = quantize(calibration, method, form, reduce_range=reduce_range, progress=progress)
    return write_quantized(calibration, model, method, small=False, folder=folder)
