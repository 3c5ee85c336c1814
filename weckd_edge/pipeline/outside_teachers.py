"""Open the teachers from outside the chain that ``[[distill.teachers]]`` names, whatever kind of file each is.

Training may not know how networks are imported, so that it is handed functions from images to features and probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from weckd_edge.artifacts import NetworkInput
from weckd_edge.config import BuildConfig, LinkConfig, TeacherConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.optional_imports import require
from weckd_edge.core.store import sha256_bytes
from weckd_edge.pipeline.network_sources.checkpoint_source import open_checkpoint
from weckd_edge.pipeline.network_sources.link_source import open_link
from weckd_edge.pipeline.network_sources.onnx_source import open_onnx

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from weckd_edge.compile.importing.hints import InputHints
    from weckd_edge.pipeline.network_sources.onnx_source import OnnxSource
    from weckd_edge.train.distill.outside.teacher import OutsideTeacher

MODULES = ("weckd_edge.pipeline.outside_teachers",)
"""Module that runs a teacher, for keys."""

_SAMPLES = 8
"""Number of images of noise that show whether an ONNX file predicts logits or probabilities."""


def open_teachers(config: BuildConfig) -> tuple[OutsideTeacher, ...]:
    """Open every teacher from outside; none where the strategy asks for none.

    Raises:
        ConfigError: A teacher's settings do not fit its file, or leave something open that the file does not tell.
        ModelError: A file cannot be read, or is not of this network.
        StoreError: A folder holds no link.
    """
    return tuple(_open(teacher) for teacher in config.distill.teachers)


def _open(teacher: TeacherConfig) -> OutsideTeacher:
    path = Path(teacher.weights) if teacher.weights else None
    if path is not None and not path.exists():
        raise ConfigError(
            f"distill.teachers: {path}: expected the weights of teacher {teacher.name}, found no such file or folder",
            code="E_CONFIG_SOURCE",
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
    from weckd_edge.train.distill.outside.teacher import torch_teacher
    from weckd_edge.train.networks.models import create_trained, weights_of

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
    return torch_teacher(
        made.created.student,
        NetworkInput(height=size, width=size, mean=made.created.mean, std=made.created.std),
        name=teacher.name,
        identity=["timm", made.created.architecture, made.created.options, sha256_bytes(weights_of(made.created.student))],
        outputs=made.outputs,
        head=teacher.head,
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
    return torch_teacher(
        load_link(link, source.folder),
        replace(link.input.network, height=size, width=size),
        name=f"{link.name} of {teacher.name}",
        identity=["link", link.weights.sha256, link.model, link.options],
        outputs=len(link.labels),
        labels=tuple(link.labels),
        head=teacher.head,
    )


def _open_onnx(teacher: TeacherConfig, path: Path) -> OutsideTeacher:
    from weckd_edge.compile.importing.imported_network import to_file_input
    from weckd_edge.compile.importing.outputs import interpret_outputs, to_probabilities
    from weckd_edge.train.distill.outside.teacher import OutsideTeacher

    try:
        source = open_onnx(path, _hints(teacher), None)
    except ConfigError as err:
        raise ConfigError(
            f"distill.teachers: {err} (as keys of the teacher's table, without the dashes)", code=err.code
        ) from err
    network, form = source.network, source.network.form
    size = _side(teacher, form.size)
    spec = NetworkInput(height=size, width=size, mean=form.mean, std=form.std)
    run = _onnx_runner(source)

    def outputs_of(images: Tensor) -> NDArray[np.float32]:
        from weckd_edge.train.networks.preprocess import normalise

        shown = normalise(images, spec).numpy()
        return np.stack([run(to_file_input(form, shown[at : at + 1])) for at in range(len(shown))])

    import torch

    noise = np.random.default_rng(0).integers(0, 256, (_SAMPLES, 3, size, size)).astype(np.float32)
    sample = outputs_of(torch.from_numpy(noise))
    classes = 2 if sample.shape[1] == 1 else sample.shape[1]
    labels = source.labels or tuple(str(at) for at in range(classes))
    meaning = (
        None if teacher.head == "ridge" else interpret_outputs(sample, network.model.graph, labels, network.name).meaning
    )

    def classify(images: Tensor) -> Tensor:
        if meaning is None:
            raise ValueError(f"{teacher.name} was opened for its features")
        return torch.from_numpy(to_probabilities(outputs_of(images), meaning))

    return OutsideTeacher(
        name=teacher.name,
        identity=source.key(),
        input=spec,
        features=lambda images: torch.from_numpy(outputs_of(images)),
        classify=None if meaning is None else classify,
        outputs=0 if meaning is None else classes,
        labels=source.labels,
        head=teacher.head,
        modules=MODULES,
    )


def _onnx_runner(source: OnnxSource) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """Return a function that runs the file's graph on one image, with all that ONNX Runtime does to be fast."""
    ort = require("onnxruntime", "run a teacher that is an ONNX file")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    graph = source.network.file_model.SerializeToString()
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    kind = {"tensor(uint8)": np.uint8, "tensor(float16)": np.float16, "tensor(double)": np.float64}.get(
        entry.type, np.float32
    )

    def run(image: NDArray[Any]) -> NDArray[np.float32]:
        found = session.run(None, {entry.name: image.astype(kind)})[0]
        return np.asarray(found, np.float32).reshape(-1)

    return run


def _hints(teacher: TeacherConfig) -> InputHints:
    from weckd_edge.compile.importing.hints import InputHints

    return InputHints(input_size=teacher.input_size, mean=teacher.mean, std=teacher.std, channel_order=teacher.channel_order)


def _side(teacher: TeacherConfig, size: tuple[int, int]) -> int:
    """Return the side of a teacher's input; it is shown square images, as the links are.

    Raises:
        ConfigError: Its input is not square, and the settings name no side.
    """
    height, width = (teacher.input_size, teacher.input_size) if teacher.input_size else size
    if height != width:
        raise ConfigError(
            f"distill.teachers: {teacher.name}: expected a square input, found {width} by {height} pixels; set input_size "
            "where the network takes another, or leave this teacher out",
            code="E_CONFIG_CONFLICT",
        )
    return height
