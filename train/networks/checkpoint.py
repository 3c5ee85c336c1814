"""Open a user's checkpoint, a timm network with all of its weights in a file, as a link of a chain of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn, no_grad

from weckd_edge.artifacts import (
    Colour,
    InputSpec,
    Link,
    Preparation,
    Rate,
    read_preparation,
    trained_normalisation,
    trained_size,
)
from weckd_edge.config import LinkConfig
from weckd_edge.core.errors import ConfigError, ModelError
from weckd_edge.core.network_options import NetworkOptions
from weckd_edge.core.store import file_ref
from weckd_edge.train.networks.models import (
    CreatedStudent,
    Student,
    create_student,
    head_prefixes,
    load_link,
    measure_student,
    save_weights,
)
from weckd_edge.train.networks.torchvision_names import TIMM_NAMES, fit_torchvision
from weckd_edge.train.networks.weights_file import FittedWeights, WeightsFile, fit_to, read_weights

WEIGHTS_FILE = "weights.safetensors"
_MODEL_NAMES = ("arch", "model", "model_name", "architecture", "backbone", "encoder", "encoder_name")


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """Network of a checkpoint with its weights and its input.

    Attributes:
        student: Network in evaluation mode.
        architecture: Name of the network in timm.
        options: Keyword arguments for ``timm.create_model``.
        mean: Mean per RGB channel.
        std: Standard deviation per RGB channel.
        input_size: Height and width of the input that the file or timm names for this network, pixels.
        preparations: How images were prepared when it was evaluated: as the file says, then as timm has it for the network.
        classes: Number of classes.
        notes: Decisions, such as which of the file's tables was taken, in words.
    """

    student: Student
    architecture: str
    options: NetworkOptions
    mean: Colour
    std: Colour
    input_size: tuple[int, int]
    preparations: tuple[Preparation, ...]
    classes: int
    notes: tuple[str, ...] = ()


def read_checkpoint(
    config: LinkConfig | None,
    weights: Path,
    classes: int | None = None,
    *,
    key: str | None = None,
    mean: Colour | None = None,
    std: Colour | None = None,
) -> Checkpoint:
    """Make a network and fill every one of its weights from a file.

    Args:
        config: Settings of the network; its own ``weights`` are ignored, and nothing is fetched. None takes the network that
            the file names. Options, mean and std that are left open are taken from the file, where it names them.
        weights: Path of a safetensors file, or of a PyTorch file, which is read with ``weights_only``.
        classes: Number of labels; None takes the checkpoint's own number.
        key: Name of the file's table to take; None decides as ``fit_to`` does.
        mean: Mean per RGB channel, in place of the configuration's.
        std: Standard deviation per RGB channel, in place of the configuration's.

    Raises:
        ConfigError: No network is named, neither by the configuration nor by the file.
        ModelError: The network is unknown, the file cannot be read, or its weights are those of another network.
    """
    if config is not None and ":" in config.model:
        raise ModelError(
            f"{config.model}: expected timm's own name of the network; all of its weights are in {weights.name}",
            code="E_MODEL_NAME",
        )
    file = read_weights(weights)
    config, theirs, notes = _described(config, file, mean, std)
    created = create_student(config, classes or 2)
    backbone = created.student.backbone
    fitted = fit_to(file, backbone.state_dict(), key=key)
    if theirs is not None and not fitted.tensors.keys() >= {n for n, _ in backbone.named_parameters()}:
        renamed, created = _from_torchvision(file, theirs, config, key)
        if renamed is not None:
            fitted, backbone = renamed, created.student.backbone
            notes.append(
                f"Its tensors have the names of torchvision's {theirs}; timm's {config.model} predicts as that does."
            )
    outputs = _count_outputs(fitted.tensors, backbone, classes, weights.name)
    if outputs is not None:
        created = create_student(config, outputs)
        backbone = created.student.backbone
    _require_fit(fitted.tensors, backbone.state_dict(), weights.name, config.model)
    _require_numbers(fitted.tensors, weights.name)
    backbone.load_state_dict(fitted.tensors, strict=False)
    size, timms = trained_size(file.settings), dict(getattr(backbone, "pretrained_cfg", None) or {})
    return Checkpoint(
        student=Student(backbone).eval(),
        architecture=created.architecture,
        options=created.options,
        mean=created.mean,
        std=created.std,
        input_size=size or trained_size(timms) or (224, 224),
        preparations=(
            read_preparation(file.settings, "the file says"),
            read_preparation(timms, f"timm has it for {created.architecture}"),
        ),
        classes=outputs or classes or 2,
        notes=(
            *_describe_place(fitted),
            *notes,
            *([] if size is None else [f"The file names an input of {size[1]} by {size[0]} pixels."]),
        ),
    )


def _count_outputs(tensors: Mapping[str, Tensor], backbone: nn.Module, classes: int | None, name: str) -> int | None:
    """Return the number of classes of the file's classifier; None where the file holds no classifier.

    Raises:
        ModelError: The classifier has another number of classes than there are labels.
    """
    outputs = next((_rows(tensors, head) for head in head_prefixes(backbone) if f"{head}.weight" in tensors), None)
    if classes is not None and outputs not in (None, classes):
        raise ModelError(
            f"{name}: its classifier predicts {outputs} classes, expected one for each of {classes} labels; "
            "train it on these classes, or give the data set of its own",
            code="E_MODEL_CLASSES",
        )
    return outputs


def _from_torchvision(
    file: WeightsFile, theirs: str, config: LinkConfig, key: str | None
) -> tuple[FittedWeights | None, CreatedStudent]:
    """Find the weights of torchvision's network of a name, whose classifier is the last tensor of a table."""
    classes = next((int(list(table.values())[-1].shape[0]) for table in file.tables.values() if _is_bias(table)), 2)
    created = create_student(config, classes)
    return fit_torchvision(file, theirs, created.student.backbone, classes, key=key), created


def _is_bias(table: Mapping[str, Tensor]) -> bool:
    return len(table) > 2 and list(table.values())[-1].ndim == 1


def _rows(tensors: Mapping[str, Tensor], head: str) -> int:
    return int(tensors[f"{head}.weight"].shape[0])


def _described(
    config: LinkConfig | None, file: WeightsFile, mean: Colour | None, std: Colour | None
) -> tuple[LinkConfig, str | None, list[str]]:
    """Complete a network's settings from the file's; also return torchvision's name of it, if it has one, and notes."""
    settings: Mapping[str, Any] = file.settings
    notes: list[str] = []
    names = [str(settings[name]) for name in _MODEL_NAMES if name in settings]
    named = next((name for name in names if timm.is_model(name) or name in TIMM_NAMES), None)
    model = named if config is None else config.model
    if model is None:
        raise ConfigError(
            f"{file.name}: expected an .onnx file, the folder of a former build's link, or a checkpoint with --model "
            "TIMM_NAME; this one does not say which network of timm it is of",
            code="E_CONFIG_SOURCE",
        )
    if config is None:
        notes.append(f"The file says that it is of {model}.")
    options = {} if config is None else config.options
    if not options:
        options = _options(settings)
        if options:
            notes.append(f"Made with the options that the file names: {json.dumps(options, sort_keys=True)}.")
    if config is not None:
        mean, std = mean or config.mean, std or config.std
    own = trained_normalisation(settings)
    if (mean is None or std is None) and own is not None:
        mean, std = mean or own[0], std or own[1]
        notes.append("Mean and standard deviation are those that the file names.")
    theirs = model if model in TIMM_NAMES else None
    model, alike = TIMM_NAMES.get(model, (model, {}))
    return LinkConfig(model=model, options={**alike, **options}, mean=mean, std=std), theirs, notes


def _options(settings: Mapping[str, Any]) -> dict[str, Any]:
    found = settings.get("model_kwargs")
    options = dict(found) if isinstance(found, dict) else {}
    if isinstance(settings.get("bn_eps"), float):
        options["bn_eps"] = settings["bn_eps"]
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return {
        name: value
        for name, value in plain.items()
        if isinstance(value, (bool, int, float, str))
        or (isinstance(value, tuple) and all(isinstance(one, int) for one in value))
    }


def _describe_place(fitted: FittedWeights) -> list[str]:
    notes = []
    if fitted.place:
        kind = ", a running average of them (EMA)" if fitted.is_average else ""
        notes.append(f"Weights are taken from '{fitted.place}'{kind}.")
    if fitted.others:
        listed = ", ".join(f"'{place}'" if place else "the file itself" for place in fitted.others)
        notes.append(f"The file also holds {listed}; --weights-key NAME takes another.")
    if fitted.left_out:
        notes.append(f"{len(fitted.left_out)} tensors beside the network are left out, such as '{fitted.left_out[0]}'.")
    return notes


def exchange_red_and_blue(checkpoint: Checkpoint) -> None:
    """Exchange red and blue in the first convolution, so that a network trained with blue first takes red first.

    Raises:
        ModelError: The first convolution does not take three channels.
    """
    backbone = checkpoint.student.backbone
    first = next((module for module in backbone.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.weight.shape[1] != 3:
        raise ModelError(
            f"{checkpoint.architecture}: --channel-order bgr: its first convolution does not take three channels; "
            "import it as an ONNX file",
            code="E_MODEL_INPUT",
        )
    with no_grad():
        first.weight.copy_(first.weight.flip(1))


def write_link(
    checkpoint: Checkpoint, spec: InputSpec, labels: tuple[str, ...], val: Rate, test: Rate, folder: Path
) -> Link:
    """Write the weights into ``folder`` and describe the network as a link.

    Args:
        checkpoint: Network of the link.
        spec: Frame and network input.
        labels: Class names in the order of its outputs.
        val: Accuracy on the validation split.
        test: Accuracy on the test split.
        folder: Folder to write to; exists.
    """
    save_weights(checkpoint.student, folder / WEIGHTS_FILE)
    size = measure_student(checkpoint.student, spec.network.size)
    return Link(
        name="imported",
        model=checkpoint.architecture,
        options=checkpoint.options,
        input=spec,
        labels=labels,
        parameters=size.parameters,
        macs=size.macs,
        weights=file_ref(folder, folder / WEIGHTS_FILE),
        parent=None,
        labelled_subset=0,
        labels_used=0,
        images_used=0,
        val_accuracy=val,
        test_accuracy=test,
    )


def _require_fit(found: dict[str, Tensor], wanted: dict[str, Tensor], file: str, model: str) -> None:
    wanted = {name: value for name, value in wanted.items() if not name.endswith("num_batches_tracked")}
    extra, missing = sorted(found.keys() - wanted.keys()), sorted(wanted.keys() - found.keys())
    if extra or missing:
        parts = [
            *([f"it lacks {len(missing)} of {len(wanted)} tensors, the first is '{missing[0]}'"] if missing else []),
            *([f"it holds {len(extra)} that {model} does not have, the first is '{extra[0]}'"] if extra else []),
        ]
        advice = "give the name it was made by"
        if not found.keys() & wanted.keys():
            advice = (
                "no name is timm's. Is the network torchvision's, or one of your own? Then import it as ONNX: "
                "torch.onnx.export(network.eval(), torch.zeros(1, 3, SIDE, SIDE), 'network.onnx')"
            )
        raise ModelError(
            f"{file}: these are not the weights of {model}: {' and '.join(parts)}; {advice}", code="E_MODEL_OTHER_WEIGHTS"
        )
    for name, value in found.items():
        if value.shape != wanted[name].shape:
            raise ModelError(
                f"{file}: '{name}' has shape {list(value.shape)}, but {model} expects {list(wanted[name].shape)}; give the "
                "name and the options it was made by",
                code="E_MODEL_OTHER_WEIGHTS",
            )


def _require_numbers(found: Mapping[str, Tensor], file: str) -> None:
    bad = next((name for name, value in found.items() if value.is_floating_point() and not value.isfinite().all()), None)
    if bad is not None:
        raise ModelError(
            f"{file}: '{bad}' holds values that are NaN or infinite; give an earlier checkpoint", code="E_MODEL_NOT_FINITE"
        )


def copy_link(link: Link, source: Path, folder: Path) -> Link:
    """Write a trained link's weights into another folder, after loading them once to check them."""
    student = load_link(link, source)
    save_weights(student, folder / WEIGHTS_FILE)
    return replace(link, weights=file_ref(folder, folder / WEIGHTS_FILE))
