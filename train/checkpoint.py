"""A trained checkpoint that a user brings: a timm network whose every weight is in a file, as a link of a chain of one."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn, no_grad

from weckd_edge.artifacts import InputContract, Link, Rate
from weckd_edge.config import LinkConfig
from weckd_edge.errors import ModelError
from weckd_edge.store import file_ref
from weckd_edge.train.models import Student, create, load_link, measure, read_tensors, save_weights

WEIGHTS_FILE = "weights.safetensors"
_WRAPPERS = ("module.", "_orig_mod.", "model.", "network.", "trunk.")
"""What DataParallel, torch.compile, Lightning and other frames put before the names of a network's weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A network with its weights, and what it says of its input.

    Attributes:
        student: Ready to answer.
        architecture: timm's name.
        options: Keyword arguments for ``timm.create_model``, as JSON.
        mean: Per RGB channel.
        std: Per RGB channel.
        input_size: Side of the input that timm names for this network, pixels.
        classes: How many it tells apart.
    """

    student: Student
    architecture: str
    options: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    input_size: int
    classes: int


def read_checkpoint(config: LinkConfig, weights: Path, classes: int | None = None) -> Checkpoint:
    """Make a network and fill every one of its weights from a file.

    Args:
        config: The network; its own ``weights`` are not looked at, nor anything fetched.
        weights: safetensors, or a PyTorch file of plain tensors (read with ``weights_only``).
        classes: How many labels there are; None takes the checkpoint's own number.

    Raises:
        ModelError: Unknown network, a file that cannot be read, or weights that are not those of this very network.
    """
    found = _unwrapped(read_tensors(weights))
    made = create(LinkConfig(model=config.model, options=config.options, mean=config.mean, std=config.std), classes or 2)
    wanted = made.student.trunk.state_dict()
    found = _without_wrapper(found, wanted)
    heads = _heads(made.student.trunk)
    answered = next((int(found[f"{head}.weight"].shape[0]) for head in heads if f"{head}.weight" in found), None)
    if classes is not None and answered not in (None, classes):
        raise ModelError(
            f"{weights.name}: its classifier answers {answered} classes, expected one for each of {classes} labels; "
            "train it on these classes, or give the data set of its own"
        )
    if classes is None and answered is not None:
        return read_checkpoint(config, weights, answered)
    _require_fit(found, wanted, weights.name, config.model)
    made.student.trunk.load_state_dict(found, strict=False)
    bad = next((name for name, value in found.items() if value.is_floating_point() and not value.isfinite().all()), None)
    if bad is not None:
        raise ModelError(f"{weights.name}: '{bad}' holds values that are NaN or infinite; bring an earlier checkpoint")
    size = getattr(made.student.trunk, "pretrained_cfg", {}).get("input_size", (3, 224, 224))[-1]
    return Checkpoint(
        student=Student(made.student.trunk).eval(),
        architecture=made.architecture,
        options=json.dumps(made.options, sort_keys=True),
        mean=made.mean,
        std=made.std,
        input_size=int(size),
        classes=classes or 2,
    )


def exchange_red_and_blue(checkpoint: Checkpoint) -> None:
    """Let a network that was trained with blue first take red first, by the weights of its first convolution.

    Raises:
        ModelError: Its first convolution does not take three channels.
    """
    trunk = checkpoint.student.trunk
    first = next((module for module in trunk.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.weight.shape[1] != 3:
        raise ModelError(
            f"{checkpoint.architecture}: --channel-order bgr: its first convolution does not take three channels; bring it "
            "as an ONNX file"
        )
    with no_grad():
        first.weight.copy_(first.weight.flip(1))


def write_link(
    checkpoint: Checkpoint, contract: InputContract, labels: tuple[str, ...], val: Rate, test: Rate, folder: Path
) -> Link:
    """Write the weights into ``folder`` and describe the network as a link.

    Args:
        checkpoint: The network.
        contract: Its input.
        labels: In the order of its outputs.
        val: Its accuracy on the validation split.
        test: Its accuracy on the test split.
        folder: Where to write; exists.
    """
    save_weights(checkpoint.student, folder / WEIGHTS_FILE)
    size = measure(checkpoint.student, contract.input_size)
    return Link(
        name="brought",
        model=checkpoint.architecture,
        options=checkpoint.options,
        input=contract,
        labels=labels,
        parameters=size.parameters,
        macs=size.macs,
        weights=file_ref(folder, folder / WEIGHTS_FILE),
        parent=None,
        share=0,
        labels_used=0,
        images_used=0,
        val_accuracy=val,
        test_accuracy=test,
    )


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what is no weight of the network: a running average kept beside it, or counters."""
    return {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}


def _without_wrapper(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    names = set(found)
    for prefix in _WRAPPERS:
        if found and all(name.startswith(prefix) for name in found) and not names & set(wanted):
            return _without_wrapper({name.removeprefix(prefix): value for name, value in found.items()}, wanted)
    return found


def _heads(trunk: nn.Module) -> tuple[str, ...]:
    name = getattr(trunk, "pretrained_cfg", {}).get("classifier", "classifier")
    return (name,) if isinstance(name, str) else tuple(name)


def _require_fit(found: dict[str, Tensor], wanted: dict[str, Tensor], file: str, model: str) -> None:
    wanted = {name: value for name, value in wanted.items() if not name.endswith("num_batches_tracked")}
    extra, missing = sorted(found.keys() - wanted.keys()), sorted(wanted.keys() - found.keys())
    if extra or missing:
        parts = [
            *([f"it lacks {len(missing)} of {len(wanted)} tensors, the first is '{missing[0]}'"] if missing else []),
            *([f"it holds {len(extra)} that {model} does not have, the first is '{extra[0]}'"] if extra else []),
        ]
        raise ModelError(
            f"{file}: these are not the weights of {model}: {' and '.join(parts)}; give the name it was made by"
        )
    for name, value in found.items():
        if value.shape != wanted[name].shape:
            raise ModelError(
                f"{file}: '{name}' has shape {list(value.shape)}, but {model} expects {list(wanted[name].shape)}; give the "
                "name and the options it was made by"
            )


def copy_link(link: Link, source: Path, folder: Path) -> Link:
    """Write a trained link's weights into another folder, having loaded them once."""
    student = load_link(link, source)
    save_weights(student, folder / WEIGHTS_FILE)
    return replace(link, weights=file_ref(folder, folder / WEIGHTS_FILE))
