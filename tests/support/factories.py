"""Artefacts for tests, whole and made by one place: a test names only the fields that it is about.

What the product computes from predictions (rates, recalls, flips, percentiles) is computed here by the product's own
functions, so that no artefact contradicts itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from weckd_edge.artifacts import (
    Colour,
    DatasetIndex,
    ExamChoice,
    ExamRule,
    FileRef,
    FrameSpec,
    GoldenFrames,
    ImageRecord,
    InputSpec,
    Latency,
    Link,
    Manifest,
    Measurement,
    NetworkInput,
    OperatingPoint,
    Parity,
    Prediction,
    Rate,
    Resize,
    Verification,
)
from weckd_edge.devices.bench.percentiles import summarize_latency
from weckd_edge.metrics.intervals import rate_by_group


def digest(text: str) -> str:
    """The SHA-256 of a text, where a digest is wanted and no file is there."""
    return hashlib.sha256(text.encode()).hexdigest()


def file_reference(path: str = "model/model.onnx", **changes: Any) -> FileRef:
    """A reference to a file that is not there."""
    return replace(FileRef(path=path, sha256=digest(path), bytes=1000), **changes)


def input_spec(
    side: int = 16,
    *,
    width: int | None = None,
    resize: Resize = "bilinear",
    mean: Colour = (0.5, 0.5, 0.5),
    std: Colour = (0.5, 0.5, 0.5),
) -> InputSpec:
    """A frame whose centred square has the network's size; square itself, where no width is named."""
    frame = FrameSpec(height=side, width=width or side, crop="center", resize=resize)
    return InputSpec(frame=frame, network=NetworkInput(height=side, width=side, mean=mean, std=std))


def rate(correct: int = 9, images: int = 10, groups: int | None = None) -> Rate:
    """So many images right, dealt to the groups in turn."""
    flags = np.arange(images) < correct
    return rate_by_group(flags, [f"g{number % (groups or images)}" for number in range(images)])


def image(path: str = "ear/0.png", **changes: Any) -> ImageRecord:
    """A test image that is a group of its own; its digests come from its path."""
    record = ImageRecord(
        path=path,
        label=0,
        group=path,
        split="test",
        labelled_subset=None,
        sha256=digest(path),
        pixels_sha256=digest(f"pixels of {path}"),
        width=32,
        height=24,
    )
    return replace(record, **changes)


def index(images: Sequence[ImageRecord], labels: tuple[str, ...], **changes: Any) -> DatasetIndex:
    """A data set of these images."""
    return replace(DatasetIndex(name="ears", labels=labels, images=tuple(images)), **changes)


def link(name: str = "M1", **changes: Any) -> Link:
    """A trained link of a chain."""
    made = Link(
        name=name,
        model="resnet10t",
        options={},
        input=input_spec(),
        labels=("ear", "wax"),
        parameters=1000,
        macs=1000,
        weights=file_reference("weights.safetensors", sha256=digest(name), bytes=4000),
        parent=None,
        labelled_subset=0,
        labels_used=1,
        images_used=2,
        val_accuracy=rate(),
        test_accuracy=rate(),
        epochs=10,
    )
    return replace(made, **changes)


def latency(samples_ns: Iterable[float] = (1_000_000,) * 64) -> Latency:
    """The percentiles of these times."""
    return summarize_latency([int(sample) for sample in samples_ns])


def measurement(samples_ns: Iterable[float] = (1_000_000,) * 64, **changes: Any) -> Measurement:
    """A bench with these times."""
    made = Measurement(
        device="generic-x86",
        host="Xeon",
        backend="openvino",
        backend_version="1",
        precision="int8",
        rules="single-stream, 64 queries",
        threads=1,
        end_to_end=latency(samples_ns),
        network=None,
        cold_start_ns=1,
        peak_rss_bytes=100 << 20,
        energy_mj=None,
    )
    return replace(made, **changes)


def manifest(onnx: FileRef | None = None, **changes: Any) -> Manifest:
    """The draft of a manifest, without compiled models; by default, of a graph that is not there."""
    graph = onnx or file_reference()
    made = Manifest(
        name="toy",
        target="cpu",
        device="generic-x86",
        labels=("ear", "wax"),
        input=input_spec(),
        input_name="frame",
        network_input_name="image",
        output_name="probabilities",
        operating_point=OperatingPoint(),
        exam=ExamRule(),
        models=(),
        onnx=graph,
        selftest=GoldenFrames(frames=graph, reference="openvino 1 int8"),
        gates=(),
        passed=True,
        synthetic=False,
        files=(),
        versions={"weckd-edge": "0.1.0"},
    )
    return replace(made, **changes)


def exam_choice(**changes: Any) -> ExamChoice:
    """A rule of examinations that was found on none."""
    found = ExamChoice(
        rule=ExamRule(),
        name="mean of logits",
        exams=0,
        groups=0,
        several_frames=0,
        candidates=(),
        threshold=None,
        notes=(),
    )
    return replace(found, **changes)


def verification(
    predictions: Sequence[Prediction], labels: Sequence[str], *, parity: tuple[Parity, ...] = (), backend: str = "openvino"
) -> Verification:
    """What the product's own summary says of these predictions."""
    from weckd_edge.compile.verify import parity as product

    records = [image(p.path, label=p.label, group=p.group) for p in predictions]
    taught = [p.teacher for p in predictions]
    found = product.summarize_verification(
        records,
        labels,
        np.array([p.fp32 for p in predictions]),
        np.array([p.compiled for p in predictions]),
        parity,
        product.Implementation(backend=backend, model=Path("model"), input=input_spec(), precision="int8"),
        np.array(taught) if all(taught) else None,
    )
    return replace(found, predictions=tuple(predictions))


def parity(a: str, b: str, predictions: Sequence[Prediction], tolerance: float | None = None, worst: int = 0) -> Parity:
    """What the product's own comparison says of FP32 and what was compiled, by these predictions."""
    from weckd_edge.compile.verify.parity import compare_outputs

    found = {a: np.array([p.fp32 for p in predictions]), b: np.array([p.compiled for p in predictions])}
    records = [image(p.path, label=p.label, group=p.group) for p in predictions]
    return compare_outputs(a, b, found, tolerance, records=records, worst=worst)
