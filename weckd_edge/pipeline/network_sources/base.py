"""The protocol that every imported network meets: it is opened, evaluated on the data set, exported and run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import (
    HELD_OUT,
    SCHEMA_VERSION,
    DatasetIndex,
    ExportedModel,
    FrameSpec,
    InputSpec,
    Link,
    NetworkInput,
    Preparation,
    Rate,
    crop_box,
    prepared_frame,
)
from weckd_edge.config import BuildConfig
from weckd_edge.core.bounds import MAX_SIDE, MIN_SIDE
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.images.split_frames import SplitFrames, decode_split
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.devices.runtime.stored_predictions import ModelRun, predict_once

if TYPE_CHECKING:
    from weckd_edge.pipeline.context import BuildContext
    from weckd_edge.pipeline.networks import Predictor

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Function from a normalised image ``[1, 3, S, S]``, red first, to probabilities ``[classes]``."""

USUAL_PREPARATION = Preparation(source="is usual", crop_pct=1.0, crop="center", resize="antialiased_bilinear")
"""Preparation where nobody says anything: torchvision's default filter, on the whole centre."""

UNKNOWN_TRAINING_IMAGES = (
    "Which images it was trained on is not known here: if test images were among them, the accuracy is too high."
)
"""Note on a network whose training images are not recorded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedModel:
    """An imported network, written as a link of a chain.

    Attributes:
        link: The network and its accuracy on this data set.
        notes: Sentences that say what was found in the file and decided.
        preparation: How images are cropped and resized for it, as decided here; None: a former build decided.
        schema_version: Version of this record's format.
    """

    link: Link
    notes: tuple[str, ...]
    preparation: Preparation | None = None
    schema_version: int = SCHEMA_VERSION


class NetworkSource(Protocol):
    """A network that was opened and found usable.

    Attributes:
        labels: Classes in the order of the network's outputs; None where neither file nor user names them.
        former: The data set of the build that trained it, with its split; None where that is not known.
        trained_name: Name of the runtime and precision that run it as it was imported, such as ``torch fp32``.
    """

    labels: tuple[str, ...] | None
    former: DatasetIndex | None
    trained_name: str

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return sentences on what may be wrong with the network, as far as its file tells."""

    @property
    def takes_bytes(self) -> bool:
        """Tell whether the network takes whole grey levels, so that no mean and standard deviation apply."""

    @property
    def takes_luminance(self) -> bool:
        """Tell whether the network takes one channel, so that no order of channels applies."""

    @property
    def is_bgr(self) -> bool:
        """Tell whether the network takes blue first."""

    @property
    def wide_weights(self) -> bool:
        """Tell whether the network is int8 already, with weights of more than 7 bits."""

    @property
    def bytes(self) -> int:
        """Return the size of the weights, bytes."""

    def key(self) -> object:
        """Return everything that the imported link depends on, beside the data set."""

    def import_into(self, ctx: BuildContext, index: DatasetIndex, folder: Path) -> ImportedModel:
        """Evaluate the network on the held-out images and write it into ``folder`` as a link."""

    def export(self, imported: Link, source: Path, folder: Path, *, cast_first: bool) -> ExportedModel:
        """Write the graph from frame to probabilities; ``cast_first`` puts the cast first, as TensorRT asks for it."""

    def predictor(self, imported: Link, source: Path) -> Predictor:
        """Open the network as it was imported: a function from one frame to probabilities."""

    def predict(self, imported: Link, source: Path, images: SplitFrames) -> Probabilities:
        """Return what the network, as it was imported, predicts of images ``[N, classes]``."""

    def recorded_as(self, network_sha256: str, spec: InputSpec) -> ModelRun:
        """Return the key that the predictions of the imported network are stored under, by its ``network_digest``."""

    def run(self, imported: Link, source: Path) -> Run:
        """Open the bare network: a function from a normalised image to probabilities."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedInput:
    """The input of an imported network, with how its images are prepared.

    Attributes:
        spec: The input.
        preparation: How images are cropped and resized.
        notes: Sentences that say how, and who said so.
    """

    spec: InputSpec
    preparation: Preparation
    notes: tuple[str, ...]


def prepare_input(
    index: DatasetIndex, config: BuildConfig, network: NetworkInput, known: Sequence[Preparation]
) -> PreparedInput:
    """Return the input of an imported network, its images prepared as they were when it was trained.

    Args:
        index: The data set, whose commonest size is the frame's where the user names none.
        config: Settings, which stand over what the network's file says.
        network: The network's input.
        known: Preparation by the file, then by the architecture, as far as they name it; what comes first counts.

    Raises:
        ConfigError: The crop is too small to be measured, or the scaled frame larger than a reader of bundles takes.
    """
    from weckd_edge.train.distill.link_plan import frame_spec

    asked = config.input
    user = Preparation(source="the user said", crop_pct=asked.crop_pct, crop=asked.crop, resize=asked.resize)
    sources = (user, *known, USUAL_PREPARATION)
    resize, resize_by = next((one.resize, one.source) for one in sources if one.resize is not None)
    crop, crop_by = next((one.crop, one.source) for one in sources if one.crop is not None)
    crop_pct, part_by = next((one.crop_pct, one.source) for one in sources if one.crop_pct is not None)
    plain = frame_spec(index, asked, crop=crop, resize=resize)
    frame = prepared_frame(plain, network.size, crop_pct)
    _check_prepared(frame, network, crop_pct)
    _, _, height, width = crop_box(frame)
    line = (
        f"Pixels: resized by {resize} (as {resize_by}), crop_pct {crop_pct:.6g} (as {part_by}), crop {crop} (as {crop_by}); "
        f"the network sees {width} x {height} of the frame's {frame.width} x {frame.height} pixels."
    )
    return PreparedInput(
        spec=InputSpec(frame=frame, network=network),
        preparation=Preparation(source="decided", crop_pct=crop_pct, crop=crop, resize=resize),
        notes=(line, *(note for one in known for note in one.notes)),
    )


def _check_prepared(frame: FrameSpec, network: NetworkInput, crop_pct: float) -> None:
    """Refuse a crop that no guard can measure, or a scaled frame that no reader of a bundle takes."""
    _, _, height, width = crop_box(frame)
    if min(height, width) < MIN_SIDE:
        raise ConfigError(
            f"input.crop_pct = {crop_pct:g}: keeps {width} x {height} pixels of a frame of {frame.width} x {frame.height}; "
            f"expected at least {MIN_SIDE} a side, give a larger part or a larger frame",
            code="E_CONFIG_RANGE",
        )
    if max(frame.scaled_size or (0,)) > MAX_SIDE:
        raise ConfigError(
            f"input.crop_pct = {crop_pct:g}: an input of {network.size_text} pixels is so small a part that the frame would "
            f"be scaled to {frame.scaled_size}; expected at most {MAX_SIDE} pixels a side, give a larger part",
            code="E_CONFIG_RANGE",
        )


def measure_accuracy(
    ctx: BuildContext, index: DatasetIndex, model: ModelRun, predict: Callable[[SplitFrames], Probabilities]
) -> tuple[Rate, Rate]:
    """Return the accuracy on validation and on test images; the predictions are stored."""
    from weckd_edge.train.distill.evaluate import record_accuracy

    rates = []
    for split in HELD_OUT:
        images = decode_split(ctx.workspace, index, split, ctx.root, model.input.frame, ctx.progress)
        rates.append(record_accuracy(predict_once(ctx.workspace, model, images, partial(predict, images)), images.records))
    return rates[0], rates[1]
