"""A manifest and evidence of every kind, and the report that is written of them, for the tests of the report."""

import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from support import factories
from weckd_edge.artifacts import (
    BadFile,
    BuildRecord,
    BuiltModel,
    CalibrationCheck,
    CalibrationMetrics,
    ChainRecord,
    DataAudit,
    DatasetIndex,
    DisagreementFrame,
    Estimate,
    ExecutedLayer,
    FileRef,
    FingerprintAudit,
    FoldComparison,
    FrameSpec,
    Gate,
    GoldenFrames,
    InputSpec,
    LabelIssueAudit,
    Latency,
    LayerDivergence,
    LayerParity,
    Link,
    LinkSelection,
    Manifest,
    NetworkInput,
    PrecisionSelection,
    Prediction,
    QuantizationTrial,
    Rate,
    Recalibration,
    ReliabilityBin,
    StageTime,
)
from weckd_edge.report import (
    BundleContents,
    read_contents,
    write_evidence,
    write_report,
)

LABELS = ("chronic_otitis_media", "earwax_plug", "myringosclerosis", "normal")
INPUT = InputSpec(
    frame=FrameSpec(height=380, width=420, crop="center"),
    network=NetworkInput(height=128, width=128, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def rate(correct: int, images: int = 160, groups: int = 62) -> Rate:
    return factories.rate(correct, images, groups)


SELECTION = PrecisionSelection(
    trials=(
        QuantizationTrial(
            name="fp32", precision="fp32", method=None, accuracy=rate(72, 80, 30), net_lost=0, within_limits=True
        ),
        QuantizationTrial(
            name="int8 mse", precision="int8", method="mse", accuracy=rate(71, 80, 30), net_lost=1, within_limits=True
        ),
    ),
    chosen="int8 mse",
    reason="int8 mse takes 0.84 ms where FP32 takes 1.60 ms, and loses 1 validation image",
    images=80,
    timed_on="Intel Xeon 2.80 GHz, 2 cores",
    precision="int8",
    onnx=FileRef(path="model.onnx", sha256=sha("onnx"), bytes=623_412),
    quantized=None,
)


def link(name: str, model: str, parameters: int, macs: int, correct: int, parent: str | None, share: int) -> Link:
    return factories.link(
        name,
        model=model,
        input=INPUT,
        labels=LABELS,
        parameters=parameters,
        macs=macs,
        weights=FileRef(path=f"{name}.safetensors", sha256=sha(name), bytes=4 * parameters),
        parent=sha(parent) if parent else None,
        labelled_subset=share,
        labels_used=62,
        images_used=618,
        val_accuracy=rate(correct // 2, 88, 31),
        test_accuracy=rate(correct),
    )


def latency(scale: float, count: int = 1024) -> Latency:
    rng = np.random.default_rng(0)
    samples = (scale * 1e6 * (1 + rng.gamma(2.0, 0.03, count)) + (rng.random(count) < 0.004) * scale * 3e6).astype(int)
    return factories.latency(samples)


def softmax(logits: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(v) for v in np.exp(logits) / np.exp(logits).sum())


CHANGED = (10, 75)
"""Places of the test images that the compiled model decides otherwise than the network in FP32."""


def make_evidence(labels: tuple[str, ...] = LABELS) -> BundleContents:
    rng = np.random.default_rng(1)
    images, predictions = [], []
    for number in range(800):
        label, group = number % len(labels), f"g{number // 4:03}"
        split = ("train", "train", "train", "train", "train", "train", "train", "val", "test", "test")[number // 4 % 10]
        share = number // 40 % 7 if split == "train" else None
        images.append(
            factories.image(
                f"{labels[label]}/{number:04}.jpg",
                label=label,
                group=group,
                split=split,
                labelled_subset=share if share is not None and share < 3 else None,
                sha256=sha(f"f{number}"),
                pixels_sha256=sha(f"p{number if number % 50 else number + 1}"),
                width=420,
                height=380,
                published_split=("train", "train", "test")[number % 3],
            )
        )
        if split == "test":
            right = rng.random() < 0.9
            answer = label if right else int(rng.integers(len(labels)))
            logits = rng.normal(0, 0.6, len(labels))
            logits[answer] += 3
            rounded = logits + rng.normal(0, 0.01, len(labels))
            if len(predictions) in CHANGED:
                rounded[(answer + 1) % len(labels)] += 6
            predictions.append(
                Prediction(path=images[-1].path, group=group, label=label, fp32=softmax(logits), compiled=softmax(rounded))
            )
    same = [dataclasses.replace(p, compiled=p.fp32) for p in predictions]
    read_back = [dataclasses.replace(p, fp32=p.compiled) for p in predictions]
    m1 = link("M1", "mobilenetv2_100", 2_229_000, 102_300_000, 148, None, 0)
    m2 = link("M2", "mobilenetv2_050", 693_000, 34_100_000, 146, "M1", 1)
    m3 = link("M3", "mobilenetv2_035", 401_000, 14_200_000, 144, "M2", 2)
    baseline = dataclasses.replace(link("baseline", "mobilenetv2_035", 401_000, 14_200_000, 131, None, 2), images_used=62)
    return BundleContents(
        manifest=make_manifest(labels),
        dataset=DatasetIndex(
            name="ears",
            labels=labels,
            images=tuple(images),
            bad_files=(BadFile(path="normal/<b>broken</b>.jpg", reason="truncated after 1,204 bytes"),),
            near_duplicate_groups=31,
        ),
        chain=ChainRecord(links=(m1, m2, m3), baseline=baseline, labels_used=186),
        verification=factories.verification(
            predictions,
            labels,
            parity=(
                factories.parity("torch fp32", "onnxruntime fp32", same, 1e-4),
                factories.parity("onnxruntime int8", "openvino int8", read_back, 0.05),
                factories.parity("torch fp32", "openvino int8", predictions),
            ),
        ),
        measurement=factories.measurement(
            host="Intel Xeon 2.80 GHz, 2 cores",
            backend_version="2026.4.1",
            rules="single-stream, 1024 queries",
            end_to_end=latency(0.84),
            network=latency(0.61),
            cold_start_ns=182_000_000,
            peak_rss_bytes=171 << 20,
            warnings=("the processor's clock was not fixed",),
        ),
        build=BuildRecord(
            config=json.dumps({"seed": 0}, indent=1),
            steps=(
                StageTime(name="data", seconds=6.2, reused=True),
                StageTime(name="train M1", seconds=321.0, reused=False),
                StageTime(name="verify", seconds=12.4, reused=False),
            ),
            data_name="ears",
        ),
        selection=SELECTION,
        link_selection=LinkSelection(chosen="M3", reason="M3 was asked for"),
    )


def make_manifest(labels: tuple[str, ...] = LABELS, **changes: object) -> Manifest:
    refs = [FileRef(path=p, sha256=sha(p), bytes=n) for p, n in (("model/openvino/model.xml", 412_000), ("b", 481_000))]
    onnx = FileRef(path="model/model.onnx", sha256=sha("onnx"), bytes=623_412)
    manifest = factories.manifest(
        name="ears on generic-x86",
        labels=labels,
        input=INPUT,
        models=(
            BuiltModel(
                backend="openvino",
                backend_version="2026.4.1",
                precision="int8",
                kind="model",
                files=tuple(refs),
                source_sha256=onnx.sha256,
                expected=onnx,
                tolerance=1e-3,
                detail=("34 of 34 convolutions in int8",),
            ),
        ),
        onnx=onnx,
        selftest=GoldenFrames(frames=onnx, reference="openvino 2026.4.1 int8"),
        gates=(
            Gate(name="max_latency_p90_ms", limit=33.0, value=0.93, verdict="PASS", reason="0.93 ms is within 33 ms"),
            Gate(name="max_memory_mib", limit=256, value=171, verdict="PASS", reason="171 MiB is within 256 MiB"),
            Gate(name="max_accuracy_drop", limit=0.02, value=0.0, verdict="PASS", reason="nothing was lost"),
        ),
        versions={"weckd-edge": "0.1.0", "openvino": "2026.4.1", "numpy": np.__version__},
    )
    return dataclasses.replace(manifest, **changes)


def write(tmp_path: Path, evidence: BundleContents, manifest: Manifest, **more: object) -> str:
    write_evidence(tmp_path, evidence)
    write_report(read_contents(tmp_path, manifest), tmp_path / "r.html", **more)
    return (tmp_path / "r.html").read_text()


def text_of(html: str) -> str:
    main = html.split("<main")[1].partition(">")[2].split("</main>")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main)).replace("&nbsp;", " ")


class Checker(HTMLParser):
    """Collects what a browser would fetch, and finds tags that are not closed."""

    VOID = frozenset({"meta", "link", "img", "br", "wbr", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def figures(ece: float) -> CalibrationMetrics:
    one = Estimate(value=ece, low=ece / 2, high=ece * 2)
    filled = ReliabilityBin(images=40, confidence=0.9, accuracy=0.8)
    return CalibrationMetrics(ece=one, rms_debiased=one, brier=one, nll=one, bins=(filled,) * 15)


def check(temperature: float = 1.62) -> CalibrationCheck:
    return CalibrationCheck(
        recalibration=Recalibration(
            temperature=temperature,
            unshrunk=temperature,
            val_images=88,
            val_groups=31,
            val_nll_before=0.52,
            val_nll_after=0.47,
            predicted_by="openvino int8",
            note="fitted on few images",
        ),
        before=figures(0.112),
        after=figures(0.041),
    )


def layer(name: str, sqnr_db: float | None, disturbed: float = 0.0) -> LayerParity:
    return LayerParity(name=name, kind="Conv", sqnr_db=sqnr_db, max_abs=0.25, peak=6.0, disturbed=disturbed)


def parting(*, first: int | None = 2, disturbed: float = 0.0) -> LayerDivergence:
    layers = (layer("stem", None), layer("block.0", 44.0), layer("block.1", 12.5, disturbed), layer("head", 11.0))
    return LayerDivergence(
        a="written", b="openvino int8", frames=6, threshold_db=20.0, first=first, steepest=2, layers=layers
    )


def full_evidence() -> BundleContents:
    evidence = make_evidence()
    verification = evidence.verification
    far = tuple(
        DisagreementFrame(path=p.path, label=p.label, a=(0.7, 0.1, 0.1, 0.1), b=(0.2, 0.6, 0.1, 0.1))
        for p in verification.predictions[:2]
    )
    pair = dataclasses.replace(verification.parity[1], only_a_right=6, only_b_right=0, mcnemar_p=0.03125, worst=far)
    executed = (
        ExecutedLayer(name="conv_1", kind="Convolution", precision="u8", kernel="brgconv_avx512_I8"),
        ExecutedLayer(name="conv_2", kind="Convolution", precision="f32", kernel="jit_avx512"),
        ExecutedLayer(name="softmax", kind="Softmax", precision="f32", kernel="jit"),
    )
    return dataclasses.replace(
        evidence,
        verification=dataclasses.replace(
            verification,
            parity=(verification.parity[0], pair, verification.parity[2]),
            calibration=check(),
            layer_divergences=(parting(),),
            executed=executed,
        ),
    )


def probes() -> DataAudit:
    some = Estimate(value=0.07, low=0.03, high=0.11)
    return DataAudit(
        features="frozen mobilenetv2_035 at 96 px",
        pretrained=True,
        images=811,
        groups=309,
        labels=LABELS,
        majority=0.27,
        published=None,
        this_split=None,
        folds=FoldComparison(folds=5, repeats=5, images=811, by_image=some, by_group=some, optimism=some),
        masking=None,
        fingerprints=(FingerprintAudit(name="size", features="width, height", accuracy=rate(140), auc=None),),
        sources=None,
        label_issues=LabelIssueAudit(images=811, found=0, label_issues=()),
        notes=("<i>one</i> note",),
    )
