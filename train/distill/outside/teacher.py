"""A teacher from outside the chain, opened: a function from images to features, and its own classifier where it has one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weckd_edge.artifacts import DatasetIndex, NetworkInput, TeacherRecord
from weckd_edge.config import LinkConfig
from weckd_edge.core.errors import DataError, ModelError
from weckd_edge.core.store import digest_of
from weckd_edge.train.distill.reproducible import full_precision
from weckd_edge.train.networks.models import Student
from weckd_edge.train.networks.preprocess import normalise

Head = Literal["own", "ridge", "fine-tune"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTuning:
    """Training of a teacher on the labels that the links may see.

    Attributes:
        link: The network, and the weights it starts from.
        seeds: Number of trainings with all labels; None trains once without each fold.
        epochs: Number of epochs of each training; None takes those of a link.
    """

    link: LinkConfig
    seeds: int | None
    epochs: int | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OutsideTeacher:
    """Network that was trained elsewhere, and stays as it is or is fine-tuned.

    Attributes:
        name: Name in records and in messages.
        identity: Everything that its outputs depend on, such as the digest of its weights, for keys.
        input: Size of its input, and the normalisation, which the functions below do themselves.
        features: Function from images ``[B, 3, S, S]`` in 0..255 on its device to features ``[B, D]``.
        classify: Function from such images to probabilities ``[B, outputs]``; None where it has no classifier.
        outputs: Number of outputs of its classifier; 0 without one.
        labels: Class names in the order of these outputs; None where its file names none.
        head: What turns its outputs into classes; ``auto`` takes its own classifier where that has as many classes.
        modules: Modules of this package that run it, for keys.
        fine_tuning: How it is trained where ``head`` is ``fine-tune``; None for a network that can only be run.
        network: Network of torch, which can be moved to another device; None where something else runs it on the CPU.
        trained_on: SHA-256 of the pixels of its training images, hexadecimal, where they are known.
        chosen_by: SHA-256 of the pixels of its validation images, hexadecimal, where they are known.
    """

    name: str
    identity: object
    input: NetworkInput
    features: Callable[[Tensor], Tensor]
    classify: Callable[[Tensor], Tensor] | None = None
    outputs: int = 0
    labels: tuple[str, ...] | None = None
    head: Literal["auto", "own", "ridge", "fine-tune"] = "auto"
    modules: tuple[str, ...] = ()
    fine_tuning: FineTuning | None = None
    network: nn.Module | None = None
    trained_on: frozenset[str] = frozenset()
    chosen_by: frozenset[str] = frozenset()

    def refuse_held_out(self, index: DatasetIndex) -> None:
        """Refuse a teacher that is known to have been trained on held-out images, or chosen by test images.

        Raises:
            DataError: The teacher was.
        """
        shown = (
            (index.split("val"), "validation", self.trained_on),
            (index.split("test"), "test", self.trained_on | self.chosen_by),
        )
        for held_out, word, known in shown:
            seen = [record.path for record in held_out if record.pixels_sha256 in known]
            if seen:
                raise DataError(
                    f"teacher {self.name}: {len(seen)} of {len(held_out)} {word} images were among those that "
                    f"it was trained on (the first is {seen[0]}), so no accuracy could be trusted; take a link of a build "
                    "with this very split (the same data set and seed), or another teacher",
                    code="E_DATA_TRAINED_ON",
                )

    @property
    def device(self) -> torch.device:
        """Device that it takes images on."""
        return torch.device("cpu") if self.network is None else next(self.network.parameters()).device

    def move_to(self, device: torch.device) -> None:
        """Bring its network to a device; one that torch does not run stays where it is."""
        if self.network is not None:
            self.network.to(device)

    def head_for(self, labels: tuple[str, ...]) -> Head:
        """Return what turns its outputs into these classes.

        Raises:
            ModelError: The teacher's own classifier is asked for, and has other classes.
        """
        if self.head == "fine-tune":
            return "fine-tune"
        named = self.labels is None or set(self.labels) == set(labels)
        fits = self.classify is not None and self.outputs == len(labels) and named
        if self.head == "own" and not fits:
            found = f"{self.outputs} outputs" if self.labels is None else f"the classes {', '.join(self.labels)}"
            raise ModelError(
                f"teacher {self.name}: expected a classifier of the data set's {len(labels)} classes "
                f"({', '.join(labels)}), found {found if self.outputs else 'none'}; set head = 'ridge', which fits one",
                code="E_MODEL_CLASSES",
            )
        return "own" if fits and self.head != "ridge" else "ridge"

    def record(self, labels: tuple[str, ...]) -> TeacherRecord:
        """Return the record of this teacher for a data set with these classes."""
        return TeacherRecord(
            name=self.name,
            sha256=digest_of([self.identity, self.input]),
            input=self.input,
            head=self.head_for(labels),
        )

    def probabilities(self, images: Tensor, labels: tuple[str, ...]) -> Tensor:
        """Return its own classifier's probabilities, in the order of these labels, which are its classes."""
        if self.classify is None:
            raise ValueError(f"{self.name} has no classifier")
        found = self.classify(images)
        return found if self.labels is None else found[:, [self.labels.index(label) for label in labels]]


def torch_teacher(
    student: Student,
    network_input: NetworkInput,
    *,
    name: str,
    identity: object,
    outputs: int = 0,
    labels: tuple[str, ...] | None = None,
    head: Literal["auto", "own", "ridge", "fine-tune"] = "auto",
) -> OutsideTeacher:
    """Return a network of timm as a teacher; its features are what its classifier reads.

    Args:
        student: The network, with its weights.
        network_input: Size and normalisation of its input.
        name: Name in records and in messages.
        identity: Everything that its weights and input depend on.
        outputs: Number of outputs of its classifier; 0 where that was not trained.
        labels: Class names in the order of its outputs.
        head: What turns its outputs into classes.
    """
    backbone = student.eval().requires_grad_(False).backbone

    def features(images: Tensor) -> Tensor:
        with torch.inference_mode(), full_precision(images.device):
            shown = normalise(images, network_input).contiguous(memory_format=torch.channels_last)
            map_ = backbone.forward_features(shown)  # type: ignore[operator]  # timm's models are untyped
            found: Tensor = backbone.forward_head(map_, pre_logits=True)  # type: ignore[operator]  # likewise
            return found.flatten(1)

    def classify(images: Tensor) -> Tensor:
        with torch.inference_mode(), full_precision(images.device):
            logits, _ = student(normalise(images, network_input))
            probabilities: Tensor = logits.softmax(dim=1)
            return probabilities

    return OutsideTeacher(
        name=name,
        identity=identity,
        input=network_input,
        features=features,
        classify=classify if outputs else None,
        outputs=outputs,
        labels=labels,
        head=head,
        network=student,
    )


def array_teacher(
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    to_probabilities: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None,
    network_input: NetworkInput,
    **described: Any,
) -> OutsideTeacher:
    """Return a network that torch does not run as a teacher; its features are its outputs.

    Args:
        run: Function from normalised images ``[B, 3, S, S]`` to outputs ``[B, D]``.
        to_probabilities: Function from such outputs to probabilities; None where they are no classes.
        network_input: Size and normalisation of its input.
        described: The other fields of ``OutsideTeacher``.
    """

    def features(images: Tensor) -> Tensor:
        return torch.from_numpy(run(normalise(images, network_input).numpy()))

    def classify(images: Tensor) -> Tensor:
        if to_probabilities is None:
            raise ValueError("its outputs are no classes")
        return torch.from_numpy(to_probabilities(run(normalise(images, network_input).numpy())))

    return OutsideTeacher(
        input=network_input, features=features, classify=None if to_probabilities is None else classify, **described
    )
