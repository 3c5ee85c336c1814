"""Every link of a chain made ready to ship, timed and held against the bars, and one of them chosen."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.artifacts import DatasetIndex, ExportedModel, LinkLatency, Measurement, Selection, Shipping, WeighedLink
from weckd_edge.assembly import versions
from weckd_edge.devices.bench import bench_model
from weckd_edge.devices.detect import detect, is_same_device
from weckd_edge.devices.frames import frame_from_file
from weckd_edge.devices.gates import judge, merge_bars
from weckd_edge.devices.power.table import open_source
from weckd_edge.shipping import choose_link, named_link, without_choice
from weckd_edge.store import Stage

if TYPE_CHECKING:
    from weckd_edge.stages import Stages
    from weckd_edge.train.chain import Chain

_FRAMES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Shipped:
    """The link that ships.

    Attributes:
        at: Its place in the chain.
        selected: Its precision and graph.
        shipping: Why this one, and how the others fared.
        measurements: Of every link that was weighed, as compiled, without a temperature.
    """

    at: int
    selected: Stage[Selection]
    shipping: Shipping
    measurements: tuple[Measurement, ...]


def ship(stages: Stages, chain: Chain, exports: Sequence[Stage[ExportedModel]], index: Stage[DatasetIndex]) -> Shipped:
    """Choose the link that ships; compile and weigh all of them where the bars are to decide."""
    names = [link.artifact.name for link in chain.links]
    named = named_link(stages.config.ship, names)
    if named is not None:
        at = names.index(named)
        selected = stages.select(at, exports, index)
        return Shipped(at=at, selected=selected, shipping=without_choice(named, names), measurements=())
    selections = [stages.select(at, exports, index) for at in range(len(names))]
    pairs = [weigh_link(stages, *each, index) for each in zip(names, exports, selections, strict=True)]
    shipping = choose_link([weighed for weighed, _ in pairs])
    stages.progress.note(f"ships: {shipping.reason}")
    at = names.index(shipping.chosen)
    return Shipped(at=at, selected=selections[at], shipping=shipping, measurements=tuple(found for _, found in pairs))


def weigh_link(
    stages: Stages, name: str, exported: Stage[ExportedModel], selected: Stage[Selection], index: Stage[DatasetIndex]
) -> tuple[WeighedLink, Measurement]:
    """Answer, time and judge one compiled link.

    Its times are taken anew in every build, as machines change; its answers are kept.
    """
    from weckd_edge.compile.verify import Candidate
    from weckd_edge.compile.weigh import Weight, weigh

    chosen, contract = selected.artifact, exported.artifact.input
    _, compiled = stages.candidates(selected)
    onnx = exported.folder / exported.artifact.onnx.path
    weight = stages.stage(
        f"weigh-{name}",
        Weight,
        {
            "selected": selected.artifact,
            "images": [[r.pixels_sha256, r.label, r.group, r.split] for r in index.artifact.images if r.split != "train"],
            "versions": versions(),
        },
        lambda _: weigh(
            Candidate(backend=compiled.backend, model=onnx, precision="fp32"),
            compiled,
            index.artifact,
            stages.root,
            contract,
        ),
    ).artifact
    records = [record for record in index.artifact.images if record.split == "val"][:_FRAMES]
    frames = np.concatenate([frame_from_file(stages.root / record.path, contract) for record in records])
    with closing(open_source("auto")) as meter:
        measured = bench_model(
            compiled.backend,
            compiled.model,
            frames,
            precision=compiled.precision,
            network_input_name=exported.artifact.network_input_name,
            onnx=selected.folder / chosen.onnx.path,
            queries=stages.config.ship.queries,
            warmup=stages.config.bench.warmup,
            threads=stages.config.bench.threads,
            power=meter,
            progress=stages.progress,
        )
    bars, here = merge_bars(stages.config.gates, stages.profile.bars), is_same_device(stages.profile, detect())
    size = sum(ref.bytes for ref in (chosen.built.files if chosen.built else (chosen.onnx,)))
    labels = index.artifact.labels
    gates = judge(bars, stages.profile, measured, weight.validation, size, here, labels, split="validation")
    weighed = WeighedLink(
        name=name,
        precision=chosen.precision,
        backend=compiled.backend,
        method=chosen.chosen,
        bytes=size,
        val_accuracy=weight.validation.accuracy_compiled,
        test_accuracy=weight.test.accuracy_compiled,
        latency=_latency(measured, here),
        here_p90_ns=measured.frame_to_answer.p90_ns,
        gates=gates,
    )
    return weighed, replace(measured, link=name)


def _latency(measured: Measurement, here: bool) -> LinkLatency:
    if here:
        p90 = float(measured.frame_to_answer.p90_ns)
        return LinkLatency(label="measured", p90_ns=p90, low_ns=None, high_ns=None, reason=f"on {measured.host}")
    return LinkLatency(label="unknown", p90_ns=None, low_ns=None, high_ns=None, reason="the device is not attached")
