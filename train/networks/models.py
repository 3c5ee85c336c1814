"""Make students by timm, load their weights, count their size, and check their order in a chain."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models._hub import load_model_config_from_hf, load_model_config_from_path
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from weckd_edge.artifacts import Colour, Link, as_colour
from weckd_edge.config import LinkConfig
from weckd_edge.core.errors import ConfigError, ModelError, WeckdError, did_you_mean, first_line
from weckd_edge.core.network_options import NetworkOptions, check_network_options
from weckd_edge.core.optional_imports import require
from weckd_edge.core.serialization import from_data
from weckd_edge.core.store import write_atomic
from weckd_edge.train.networks.pruning import counts_of, cut_to_fit, prune, prune_to_width
from weckd_edge.train.networks.weights_file import fit_to, read_weights

logger = logging.getLogger(__name__)


class Student(nn.Module):
    """timm classifier that also returns the last feature map, which spatial attention compares.

    Args:
        backbone: Any timm model with ``forward_features`` and ``forward_head``.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return logits ``[B, classes]`` and the last feature map ``[B, C, h, w]`` (None where it is no map)."""
        features = self.backbone.forward_features(images)  # type: ignore[operator]  # timm's models are untyped
        logits = self.backbone.forward_head(features)  # type: ignore[operator]  # timm's models are untyped
        return logits, features if features.ndim == 4 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentSize:
    """Size of a student: ``parameters`` with its head, and ``macs``, MACs of one image."""

    parameters: int
    macs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CreatedStudent:
    """New student, and the settings by which the same network is made again without fetching anything.

    Attributes:
        student: Network with its starting weights.
        architecture: Name of the network in timm, also where the weights came from a hub.
        options: Keyword arguments for ``timm.create_model``.
        mean: Mean per RGB channel that its weights expect.
        std: Standard deviation per RGB channel that its weights expect.
        knows_classes: Whether its classifier came with its weights, too; else that is drawn at random.
    """

    student: Student
    architecture: str
    options: NetworkOptions
    mean: Colour
    std: Colour
    knows_classes: bool = False


def create_student(config: LinkConfig, classes: int, images: Iterable[Tensor] = ()) -> CreatedStudent:
    """Make a student with fresh or given weights, pruned to the link's width.

    Args:
        config: Settings of the link.
        classes: Number of classes.
        images: Images by which the channels of a pruned student are chosen, in batches ``[B, 3, H, W]`` as it takes them;
            without any, only its shapes mean something.

    Raises:
        ModelError: The name is unknown, timm refuses the options, the weights are missing or of another shape, there is no
            connection to fetch them, or the network cannot be pruned.
    """
    source, _, _ = config.model.rpartition(":")
    remote = bool(source or config.pretrained)
    if not source and not timm.is_model(config.model):
        raise ModelError(
            f"unknown model '{config.model}'{did_you_mean(config.model, timm.list_models())}", code="E_MODEL_NAME"
        )
    architecture, options = config.model, config.options
    try:
        if source:
            architecture, options = _source_of(config)
        backbone = _make(config, classes, pretrained=remote)
    except WeckdError:
        raise
    except Exception as err:  # errors of timm's networks and of huggingface_hub have no common base class
        if remote and (source or _takes_options(config, classes)):
            raise ModelError(
                f"{config.model}: its pretrained weights cannot be fetched, or do not fit the options ({first_line(err)}); "
                'connect to a network once, or give a local file: weights = "path.safetensors"',
                code="E_MODEL_FETCH",
            ) from err
        raise ModelError(
            f"{config.model}: timm refuses the options {options} ({first_line(err)})", code="E_MODEL_OPTIONS"
        ) from err
    defaults: dict[str, Any] = getattr(backbone, "pretrained_cfg", {})
    knows_classes = remote and defaults.get("num_classes") == classes
    if config.weights is not None:
        knows_classes = load_weights(backbone, Path(config.weights), config.model) or knows_classes
    if config.width < 1:
        prune_to_width(backbone, config.width, images)
    mean = config.mean or as_colour(defaults.get("mean", (0.485, 0.456, 0.406)))
    std = config.std or as_colour(defaults.get("std", (0.229, 0.224, 0.225)))
    return CreatedStudent(
        student=Student(backbone),
        architecture=architecture,
        options=options,
        mean=mean,
        std=std,
        knows_classes=knows_classes,
    )


def _make(config: LinkConfig, classes: int, *, pretrained: bool) -> nn.Module:
    given: dict[str, Any] = dict(config.options)
    backbone: nn.Module = timm.create_model(config.model, pretrained=pretrained, num_classes=classes, **given)
    return backbone


def _takes_options(config: LinkConfig, classes: int) -> bool:
    """Tell whether timm makes a network with these options, without any weights."""
    try:
        _make(config, classes, pretrained=False)
    except Exception:
        return False
    return True


def inherit_weights(student: Student, predecessor: Student, images: Iterable[Tensor] = ()) -> None:
    """Give a student the weights of a trained network of the same model, pruned further where the student is narrower.

    Args:
        student: Student that takes over the weights.
        predecessor: Trained network of the same model, as wide as the student or wider; it ends as narrow as the student.
        images: Images by which the channels are chosen, in batches ``[B, 3, H, W]`` as the predecessor takes them.

    Raises:
        ModelError: The network cannot be pruned.
    """
    counts = counts_of(student.backbone)
    if counts_of(predecessor.backbone) != counts:
        prune(predecessor.backbone, counts, images)
    student.load_state_dict(predecessor.state_dict())


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedNetwork:
    """Network that was trained before, whose weights may lack a classifier.

    Attributes:
        created: The network.
        outputs: Number of outputs of its trained classifier; 0 where the weights hold none.
        input_size: Height and width of the input that timm names for it, pixels.
    """

    created: CreatedStudent
    outputs: int
    input_size: tuple[int, int]


def create_trained(config: LinkConfig) -> TrainedNetwork:
    """Make a network with the weights of its file or of timm, and with their own classifier where the file holds one.

    A classifier that was not trained is all zeros, so that the same file gives the same network each time.

    Raises:
        ModelError: The network cannot be made, or the weights are of another one.
    """
    outputs = (
        0 if config.weights is None else _count_rows(Path(config.weights), create_student(replace(config, weights=None), 2))
    )
    created = create_student(config, outputs or 2)
    if not outputs:
        classifier: nn.Module = created.student.backbone.get_classifier()  # type: ignore[operator]  # timm's models are untyped
        for values in classifier.parameters():
            nn.init.zeros_(values)
    size = getattr(created.student.backbone, "pretrained_cfg", {}).get("input_size", (3, 224, 224))
    return TrainedNetwork(created=created, outputs=outputs, input_size=(size[1], size[2]))


def _count_rows(path: Path, created: CreatedStudent) -> int:
    """Return the number of outputs of the classifier in a file of weights; 0 without one."""
    head = _head_prefix(created.student.backbone)
    found = fit_to(read_weights(path), created.student.backbone.state_dict(), spare=(head,)).tensors
    weight = found.get(f"{head}.weight")
    return 0 if weight is None else int(weight.shape[0])


def has_pretrained_backbone(config: LinkConfig) -> bool:
    """Tell whether a network starts from weights that were trained before."""
    return bool(config.weights or config.pretrained or ":" in config.model)


def _source_of(config: LinkConfig) -> tuple[str, NetworkOptions]:
    """Return the architecture and options behind a ``hf_hub:owner/name`` or ``local-dir:path`` name.

    Raises:
        ModelError: The ``config.json`` holds options that would do more than shape the network.
    """
    source, _, name = config.model.partition(":")
    loaders: dict[str, Callable[[str], Any]] = {
        "hf_hub": load_model_config_from_hf,
        "hf-hub": load_model_config_from_hf,
        "local-dir": load_model_config_from_path,
    }
    load = loaders.get(source)
    if load is None:
        raise ModelError(f"{config.model}: expected a timm name, hf_hub:owner/name or local-dir:path", code="E_MODEL_NAME")
    _, architecture, found = load(name)
    given = {key: value for key, value in (found or {}).items() if value is not None}
    options: NetworkOptions = from_data(NetworkOptions, given, where=f"{config.model}: options", error=ModelError)
    try:
        check_network_options(options)
    except ConfigError as err:
        raise ModelError(f"{config.model}: {err}", code="E_MODEL_OPTIONS") from err
    return architecture, {**options, **config.options}


def load_weights(backbone: nn.Module, path: Path, name: str) -> bool:
    """Load a local checkpoint into a backbone; its classifier is left out where its shape differs.

    Returns:
        Whether the classifier was loaded, too.

    Raises:
        ModelError: The file is missing or unreadable, lacks tensors, or holds tensors of another shape.
    """
    wanted = backbone.state_dict()
    head = _head_prefix(backbone)
    fitted = fit_to(read_weights(path), wanted, spare=(head,))
    if fitted.place:
        logger.info("%s: weights are taken from '%s'", path.name, fitted.place)
    found = fitted.tensors
    usable: dict[str, Tensor] = {}
    for key, value in found.items():
        if key not in wanted:
            if not key.startswith(head):
                raise ModelError(
                    f"{path.name}: holds '{key}', which {name} does not have; are these weights of another model?",
                    code="E_MODEL_OTHER_WEIGHTS",
                )
        elif wanted[key].shape == value.shape:
            usable[key] = value
        elif not key.startswith(head):
            raise ModelError(
                f"{path.name}: '{key}' has shape {list(value.shape)}, but {name} expects {list(wanted[key].shape)}; "
                "give the weights of this very model, or fix options",
                code="E_MODEL_OTHER_WEIGHTS",
            )
    missing = [k for k in wanted if k not in usable and not k.startswith(head) and "num_batches_tracked" not in k]
    if missing:
        raise ModelError(
            f"{path.name}: lacks {len(missing)} tensors of {name}, the first is '{missing[0]}'", code="E_MODEL_OTHER_WEIGHTS"
        )
    backbone.load_state_dict(usable, strict=False)
    return all(key in usable for key in wanted if key.startswith(head))


def _head_prefix(backbone: nn.Module) -> str:
    return head_prefixes(backbone)[0]


def head_prefixes(backbone: nn.Module) -> tuple[str, ...]:
    """Return the beginnings of the names of a timm network's classifiers; the first is the one that predicts."""
    name = getattr(backbone, "pretrained_cfg", {}).get("classifier", "classifier")
    return (name,) if isinstance(name, str) else tuple(name)


def save_weights(student: Student, path: Path) -> None:
    """Write a student's weights, and nothing else, as safetensors."""
    write_atomic(path, weights_of(student))


def weights_of(student: Student, left_out: tuple[str, ...] = ()) -> bytes:
    """Return a student's weights, and nothing else, as the bytes of a safetensors file.

    Args:
        student: The student.
        left_out: Beginnings of the names of weights that are left out.
    """
    from safetensors.torch import save

    kept = {name: value for name, value in student.backbone.state_dict().items() if not name.startswith(left_out)}
    weights: bytes = save({name: value.detach().cpu().contiguous() for name, value in kept.items()})
    return weights


def load_link(link: Link, folder: Path) -> Student:
    """Rebuild a trained student from its artefact.

    Args:
        link: Record of the link.
        folder: Folder that holds its weights file.

    Raises:
        ModelError: The record names no network of timm, options that timm refuses, or weights of another network.
    """
    require("safetensors", "read a link's weights")
    if not timm.is_model(link.model):
        raise ModelError(
            f"{link.name}: names the network '{link.model[:100]}', which this timm does not have", code="E_MODEL_NAME"
        )
    tensors = read_weights(folder / link.weights.path).tables[""]
    options: dict[str, Any] = dict(link.options)
    try:
        student = Student(timm.create_model(link.model, num_classes=len(link.labels), **options))
        if link.width < 1:
            cut_to_fit(student.backbone, tensors)
        student.backbone.load_state_dict(tensors)
    except WeckdError:
        raise
    except Exception as err:  # timm raises any kind of error
        raise ModelError(
            f"{link.name}: {link.model} with {options} is not made as its record says ({first_line(err)})",
            code="E_MODEL_OPTIONS",
        ) from err
    if link.width < 1 and count_parameters(student) != link.parameters:
        raise ModelError(
            f"{link.name}: its weights are {count_parameters(student):,} parameters of {link.network_text}, but its record "
            f"says {link.parameters:,}; are they those of another width?",
            code="E_MODEL_OTHER_WEIGHTS",
        )
    return student.eval()


def measure_student(student: Student, size: tuple[int, int]) -> StudentSize:
    """Count a student's parameters and the MACs of one ``[1, 3, *size]`` image.

    Raises:
        ModelError: The network cannot take such an image, as its options or the size do not suit it.
    """
    training = student.training
    student.eval()
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            logits, _ = student(torch.zeros(1, 3, *size))
    except Exception as err:  # a network may raise anything over an option that it took
        raise ModelError(
            f"{_name(student)}: cannot take an image of {size[1]} by {size[0]} pixels ({first_line(err)}); are its "
            "options and input_size right?",
            code="E_MODEL_INPUT_SIZE",
        ) from err
    if logits.ndim != 2:
        raise ModelError(
            f"{_name(student)}: expected a number for each class, it predicts {list(logits.shape)}; change its options",
            code="E_MODEL_OUTPUT",
        )
    student.train(training)
    return StudentSize(parameters=count_parameters(student), macs=counter.get_total_flops() // 2)


def count_parameters(student: Student) -> int:
    """Return the number of a student's weights, classifier included."""
    return sum(p.numel() for p in student.parameters())


def _name(student: Student) -> str:
    return str(getattr(student.backbone, "pretrained_cfg", {}).get("architecture") or type(student.backbone).__name__)


def check_order(links: Sequence[LinkConfig], sizes: Sequence[StudentSize]) -> None:
    """Refuse a chain that does not shrink. A link may be the same network at the same size as the one before it.

    Raises:
        ModelError: A link is smaller than its predecessor neither in parameters nor in MACs.
    """
    for i in range(1, len(links)):
        before, here = sizes[i - 1], sizes[i]
        one, other = links[i - 1], links[i]
        if (one.model, one.options, one.input_size, one.width) == (
            other.model,
            other.options,
            other.input_size,
            other.width,
        ):
            continue
        if here.parameters >= before.parameters and here.macs >= before.macs:
            raise ModelError(
                f"link {i + 1} ({describe_link(other)}: {here.parameters:,} parameters, {here.macs:,} MACs) is not smaller "
                f"than link {i} ({describe_link(one)}: {before.parameters:,}, {before.macs:,}); put the larger first or "
                "shrink it",
                code="E_MODEL_CHAIN_ORDER",
            )


def describe_link(link: LinkConfig) -> str:
    """Return a link's network, size and width in words."""
    return f"{link.model} at {link.input_size} px" + (f" and width {link.width:g}" if link.width < 1 else "")
