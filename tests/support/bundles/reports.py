"""What a small bundle holds, whole and computed from drawn predictions: goldens and fixtures are made of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from support import factories
from weckd_edge.artifacts import (
    BuildRecord,
    ChainRecord,
    Distribution,
    Environment,
    Gate,
    ImageRecord,
    LinkSelection,
    Manifest,
    PrecisionSelection,
    Prediction,
    QuantizationTrial,
    StageTime,
)
from weckd_edge.config import ReportConfig
from weckd_edge.core.serialization import to_json
from weckd_edge.metrics import measure_metrics
from weckd_edge.report import BundleContents

LABELS = ("effusion", "normal", "wax")
CHANGED = (5, 20)
"""Places of the test images that the compiled model decides otherwise than the network in FP32."""


def softmax(logits: Any) -> tuple[float, ...]:
    """Probabilities to four digits, so that no processor tells itself by the last of them."""
    found = np.exp(logits) / np.exp(logits).sum()
    return tuple(round(float(value), 4) for value in found)


def small_manifest(**changes: Any) -> Manifest:
    """The draft of the small bundle's manifest."""
    gates = (Gate(name="max_latency_p90_ms", limit=33.0, value=0.9, verdict="PASS", reason="0.90 ms is within 33 ms"),)
    return replace(factories.manifest(name="ears", labels=LABELS, gates=gates), **changes)


def small_contents(manifest: Manifest | None = None, count: int = 96) -> BundleContents:
    """A chain of two links on so many images, a third of them tested."""
    random = np.random.default_rng(0)
    images: list[ImageRecord] = []
    predictions: list[Prediction] = []
    for number in range(count):
        label, split = number % len(LABELS), ("train", "val", "test")[number // 3 % 3]
        path, group = f"{LABELS[label]}/{number:03}.png", f"g{number // 3:02}"
        share = number % 2 if split == "train" else None
        images.append(
            factories.image(path, label=label, group=group, split=split, labelled_subset=share, width=64, height=48)
        )
        if split != "test":
            continue
        logits = random.normal(0, 0.5, len(LABELS))
        logits[label if random.random() < 0.9 else (label + 1) % len(LABELS)] += 3
        rounded = logits + random.normal(0, 0.02, len(LABELS))
        if len(predictions) in CHANGED:
            rounded[(int(logits.argmax()) + 1) % len(LABELS)] += 6
        predictions.append(
            Prediction(
                path=path,
                group=group,
                label=label,
                fp32=softmax(logits),
                compiled=softmax(rounded),
                teacher=softmax(logits * 1.5),
            )
        )
    dataset = factories.index(images, LABELS)
    verification = factories.verification(
        predictions, LABELS, parity=(factories.parity("torch fp32", "openvino int8", predictions, worst=2),)
    )
    accuracy = verification.accuracy_fp32
    first = factories.link("M1", labels=LABELS, macs=9_000_000, parameters=900_000, test_accuracy=accuracy)
    last = factories.link(
        "M2",
        labels=LABELS,
        macs=2_000_000,
        parameters=200_000,
        labelled_subset=1,
        parent=first.weights.sha256,
        test_accuracy=accuracy,
    )
    names = ("M1 torch fp32", "M2 torch fp32", "M2 openvino int8")
    return BundleContents(
        manifest=manifest or small_manifest(),
        dataset=dataset,
        chain=ChainRecord(links=(first, last), baseline=None, labels_used=32),
        verification=verification,
        measurement=factories.measurement([900_000 + 100 * (number % 50) for number in range(256)], cold_start_ns=10**8),
        build=BuildRecord(
            config=to_json({"seed": 0}), steps=(StageTime(name="data", seconds=1.5, reused=False),), data_name="ears"
        ),
        selection=PrecisionSelection(
            trials=(
                QuantizationTrial(name="fp32", precision="fp32", method=None),
                QuantizationTrial(name="int8 mse", precision="int8", method="mse"),
            ),
            chosen="int8 mse",
            reason="int8 was asked for",
            images=32,
            timed_on=None,
            precision="int8",
            onnx=factories.file_reference(),
            quantized=None,
        ),
        link_selection=LinkSelection(chosen="M2", reason="M2 was asked for"),
        metrics=measure_metrics(verification, dataset, ReportConfig(), names=names),
        environment=Environment(
            python="CPython 3.11.7",
            system="Debian GNU/Linux 12 (bookworm)",
            kernel="Linux 6.1 x86_64",
            processor="Intel Xeon",
            distributions=(Distribution(name="numpy", version="2.4.6", licence="BSD-3-Clause"),),
            backbones=(),
        ),
    )
