"""Settings ``[[distill.teachers]]``: teachers from outside the chain."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from weckd_edge.config.base import check_licence, check_setting, check_within, path_field
from weckd_edge.core.network_options import NetworkOptions, check_network_options


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherConfig:
    """One teacher from outside the chain: a network that was trained before, as it is or fine-tuned on the labels.

    Attributes:
        model: timm name of the network, or ``hf_hub:owner/name``. None where the file of ``weights`` tells which it is: an
            ONNX file, the folder of a former build's link, or a checkpoint that names its network.
        weights: Weights of the network (safetensors, or a PyTorch file of plain tensors), an ONNX file, or the folder of a
            former build's link, relative to the configuration file.
        pretrained: Take timm's own pretrained weights; needs a network connection or a filled cache.
        input_size: Side of the teacher's own input, 32 to 1024 pixels. None takes what the file or timm names.
        options: Keyword arguments of ``timm.create_model`` that shape the network.
        mean: Mean of each RGB channel, of values in 0..1, that the weights were trained with. None takes the file's or
            timm's.
        std: Standard deviation of each RGB channel, of values in 0..1; given together with ``mean``, or not at all.
        channel_order: Order of the colour channels of an ONNX file, or of a checkpoint that names its network.
        head: What turns the teacher's outputs into classes: ``own``, its own classifier, whose classes are those of the data
            set; ``ridge``, a ridge regression that is fitted on its features, of an ONNX file on its outputs; or
            ``fine-tune``: the whole network is trained from a linear probe on. ``auto`` takes ``own`` where the file holds
            a classifier of as many classes as the data set has, else ``ridge``.
        seeds: Number of trainings of a fine-tuned teacher, 1 to 20, each with all labels that the last link may see and a
            seed of its own, whose predictions are averaged. None trains it once without each fold of ``teacher_folds``.
        epochs: Number of epochs of each training of a fine-tuned teacher, 1 to 100,000; None takes a link's.
        weights_licence: Licence of its weights, in words or as an SPDX expression, for the model card. None: not stated.
    """

    model: str | None = None
    weights: str | None = path_field(default=None)
    pretrained: bool = False
    input_size: int | None = None
    options: NetworkOptions = field(default_factory=dict)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channel_order: Literal["rgb", "bgr"] = "rgb"
    head: Literal["auto", "own", "ridge", "fine-tune"] = "auto"
    seeds: int | None = None
    epochs: int | None = None
    weights_licence: str | None = None

    def __post_init__(self) -> None:
        check_setting(
            self.head == "fine-tune"
            or bool(self.weights)
            or (self.model is not None and (self.pretrained or ":" in self.model)),
            f"teacher {self.name}: has no trained weights, so it knows nothing to teach; name a file (weights = ...), or "
            "set model and pretrained = true",
            code="E_CONFIG_OPTION_MISSING",
        )
        check_setting(
            not (self.weights and self.pretrained),
            f"teacher {self.name}: weights and pretrained contradict each other; keep one of the two",
            code="E_CONFIG_CONFLICT",
        )
        check_setting(
            not self.is_onnx or (self.model is None and not self.options),
            f"teacher {self.name}: an ONNX file says itself which network it is; leave model and options out",
            code="E_CONFIG_OPTION_UNUSED",
        )
        check_setting(
            not (self.head == "own" and self.pretrained),
            f"teacher {self.name}: head = 'own' asks for the classes of timm's pretrained weights, which are not the data "
            "set's; leave head out",
            code="E_CONFIG_CONFLICT",
        )
        check_setting(
            self.head != "fine-tune" or not self.is_onnx,
            f"teacher {self.name}: head = 'fine-tune' trains a network of timm, and an ONNX file only runs; take head = "
            "'own' or 'ridge', or leave it out",
            code="E_CONFIG_CONFLICT",
        )
        check_setting(
            self.channel_order == "rgb" or self.model is None,
            f"teacher {self.name}: channel_order = '{self.channel_order}' is for an ONNX file, or a checkpoint that names "
            "its network itself; leave it out, or leave model out",
            code="E_CONFIG_OPTION_UNUSED",
        )
        check_setting(
            self.head != "fine-tune" or self.model is not None,
            f"teacher {self.name}: head = 'fine-tune' trains a network of timm; name it (model = ...)",
            code="E_CONFIG_OPTION_MISSING",
        )
        for name in ("seeds", "epochs"):
            check_setting(
                getattr(self, name) is None or self.head == "fine-tune",
                f"teacher {self.name}: {name} = {getattr(self, name)}: is for head = 'fine-tune' alone; leave it out",
                code="E_CONFIG_OPTION_UNUSED",
            )
        if self.seeds is not None:
            check_within(f"teacher {self.name}: seeds", self.seeds, 1, 20)
        if self.epochs is not None:
            check_within(f"teacher {self.name}: epochs", self.epochs, 1, 100_000)
        if self.input_size is not None:
            check_within(f"teacher {self.name}: input_size", self.input_size, 32, 1024)
        check_network_options(self.options)
        check_setting(
            (self.mean is None) == (self.std is None),
            f"teacher {self.name}: give both mean and std, or neither",
            code="E_CONFIG_OPTION_MISSING",
        )
        for name in ("mean", "std"):
            for value in getattr(self, name) or ():
                check_within(f"teacher {self.name}: {name}", value, -1000, 1000)
        check_setting(self.std is None or min(self.std) > 0, f"teacher {self.name}: std must be over 0")
        check_licence(f"teacher {self.name}", self.weights_licence)

    @property
    def name(self) -> str:
        """Name of the teacher: the network's, else the file's."""
        return self.model or (PurePath(self.weights).name if self.weights else "without a name")

    @property
    def is_onnx(self) -> bool:
        """Whether the teacher is an ONNX file."""
        return bool(self.weights) and PurePath(str(self.weights)).suffix.lower() == ".onnx"
