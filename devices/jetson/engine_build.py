"""Build an engine of a bundle in one of the ways that its recipe lists, and test it on the golden frames."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from weckd_edge.artifacts import BuiltModel, FileRef, Takes
from weckd_edge.bundle.reader import DEVICE_FOLDER, Bundle
from weckd_edge.core.errors import BundleError, DeviceError, ModelError, WeckdError
from weckd_edge.core.progress import Progress
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import atomic_folder, sha256_bytes, write_atomic
from weckd_edge.devices.jetson.board import EngineIdentity, check_resources
from weckd_edge.devices.jetson.engine_layers import in_floating_point, layers_on_gpu
from weckd_edge.devices.jetson.engines import (
    ENGINE_FILE,
    LAYERS_FILE,
    RECORD_FILE,
    EngineRecord,
    LayerTable,
    engine_folder,
    stored_engine,
)
from weckd_edge.devices.jetson.front_end import put_front_end_before
from weckd_edge.devices.jetson.recipe import BuildPlan, TensorRTRecipe
from weckd_edge.devices.runtime.backends.base import ModelBytes
from weckd_edge.devices.runtime.backends.tensorrt_backend import DLA, build_engine
from weckd_edge.devices.runtime.frame_runner import FrameRunner, open_frame_runner
from weckd_edge.devices.runtime.golden_arrays import load_expected, load_golden_frames
from weckd_edge.devices.runtime.model_choice import read_model_bytes
from weckd_edge.devices.runtime.verify_bundle import SelfTest, self_test

logger = logging.getLogger(__name__)

_NOT_THE_FORM = ("E_DEVICE_DISK", "E_DEVICE_MEMORY")
"""Errors that no other form of the graph would avoid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineWork:
    """The bundle, the machine and the tools that every build needs.

    Attributes:
        bundle: The bundle.
        entry: The manifest's entry of the recipe: predictions that an engine must give, and the tolerance.
        recipe: What the recipe's file says.
        place: What every engine depends on that is built here, without its graph and flags.
        root: Folder that holds ``proc``, ``etc`` and ``var``.
        show: Shows the steps.
        clock: Monotonic clock, nanoseconds.
    """

    bundle: Bundle
    entry: BuiltModel
    recipe: TensorRTRecipe
    place: EngineIdentity
    root: Path
    show: Progress
    clock: Callable[[], int]


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundEngine:
    """An engine that passes its self-test, and how it came about.

    Attributes:
        plan: The way in which it was built.
        record: The engine.
        reused: Whether it was there already.
        refused: Why each way before it was refused, by the engine's name.
    """

    plan: BuildPlan
    record: EngineRecord
    reused: bool
    refused: dict[str, str]


def engine_name(plan: BuildPlan, dla: DLA | None = None) -> str:
    """Return the name of an engine in the record of the device's choice, such as ``tensorrt int8 float32``."""
    return f"tensorrt {plan.name}" if dla is None else f"tensorrt {plan.attempt.precision} DLA"


def first_engine(work: EngineWork, plans: Iterable[BuildPlan], known: dict[str, str]) -> FoundEngine:
    """Return the engine of the first way to build one that passes its self-test.

    Args:
        work: The bundle, the machine and the tools.
        plans: Ways to build one, in the order in which they are tried.
        known: Why ways were refused here before, by the engine's name; they are not tried again.

    Raises:
        DeviceError: Memory or disk are too small; or all ways are refused, the first one by such an error. The message has
            every reason, and the code is the first one's.
        ModelError: All ways are refused, the first one by such an error.
    """
    refused: dict[str, str] = {}
    first: WeckdError | None = None
    for plan in plans:
        name = engine_name(plan)
        if name in known:
            refused[name] = known[name]
            continue
        try:
            record, reused = find_or_build(work, plan)
        except (DeviceError, ModelError) as err:
            if err.code in _NOT_THE_FORM:
                raise
            logger.warning("%s is not used: %s", name, err)
            refused[name], first = str(err), first or err
            continue
        return FoundEngine(plan=plan, record=record, reused=reused, refused=refused)
    if first is None:
        return first_engine(work, plans, {})  # what was refused before is all there is: say why, by trying again
    reasons = "; ".join(refused.values()) if len(set(refused.values())) > 1 else str(first)
    raise type(first)(reasons, code=first.code)


def find_or_build(work: EngineWork, plan: BuildPlan, dla: DLA | None = None) -> tuple[EngineRecord, bool]:
    """Return the engine of a way to build one, and whether it was there already.

    Raises:
        DeviceError: Memory or disk are too small, TensorRT fails, or the engine predicts otherwise than it must.
        ModelError: TensorRT refuses the graph.
        BundleError: The recipe names a graph that the bundle does not hold.
    """
    onnx = _graph(work, plan)
    identity = identity_of(work, plan, onnx, dla)
    kept = _stored(work, identity.key())
    return (_build(work, plan, onnx, identity, dla), False) if kept is None else (kept, True)


def identity_of(work: EngineWork, plan: BuildPlan, onnx: ModelBytes, dla: DLA | None = None) -> EngineIdentity:
    """Return what an engine depends on."""
    more = () if dla is None else (f"DLA{dla.core}", *(["GPU_FALLBACK"] if dla.gpu_fallback else []))
    return replace(
        work.place,
        graph_sha256=sha256_bytes(onnx.graph),
        flags=(*plan.flags, f"workspace={work.recipe.workspace_mib}MiB", *more),
    )


def check_engine(bundle: Bundle, entry: BuiltModel, engine: ModelBytes) -> SelfTest:
    """Run the golden frames on an engine.

    Raises:
        DeviceError: The engine predicts otherwise than it must, or does not run.
    """
    frames = load_golden_frames(bundle)
    expected = load_expected(bundle, entry, len(frames))
    runner = open_engine(bundle, engine)
    try:
        result = self_test(runner, entry.precision, frames, expected, entry.tolerance or 0.0)
    finally:
        runner.close()
    if not result.passed:
        raise DeviceError(
            f"the engine failed its self-test ({result.reason}); it is not used, and the one before it stays",
            code="E_DEVICE_SELFTEST",
        )
    return result


def open_engine(bundle: Bundle, engine: ModelBytes) -> FrameRunner:
    """Open an engine with the front end that makes what it takes."""
    return open_frame_runner("tensorrt", engine, bundle.manifest.input)


def _stored(work: EngineWork, key: str) -> EngineRecord | None:
    """Return the engine that was built under a key and still passes its self-test; None where one must be built."""
    kept = stored_engine(work.bundle.folder, key)
    if kept is None:
        return None
    try:
        check_engine(work.bundle, work.entry, read_model_bytes(work.bundle, kept.engine))
    except DeviceError as err:
        # Below 10.0 the key may not tell two builds of TensorRT apart (see imported_version): it may refuse to load.
        logger.warning("the engine that was built here is built again: %s", err)
        return None
    return kept


def _graph(work: EngineWork, plan: BuildPlan) -> ModelBytes:
    onnx = _read(work.bundle, plan.graph.sha256, plan.graph.name)
    if plan.front_end is None:
        return onnx
    front_end = _read(work.bundle, plan.front_end.sha256, plan.front_end.path)
    joined = put_front_end_before(front_end.graph, onnx.graph, plan.graph.name)
    return ModelBytes(path=onnx.path, graph=joined)


def _read(bundle: Bundle, sha256: str, name: str) -> ModelBytes:
    """Read a graph of the recipe, which is the manifest's file with its digest."""
    for ref in bundle.manifest.files:
        if ref.sha256 == sha256:
            return read_model_bytes(bundle, ref)
    raise BundleError(
        f"{bundle.folder}: the recipe names {name}, which is not in the bundle; build the bundle again",
        code="E_BUNDLE_RECIPE",
    )


def _build(work: EngineWork, plan: BuildPlan, onnx: ModelBytes, identity: EngineIdentity, dla: DLA | None) -> EngineRecord:
    bundle, recipe = work.bundle, work.recipe
    check_resources(bundle.folder, len(onnx.graph), recipe.workspace_mib, work.root)
    # Timings hold for one module in one power mode, whatever the graph.
    clocks = replace(work.place, onnx_sha256="").key()
    cache = bundle.folder / DEVICE_FOLDER / f"{clocks[:16]}-{recipe.timing_cache}"
    built = build_engine(onnx, recipe, plan, work.show, timing_cache=cache, dla=dla)
    takes: Takes = "frame" if plan.front_end is not None else bundle.manifest.input.graph_input_name
    key = identity.key()
    final = engine_folder(bundle.folder, key)
    with atomic_folder(final) as folder:
        write_atomic(folder / ENGINE_FILE, built.data)
        write_atomic(folder / LAYERS_FILE, to_json(LayerTable(layers=built.layers)))
        result = check_engine(bundle, work.entry, ModelBytes(path=ENGINE_FILE, graph=built.data))
        path = (final / ENGINE_FILE).relative_to(bundle.folder).as_posix()
        record = EngineRecord(
            key=key,
            identity=identity,
            engine=FileRef(path=path, sha256=sha256_bytes(built.data), bytes=len(built.data)),
            precision=plan.attempt.precision,
            takes=takes,
            frames=result.frames,
            max_abs=result.max_abs or 0.0,
            flips=result.flips or 0,
            tolerance=result.tolerance or 0.0,
            target="GPU" if dla is None else "DLA",
            float_layers=in_floating_point(built.layers) if dla is None else (),
            fallback_layers=() if dla is None else layers_on_gpu(built.layers),
        )
        write_atomic(folder / RECORD_FILE, to_json(record))
    return record
