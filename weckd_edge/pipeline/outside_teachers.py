"""Open the teachers from outside the chain that ``[[distill.teachers]]`` names, whatever kind of file each is.

Training may not know how networks are imported, so that it is handed functions from images to features and probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.artifacts import DatasetIndex, NetworkInput, Split
from weckd_edge.config import BuildConfig, LinkConfig, TeacherConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.store import sha256_bytes
from weckd_edge.pipeline.network_sources.checkpoint_source import open_checkpoint
from weckd_edge.pipeline.network_sources.link_source import open_link
from weckd_edge.pipeline.network_sources.onnx_source import open_onnx

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weckd_edge.compile.importing.hints import InputHints
    from weckd_edge.train.distill.outside.teacher import OutsideTeacher

MODULES = ("weckd_edge.pipeline.outside_teachers",)
"""Module that runs a teacher, for keys."""

_KINDS = {"tensor(uint8)": np.uint8, "tensor(float16)": np.float16, "tensor(double)": np.float64}
"""Type of the input of an ONNX file, by ONNX Runtime's name of it; float32 beside these."""

_SEEDS = 3
"""Number of networks of the first link's model that teach where no teacher is named."""

_SAMPLES = 8
"""Number of images of noise that show whether an ONNX file predicts logits or probabilities."""


def open_teachers(config: BuildConfig, strategies: Sequence[str]) -> tuple[OutsideTeacher, ...]:
    """Open the teachers from outside that strategies learn from: those that are named, else the first link's own network.

    Args:
        config: Settings that name the teachers.
        strategies: Names of the strategies; none is opened where no strategy learns from any.

    Raises:
        ConfigError: A teacher's settings do not fit its file, or leave something open that the file does not tell.
        ModelError: A file cannot be read, or is not of this network.
        StoreError: A folder holds no link.
    """
    from weckd_edge.train.distill.strategies import find_strategy

    if not any(find_strategy(name).outside for name in strategies):
        return ()
    return tuple(_open(teacher) for teacher in teachers_of(config))


def teachers_of(config: BuildConfig) -> tuple[TeacherConfig, ...]:
    """Return the settings of the teachers from outside: of those that are named, else of the first link's own network."""
    return config.distill.teachers or (_of_link(config.link[0]),)


def _of_link(link: LinkConfig) -> TeacherConfig:
    """Return a link's model as a teacher: several networks that are fine-tuned on the labels."""
    return TeacherConfig(
        model=link.model,
        weights=link.weights,
        pretrained=bool(link.pretrained),
        input_size=link.input_size,
        options=link.options,
        mean=link.mean,
        std=link.std,
        head="fine-tune",
        seeds=_SEEDS,
        weights_licence=link.weights_licence,
    )


def _open(teacher: TeacherConfig) -> OutsideTeacher:
    path = Path(teacher.weights) if teacher.weights else None
    if path is not None and not path.exists():
        raise ConfigError(
            f"distill.teachers: {path}: expected the weights of teacher {teacher.name}, found no such file or folder",
            code="E_CONFIG_SOURCE",
        )
    if path is not None and teacher.head == "fine-tune" and path.is_dir():
        raise ConfigError(
            f"distill.teachers: {path}: head = 'fine-tune' trains a network of timm from a file of weights, and this is a "
            "folder; name the file in it (weights.safetensors), or leave head out",
            code="E_CONFIG_OPTION_UNUSED",
        )
    if path is not None and teacher.is_onnx:
        return _open_onnx(teacher, path)
    if path is not None and path.is_dir():
        return _open_link(teacher, path)
    if path is not None and teacher.model is None:
        return _open_checkpoint(teacher, path)
    return _open_timm(teacher)


def _open_timm(teacher: TeacherConfig) -> OutsideTeacher:
    """Open a timm network by its name; its weights may lack a classifier."""
    from weckd_edge.train.distill.outside.teacher import FineTuning, torch_teacher
    from weckd_edge.train.networks.models import create_trained, has_pretrained_backbone, weights_of
    from weckd_edge.train.networks.preprocess import suited_mean

    link = LinkConfig(
        model=teacher.model or "",
        weights=teacher.weights,
        pretrained=teacher.pretrained,
        options=teacher.options,
        mean=teacher.mean,
        std=teacher.std,
    )
    made = create_trained(link)
    size = _side(teacher, made.input_size)
    # A network that is only to be trained, from random weights that each training draws itself, is known by its shape.
    digest = sha256_bytes(weights_of(made.created.student)) if has_pretrained_backbone(link) else None
    opened = torch_teacher(
        made.created.student,
        NetworkInput(height=size, width=size, mean=made.created.mean, std=made.created.std),
        name=teacher.name,
        identity=["timm", made.created.architecture, made.created.options, digest],
        outputs=made.outputs,
        head=teacher.head,
    )
    if teacher.head != "fine-tune":
        return opened
    mean = suited_mean(opened.input.mean, fresh=link.mean is None and not has_pretrained_backbone(link))
    return replace(
        opened,
        input=replace(opened.input, mean=mean),
        fine_tuning=FineTuning(link=replace(link, input_size=size), seeds=teacher.seeds, epochs=teacher.epochs),
    )


def _open_checkpoint(teacher: TeacherConfig, path: Path) -> OutsideTeacher:
    from weckd_edge.train.distill.outside.teacher import torch_teacher

    source = open_checkpoint(path, None, _hints(teacher), None)
    made = source.checkpoint
    size = _side(teacher, source.size)
    return torch_teacher(
        made.student,
        NetworkInput(height=size, width=size, mean=made.mean, std=made.std),
        name=teacher.name,
        identity=source.key(),
        outputs=made.classes,
        head=teacher.head,
    )


def _open_link(teacher: TeacherConfig, path: Path) -> OutsideTeacher:
    from weckd_edge.train.distill.outside.teacher import torch_teacher
    from weckd_edge.train.networks.models import load_link

    source = open_link(path)
    link = source.link
    size = _side(teacher, link.input.network.size)
    opened = torch_teacher(
        load_link(link, source.folder),
        replace(link.input.network, height=size, width=size),
        name=f"{link.name} of {teacher.name}",
        identity=["link", link.weights.sha256, link.model, link.options],
        outputs=len(link.labels),
        labels=tuple(link.labels),
        head=teacher.head,
    )
    former = source.former
    return replace(opened, trained_on=_digests(former, "train"), chosen_by=_digests(former, "val"))


def _digests(former: DatasetIndex | None, split: Split) -> frozenset[str]:
    return frozenset() if former is None else frozenset(record.pixels_sha256 for record in former.split(split))


def _open_onnx(teacher: TeacherConfig, path: Path) -> OutsideTeacher:
    from weckd_edge.compile.importing.imported_network import to_file_input
    from weckd_edge.compile.importing.outputs import interpret_outputs, to_probabilities
    from weckd_edge.compile.importing.running import open_session
    from weckd_edge.train.distill.outside.teacher import array_teacher

    try:
        source = open_onnx(path, _hints(teacher), None)
    except ConfigError as err:
        raise ConfigError(
            f"distill.teachers: {err} (as keys of the teacher's table, without the dashes)", code=err.code
        ) from err
    network, form = source.network, source.network.form
    size = _side(teacher, form.size)
    session = open_session(network.file_model)
    entry = session.get_inputs()[0]
    kind = _KINDS.get(entry.type, np.float32)

    def outputs_of(images: NDArray[np.float32]) -> NDArray[np.float32]:
        shown = [to_file_input(form, images[at : at + 1]).astype(kind) for at in range(len(images))]
        return np.stack([np.asarray(session.run(None, {entry.name: one})[0], np.float32).reshape(-1) for one in shown])

    sample = outputs_of(np.random.default_rng(0).normal(size=(_SAMPLES, 3, size, size)).astype(np.float32))
    classes = 2 if sample.shape[1] == 1 else sample.shape[1]
    labels = source.labels or tuple(str(at) for at in range(classes))
    meaning = (
        None if teacher.head == "ridge" else interpret_outputs(sample, network.model.graph, labels, network.name).meaning
    )
    return array_teacher(
        outputs_of,
        None if meaning is None else lambda outputs: to_probabilities(outputs, meaning),
        NetworkInput(height=size, width=size, mean=form.mean, std=form.std),
        name=teacher.name,
        identity=source.key(),
        outputs=0 if meaning is None else classes,
        labels=source.labels,
        head=teacher.head,
        modules=MODULES,
    )


def _hints(teacher: TeacherConfig) -> InputHints:
    from weckd_edge.compile.importing.hints import InputHints

    return InputHints(input_size=teacher.input_size, mean=teacher.mean, std=teacher.std, channel_order=teacher.channel_order)


def _side(teacher: TeacherConfig, size: tuple[int, int]) -> int:
    """Return the side of a teacher's input; it is shown square images, as the links are.

    Raises:
        ConfigError: The input is not square, and the settings name no side.
    """
    height, width = (teacher.input_size, teacher.input_size) if teacher.input_size else size
    if height != width:
        raise ConfigError(
            f"distill.teachers: {teacher.name}: expected a square input, found {width} by {height} pixels; set input_size "
            "where the network takes another, or leave this teacher out",
            code="E_CONFIG_CONFLICT",
        )
    return height
