"""An imported checkpoint: a timm network, and a file of its weights."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from weckd_edge.artifacts import DatasetIndex, NetworkInput, network_digest
from weckd_edge.config import LinkConfig
from weckd_edge.core.errors import ConfigError, ModelError
from weckd_edge.core.store import sha256_bytes, sha256_file
from weckd_edge.pipeline.network_sources.base import (
    UNKNOWN_TRAINING_IMAGES,
    ImportedModel,
    measure_accuracy,
    prepare_input,
)
from weckd_edge.pipeline.network_sources.torch_network import TorchNetwork

if TYPE_CHECKING:
    from weckd_edge.compile.importing.hints import InputHints
    from weckd_edge.pipeline.context import BuildContext
    from weckd_edge.train.networks.checkpoint import Checkpoint


@dataclass(kw_only=True)
class CheckpointSource(TorchNetwork):
    """A timm network with a file of its weights."""

    checkpoint: Checkpoint
    file: Path
    size: tuple[int, int]
    labels: tuple[str, ...] | None
    weights_key: str | None = None
    former: DatasetIndex | None = None
    is_bgr: bool = False

    def __post_init__(self) -> None:
        self.sha256 = sha256_file(self.file)

    @property
    def bytes(self) -> int:
        return self.file.stat().st_size

    def key(self) -> object:
        made = self.checkpoint
        described = [made.architecture, made.options, made.mean, made.std, self.size, self.is_bgr, made.preparations]
        return ["checkpoint", self.sha256, self.weights_key, *described]

    def import_into(self, ctx: BuildContext, index: DatasetIndex, folder: Path) -> ImportedModel:
        from weckd_edge.train.distill.evaluate import predict_records
        from weckd_edge.train.networks.checkpoint import write_link
        from weckd_edge.train.networks.models import weights_of

        made = self.checkpoint
        if made.classes != len(index.labels):
            raise ModelError(
                f"{self.file.name}: its classifier has {made.classes} outputs, expected one for each of the "
                f"{len(index.labels)} labels; train it on these classes, or give the data set that it was trained on",
                code="E_MODEL_CLASSES",
            )
        height, width = self.size
        network = NetworkInput(height=height, width=width, mean=made.mean, std=made.std)
        prepared = prepare_input(index, ctx.config, network, made.preparations)
        spec = prepared.spec
        digest = network_digest(made.architecture, made.options, sha256_bytes(weights_of(made.student)))
        model = self.recorded_as(digest, spec)
        rates = measure_accuracy(ctx, index, model, partial(predict_records, made.student, spec))
        link = write_link(made, spec, index.labels, rates[0], rates[1], folder)
        numbers = [", ".join(f"{value:g}" for value in values) for values in (made.mean, made.std)]
        notes = (
            f"Checkpoint {self.file.name} of timm's {made.architecture}: every tensor fits.",
            *made.notes,
            f"Input of {width} by {height} pixels, mean {numbers[0]}, standard deviation {numbers[1]}.",
            *prepared.notes,
            UNKNOWN_TRAINING_IMAGES,
        )
        return ImportedModel(link=link, notes=notes, preparation=prepared.preparation)


def _refuse_unused(model: LinkConfig) -> None:
    """Refuse settings of a link that say how it is trained: an imported network is taken as it is."""
    used = LinkConfig(model=model.model, options=model.options, mean=model.mean, std=model.std)
    unused = [item.name for item in fields(model) if getattr(model, item.name) != getattr(used, item.name)]
    if unused:
        raise ConfigError(
            f"model: {', '.join(unused)}: for links that are trained; an imported checkpoint is described by its model, "
            "options, mean and std, and the size of its input by InputHints(input_size=...)",
            code="E_CONFIG_OPTION_UNUSED",
        )


def open_checkpoint(
    path: Path,
    model: LinkConfig | None,
    hints: InputHints,
    labels: tuple[str, ...] | None,
    *,
    weights_key: str | None = None,
) -> CheckpointSource:
    """Open a checkpoint of a timm network.

    Raises:
        ConfigError: A hint does not apply to a checkpoint, or nothing says which network the checkpoint is of.
        ModelError: The file cannot be read, or its tensors do not fit the network.
    """
    from weckd_edge.train.networks.checkpoint import exchange_red_and_blue, read_checkpoint

    given = {
        "--layout": hints.layout is not None,
        "--channels": hints.channels is not None,
        "--output": hints.output is not None,
        "--to-inference": hints.to_inference,
    }
    for option in [option for option, is_listed in given.items() if is_listed]:
        raise ConfigError(
            f"{option} is for ONNX files; {path.name} is a checkpoint, leave it out", code="E_CONFIG_OPTION_UNUSED"
        )
    if model is not None:
        _refuse_unused(model)
    made = read_checkpoint(model, path, len(labels) if labels else None, key=weights_key, mean=hints.mean, std=hints.std)
    is_bgr = hints.channel_order == "bgr"
    if is_bgr:
        exchange_red_and_blue(made)
    return CheckpointSource(
        checkpoint=made,
        file=path,
        size=hints.size or made.input_size,
        labels=labels,
        weights_key=weights_key,
        is_bgr=is_bgr,
    )
