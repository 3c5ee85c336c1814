"""The deployed link is selected: the smallest that misses no limit on validation images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from weckd_edge.artifacts import DatasetIndex, FrameGuard, Gate, LinkEvaluation, LinkLatency, LinkSelection, Measurement
from weckd_edge.config import SelectConfig
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.gates.gates import GateEvidence, evaluate_gates
from weckd_edge.devices.gates.slices import evaluate_slices
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.latency_model.estimate import estimate_latency
from weckd_edge.devices.latency_model.measurements import read_measurements
from weckd_edge.metrics import measure_slices
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.latency_calibration import count_file
from weckd_edge.pipeline.networks import Student, TrainedChain, TrainedNetwork
from weckd_edge.pipeline.steps.bench import bench
from weckd_edge.pipeline.steps.predict import predict_validation

_WORDS = {
    "max_latency_p90_ms": ("end-to-end latency", "a smaller link, a lower input_size, or a faster power mode"),
    "max_memory_mib": ("peak memory", "a smaller link or a lower input_size"),
    "max_size_mib": ("size", "a narrower link"),
    "max_energy_mj": ("energy of a frame", "a smaller link or a lower power mode"),
    "min_accuracy": ("accuracy", "more labels, longer training, or a larger last link"),
    "min_per_class_recall": (
        "minimum per-class sensitivity",
        "more labels of that class, or train.balance = 1",
    ),
    "min_slice_accuracy": ("minimum accuracy in a slice", "more labels of that slice, or a larger last link"),
    "min_slice_recall": ("minimum per-class sensitivity in a slice", "more labels of that class there"),
    "min_exam_accuracy": ("accuracy of examinations", "more labels, or more frames of an examination (exam.min_frames)"),
    "min_exam_recall": ("minimum per-class sensitivity of examinations", "more labels of that class"),
    "better_than_chance": (
        "balanced accuracy",
        "more labels or longer training; for an imported network, its description",
    ),
    "max_accuracy_drop": ("accuracy lost by compiling", 'quantize.precision = "fp16", or quantize_aware for the link'),
}
"""Name of each gate in sentences, and what to try where its limit is missed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkChoice:
    """The link that is deployed.

    Attributes:
        student: The compiled link.
        link_selection: Reason for this link, and the evaluation of every link.
        measurement: Bench of this link.
        latency: Latency of this link on the device.
        others: Benches of the other links, each of which names its link.
    """

    student: Student
    link_selection: LinkSelection
    measurement: Measurement
    latency: LinkLatency
    others: tuple[Measurement, ...] = ()


def select_link(
    ctx: BuildContext,
    chain: TrainedChain,
    compile_link: Callable[[TrainedNetwork], Student],
    guard: FrameGuard | None,
    images: SplitFrames,
    index: DatasetIndex,
) -> LinkChoice:
    """Compile and measure links, each once, and choose the one that is deployed.

    It begins with the last link and ends with the first that misses no limit, unless the settings compare every link.

    Args:
        ctx: The build.
        chain: The whole chain.
        compile_link: Makes a network what a device would run.
        guard: The input guard, the same for every link; None where the bundle has none.
        images: The validation images; test images are not used.
        index: The data set, for its labels and slices.

    Raises:
        DataError: There is no validation image.
        ModelError: A model cannot be made, or cannot be opened on this machine.
    """
    images.required("to select a link on")
    names = [network.name for network in chain.networks]
    named = requested_link(ctx.config.select, names)
    if named is not None:
        student = compile_link(next(network for network in chain.networks if network.name == named))
        measured = bench(ctx, student, images, guard)
        return LinkChoice(
            student=student,
            link_selection=last_link_selection(named, names),
            measurement=measured,
            latency=_latency(ctx, student.deployed.model, measured),
        )
    compiled = list[tuple[Student, Measurement, LinkEvaluation]]()
    for network in reversed(chain.networks):
        student = compile_link(network)
        measured = bench(ctx, student, images, guard)
        evaluation = evaluate_link(ctx, student, measured, images, index)
        compiled.insert(0, (student, measured, evaluation))
        if evaluation.passes and not ctx.config.select.compare:
            break
    limits = ctx.limits
    unjudged = [name for name in ("min_exam_accuracy", "min_exam_recall") if getattr(limits, name) is not None]
    link_selection = choose_link([evaluation for _, _, evaluation in compiled], unjudged)
    ctx.progress.note(f"deployed: {link_selection.reason}")
    student, measured, chosen = next(found for found in compiled if found[0].name == link_selection.chosen)
    return LinkChoice(
        student=student,
        link_selection=link_selection,
        measurement=measured,
        latency=chosen.latency,
        others=tuple(replace(its, link=one.name) for one, its, _ in compiled if one is not student),
    )


def evaluate_link(
    ctx: BuildContext, student: Student, measured: Measurement, images: SplitFrames, index: DatasetIndex
) -> LinkEvaluation:
    """Evaluate a compiled link by its bench and by its predictions for the validation images."""
    from weckd_edge.compile.verify.parity import summarize_verification

    compiled = student.deployed
    validation = summarize_verification(
        images.records,
        index.labels,
        student.network.predict(images),
        predict_validation(ctx, student, images),
        (),
        compiled,
    )
    latency = _latency(ctx, compiled.model, measured)
    gates = evaluate_gates(
        ctx.limits,
        ctx.profile,
        GateEvidence(
            measurement=measured,
            verification=validation,
            split="validation",
            size_bytes=student.loaded_bytes,
            measured_on_device=ctx.on_device,
            predicted=latency,
        ),
        index.labels,
    )
    if ctx.limits.min_slice_accuracy is not None or ctx.limits.min_slice_recall is not None:
        slices = measure_slices(validation, index, ctx.config.report)
        gates = (*gates, *evaluate_slices(ctx.limits, slices, index.labels, split="validation"))
    return LinkEvaluation(
        name=student.name,
        precision=student.selection.precision,
        backend=compiled.backend,
        method=student.selection.chosen,
        bytes=student.loaded_bytes,
        val_accuracy=validation.accuracy_compiled,
        latency=latency,
        build_machine_p90_ns=measured.end_to_end.p90_ns,
        gates=gates,
    )


def _latency(ctx: BuildContext, model: Path, measured: Measurement) -> LinkLatency:
    """Return a link's latency on the device: measured where this machine is that device, else estimated."""
    if ctx.on_device:
        p90 = float(measured.end_to_end.p90_ns)
        return LinkLatency(label="measured", p90_ns=p90, low_ns=None, high_ns=None, reason=f"on {measured.host}")
    timed = ctx.config.select.measurements
    try:
        found = estimate_latency(count_file(model), ctx.profile, read_measurements(Path(timed)) if timed else ())
    except ModelError as err:  # the graph has layers that the latency model does not know
        return LinkLatency(label="unknown", p90_ns=None, low_ns=None, high_ns=None, reason=str(err))
    return LinkLatency(
        label=found.label, p90_ns=found.latency_ns, low_ns=found.low_ns, high_ns=found.high_ns, reason=found.reason
    )


def requested_link(config: SelectConfig, names: Sequence[str]) -> str | None:
    """Return the name of the link that the settings ask for; None where the limits decide."""
    if len(names) == 1 or config.link == "last":
        return names[-1]
    return None if config.link == "smallest" else config.link


def last_link_selection(name: str, names: Sequence[str]) -> LinkSelection:
    """Return the selection of a link that the settings name, or that is the only one."""
    return LinkSelection(chosen=name, reason=f"{name} was asked for" if len(names) > 1 else f"{name} is the only link")


def choose_link(links: Sequence[LinkEvaluation], unjudged: Sequence[str] = ()) -> LinkSelection:
    """Select the smallest link that misses no limit; where every one misses some, the one that comes closest.

    Args:
        links: The evaluated links, largest first; at least one.
        unjudged: Names of limits that are set and that no link was evaluated against: those of examinations, whose rule is
            made for the deployed link.
    """
    passing = [link for link in links if link.passes]
    if passing:
        chosen = passing[-1]
        return LinkSelection(chosen=chosen.name, reason=_why(chosen, links, unjudged), links=tuple(links))
    chosen = min(reversed(links), key=gate_distance)
    return LinkSelection(
        chosen=chosen.name,
        reason=f"no link meets every limit; {chosen.name} comes closest: {_missed(chosen)}",
        links=tuple(links),
        advice=tuple(_advice(gate) for gate in chosen.gates if gate.verdict == "FAIL"),
    )


def gate_distance(link: LinkEvaluation) -> float:
    """Return by how much a link misses its limits: the sum of the gaps, each relative to its limit."""
    return sum(_gap(gate) for gate in link.gates if gate.verdict == "FAIL")


def _gap(gate: Gate) -> float:
    return abs((gate.value or 0.0) - gate.limit) / max(abs(gate.limit), 1e-3)


def _why(chosen: LinkEvaluation, links: Sequence[LinkEvaluation], unjudged: Sequence[str]) -> str:
    smaller = [link for link in links[links.index(chosen) + 1 :] if not link.passes]
    what = (
        "is the smallest link that meets every limit"
        if not unjudged and all(g.verdict == "PASS" for g in chosen.gates)
        else ("is the smallest link that misses no limit")
    )
    open_ = [_WORDS[name][0] for name in (*(g.name for g in chosen.gates if g.verdict == "INCONCLUSIVE"), *unjudged)]
    rest = f"; not judged here: {', '.join(open_)}" if open_ else ""
    found = "; ".join(f"{link.name} {_missed(link)}" for link in smaller)
    return f"{chosen.name} {what}{rest}{'; ' + found if found else ''}"


def _missed(link: LinkEvaluation) -> str:
    return "misses " + ", ".join(f"{_WORDS[g.name][0]} ({g.reason})" for g in link.gates if g.verdict == "FAIL")


def _advice(gate: Gate) -> str:
    name, what = _WORDS[gate.name]
    word = "raise" if gate.name.startswith("max_") else "lower"
    return f"{name}: {gate.reason}; try {what}, or {word} gates.{gate.name}"
