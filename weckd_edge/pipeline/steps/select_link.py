"""Every link of a chain made ready to ship, timed and held against the limits, and one of them chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from weckd_edge.artifacts import (
    DatasetIndex,
    ExportedModel,
    GuardRecord,
    InputContract,
    LinkEvaluation,
    LinkLatency,
    LinkSelection,
    Measurement,
    PrecisionSelection,
)
from weckd_edge.config import BuildConfig
from weckd_edge.core.errors import ModelError
from weckd_edge.core.fingerprint import library_versions
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Stage
from weckd_edge.devices.bench.bench import bench_model
from weckd_edge.devices.bench.power.table import open_source
from weckd_edge.devices.gates.gates import evaluate_gates, merge_limits
from weckd_edge.devices.gates.slices import evaluate_slices
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.latency_model.estimate import estimate_latency
from weckd_edge.devices.latency_model.measurements import read_measurements
from weckd_edge.devices.machine.detect import detect, is_same_device
from weckd_edge.devices.profiles.profile import DeviceProfile
from weckd_edge.devices.runtime.input_guard import OpenGuard
from weckd_edge.metrics import measure_slices
from weckd_edge.pipeline.latency_calibration import count_file
from weckd_edge.pipeline.steps.rank_links import choose_link, last_link_selection, requested_link

if TYPE_CHECKING:
    from weckd_edge.compile.verify.parity import Candidate
    from weckd_edge.train.distill.chain import TrainedChain

T = TypeVar("T")

_FRAMES = 8


class Workshop(Protocol):
    """What a build lends to the weighing: its settings, its store, and how a link is made ready to ship."""

    config: BuildConfig
    profile: DeviceProfile
    progress: Progress
    root: Path

    def stage(self, name: str, kind: type[T], key: object, make: Callable[[Path], T]) -> Stage[T]: ...

    def select(
        self, at: int, exports: Sequence[Stage[ExportedModel]], index: Stage[DatasetIndex]
    ) -> Stage[PrecisionSelection]: ...

    def guard(self, contract: InputContract, index: Stage[DatasetIndex]) -> Stage[GuardRecord]: ...

    def candidates(self, selected: Stage[PrecisionSelection]) -> tuple[Candidate, Candidate]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectedLink:
    """The link that is deployed.

    Attributes:
        at: Its place in the chain.
        selected: Its precision and graph.
        shipping: Why this one, and how the others fared.
        measurements: Of every link that was weighed, as compiled, without a temperature.
    """

    at: int
    selected: Stage[PrecisionSelection]
    shipping: LinkSelection
    measurements: tuple[Measurement, ...]


def select_link(
    build: Workshop, chain: TrainedChain, exports: Sequence[Stage[ExportedModel]], index: Stage[DatasetIndex]
) -> SelectedLink:
    """Choose the link that is deployed; compile and weigh all of them where the limits are to decide."""
    names = [link.artifact.name for link in chain.links]
    named = requested_link(build.config.ship, names)
    if named is not None:
        at = names.index(named)
        selected = build.select(at, exports, index)
        return SelectedLink(at=at, selected=selected, shipping=last_link_selection(named, names), measurements=())
    selections = [build.select(at, exports, index) for at in range(len(names))]
    pairs = [evaluate_link(build, *each, index) for each in zip(names, exports, selections, strict=True)]
    link_selection = choose_link([evaluations for evaluations, _ in pairs])
    build.progress.note(f"ships: {link_selection.reason}")
    at = names.index(link_selection.chosen)
    return SelectedLink(
        at=at, selected=selections[at], shipping=link_selection, measurements=tuple(found for _, found in pairs)
    )


def evaluate_link(
    build: Workshop,
    name: str,
    exported: Stage[ExportedModel],
    selected: Stage[PrecisionSelection],
    index: Stage[DatasetIndex],
) -> tuple[LinkEvaluation, Measurement]:
    """Answer, time and judge one compiled link.

    Its times are taken anew in every build, as machines change; its predictions are kept.
    """
    from weckd_edge.compile.verify.evaluate import SplitVerifications, verify_splits
    from weckd_edge.compile.verify.parity import Candidate

    chosen, contract = selected.artifact, exported.artifact.input
    _, compiled = build.candidates(selected)
    onnx = exported.folder / exported.artifact.onnx.path
    weight = build.stage(
        f"weigh-{name}",
        SplitVerifications,
        {
            "selected": selected.artifact,
            "images": [[r.pixels_sha256, r.label, r.group, r.split] for r in index.artifact.images if r.split != "train"],
            "versions": library_versions(),
        },
        lambda _: verify_splits(
            Candidate(backend=compiled.backend, model=onnx, precision="fp32"),
            compiled,
            index.artifact,
            build.root,
            contract,
        ),
    ).artifact
    records = [record for record in index.artifact.images if record.split == "val"][:_FRAMES]
    frames = np.concatenate([frame_from_file(build.root / record.path, contract) for record in records])
    guard = build.guard(contract, index).artifact.guard
    with closing(open_source("auto")) as meter:
        measured = bench_model(
            compiled.backend,
            compiled.model,
            frames,
            precision=compiled.precision,
            network_input_name=exported.artifact.network_input_name,
            onnx=selected.folder / chosen.onnx.path,
            queries=build.config.ship.queries,
            warmup=build.config.bench.warmup,
            threads=build.config.bench.threads,
            power=meter,
            guard=OpenGuard(guard, contract) if guard is not None else None,
            progress=build.progress,
        )
    limits, here = merge_limits(build.config.gates, build.profile.bars), is_same_device(build.profile, detect())
    size = sum(ref.bytes for ref in (chosen.built.files if chosen.built else (chosen.onnx,)))
    labels = index.artifact.labels
    latency = _latency(build, compiled.model, measured, here)
    gates = evaluate_gates(
        limits,
        build.profile,
        measured,
        weight.validation,
        size,
        here,
        labels,
        split="validation",
        predicted=latency,
    )
    if limits.slice_accuracy is not None or limits.slice_recall is not None:
        slices = measure_slices(weight.validation, index.artifact, build.config.report)
        gates = (*gates, *evaluate_slices(limits, slices, labels, split="validation"))
    evaluations = LinkEvaluation(
        name=name,
        precision=chosen.precision,
        backend=compiled.backend,
        method=chosen.chosen,
        bytes=size,
        val_accuracy=weight.validation.accuracy_compiled,
        test_accuracy=weight.test.accuracy_compiled,
        latency=latency,
        here_p90_ns=measured.frame_to_answer.p90_ns,
        gates=gates,
    )
    return evaluations, replace(measured, link=name)


def _latency(build: Workshop, model: Path, measured: Measurement, here: bool) -> LinkLatency:
    """Return what is known of a link's time on the device: measured where this is that device, else predicted."""
    if here:
        p90 = float(measured.frame_to_answer.p90_ns)
        return LinkLatency(label="measured", p90_ns=p90, low_ns=None, high_ns=None, reason=f"on {measured.host}")
    timed = build.config.ship.measurements
    try:
        found = estimate_latency(count_file(model), build.profile, read_measurements(Path(timed)) if timed else ())
    except ModelError as err:  # a graph with layers nobody has priced
        return LinkLatency(label="unknown", p90_ns=None, low_ns=None, high_ns=None, reason=str(err))
    return LinkLatency(
        label=found.label, p90_ns=found.latency_ns, low_ns=found.low_ns, high_ns=found.high_ns, reason=found.reason
    )
