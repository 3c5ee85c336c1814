"""Last step of a Jetson bundle, on the Jetson: build the engine, test it on the golden frames, put it in use.

It has not yet run on a Jetson: it is tested with a folder that looks like one and a stand-in for TensorRT.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from weckd_edge.artifacts import BuiltModel, FileRef
from weckd_edge.bundle.reader import DEVICE_FOLDER, Bundle
from weckd_edge.core.errors import BundleError, DeviceError, ModelError, WeckdError
from weckd_edge.core.optional_imports import is_installed, require
from weckd_edge.core.progress import Progress, SilentProgress
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import Workspace, atomic_folder, sha256_bytes, write_atomic
from weckd_edge.devices.bench.interleaved import time_interleaved
from weckd_edge.devices.jetson.board import (
    EngineIdentity,
    check_resources,
    full_tensorrt_version,
    read_module,
    read_power_mode,
)
from weckd_edge.devices.jetson.engine_layers import in_floating_point, layers_on_gpu
from weckd_edge.devices.jetson.engines import (
    ENGINE_FILE,
    LAYERS_FILE,
    RECORD_FILE,
    EngineRecord,
    LayerTable,
    engine_folder,
    remove_other_engines,
    stored_engine,
)
from weckd_edge.devices.jetson.recipe import RECIPE_FILE, GraphFile, TensorRTRecipe, parse_recipe, plan_for
from weckd_edge.devices.runtime.backends.base import ModelBytes
from weckd_edge.devices.runtime.backends.cudart import load_cuda_runtime
from weckd_edge.devices.runtime.backends.tensorrt_backend import DLA, build_engine, dla_cores
from weckd_edge.devices.runtime.device_choice import (
    DeviceChoice,
    choice_before,
    model_name,
    named_choice,
    put_in_use,
)
from weckd_edge.devices.runtime.frame_runner import FrameRunner, open_frame_runner
from weckd_edge.devices.runtime.golden_arrays import load_expected, load_golden_frames
from weckd_edge.devices.runtime.model_choice import read_model_bytes
from weckd_edge.devices.runtime.verify_bundle import SelfTest, self_test

logger = logging.getLogger(__name__)

TIMED_WARMUP = 50
"""Number of golden frames that GPU and DLA run in turn before they are timed."""

TIMED_FRAMES = 200
"""Number of golden frames that GPU and DLA are timed on, in turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finalized:
    """Result of finalizing a bundle.

    Attributes:
        choice: The choice that is now in use.
        reused: Whether nothing had to be built.
        warnings: Warnings for the user, in words.
    """

    choice: DeviceChoice
    reused: bool
    warnings: tuple[str, ...] = ()


def finalize(
    bundle: Bundle,
    *,
    root: Path = Path("/"),
    progress: Progress | None = None,
    dla: bool = False,
    gpu_fallback: bool = False,
    clock: Callable[[], int] = time.monotonic_ns,
) -> Finalized:
    """Build the engine of a bundle on this Jetson, self-test it and put it in use.

    A build that fails, or an engine that predicts otherwise, leaves the engine in use as it was. Where the engine in use no
    longer passes itself, the last one that does is put in use again. A process killed in between leaves the engine in use as
    it was, and the next call goes on with the kernel timings and engines that were finished.

    Args:
        bundle: An opened (and so verified) bundle for the target ``jetson``.
        root: Folder that holds ``proc``, ``etc`` and ``var``.
        progress: Shows the steps; None shows nothing.
        dla: Build for the DLA too, and use it where it runs the golden frames faster than the GPU.
        gpu_fallback: Let layers that the DLA cannot run go to the GPU; without it the DLA is not used for such a network.
        clock: Monotonic clock, nanoseconds, that GPU and DLA are compared by.

    Raises:
        BundleError: The bundle holds no TensorRT recipe, or no graph for this TensorRT.
        DeviceError: The machine is no Jetson, TensorRT is absent or not in the recipe's table, memory or disk are too small,
            or the self-test failed.
        ModelError: TensorRT refuses the graph.
        StoreError: The bundle cannot be written.
    """
    show = progress or SilentProgress()
    entry, recipe = _recipe(bundle)
    device = _Device(bundle=bundle, entry=entry, recipe=recipe, root=root, show=show, clock=clock)
    identity = _identity(recipe, root)
    warnings = [*_module_warnings(recipe, identity), *_foreign(bundle, identity)]
    with Workspace(bundle.folder / DEVICE_FOLDER).locked():
        try:
            record, reused = _engine(device, identity, None)
        except (DeviceError, ModelError) as err:
            raise _fall_back(device, identity, err) from err
        times: dict[str, float] = {}
        if dla:
            record, times, more = _with_dla(device, record, DLA(gpu_fallback=gpu_fallback))
            warnings += more
        before = choice_before(bundle.folder, record.identity)
        choice = _choice(device, record, times, before.key if before is not None else None)
        put_in_use(bundle.folder, choice)
        remove_other_engines(bundle.folder)
    if record.precision == "int8" and record.float_layers:
        names = ", ".join(record.float_layers)
        warnings.append(f"{len(record.float_layers)} weighted layers run in floating point: {names}")
    return Finalized(choice=choice, reused=reused, warnings=tuple(warnings))


def roll_back(bundle: Bundle, *, root: Path = Path("/")) -> DeviceChoice:
    """Put the engine before the present one in use again, after its self-test.

    Raises:
        BundleError: The bundle holds no TensorRT recipe.
        DeviceError: There is no such engine, or it does not pass its self-test; the present one stays in use.
    """
    entry, _ = _recipe(bundle)
    with Workspace(bundle.folder / DEVICE_FOLDER).locked():
        present = named_choice(bundle.folder)
        before = choice_before(bundle.folder, present.identity) if present is not None else None
        module = before.identity.module if before is not None and isinstance(before.identity, EngineIdentity) else None
        if present is None or before is None or module != read_module(root)[0]:
            raise DeviceError(
                f"{bundle.folder}: there is no engine before the one in use; weckd-edge finalize builds one",
                code="E_DEVICE_NO_ENGINE",
            )
        _self_test(bundle, entry, read_model_bytes(bundle, *before.files))
        choice = replace(before, previous=present.key)
        put_in_use(bundle.folder, choice)
        remove_other_engines(bundle.folder)
    return choice


@dataclass(frozen=True, kw_only=True, slots=True)
class _Device:
    """The bundle, the machine and the tools that every step of one call needs."""

    bundle: Bundle
    entry: BuiltModel
    recipe: TensorRTRecipe
    root: Path
    show: Progress
    clock: Callable[[], int]


def _engine(device: _Device, identity: EngineIdentity, dla: DLA | None) -> tuple[EngineRecord, bool]:
    """Return the engine of an identity and whether it was there already."""
    kept = _stored_engine(device, identity.key())
    return (_build(device, identity, dla), False) if kept is None else (kept, True)


def _stored_engine(device: _Device, key: str) -> EngineRecord | None:
    """Return the engine that was built under a key and still passes its self-test; None where one must be built."""
    kept = stored_engine(device.bundle.folder, key)
    if kept is None:
        return None
    try:
        _self_test(device.bundle, device.entry, read_model_bytes(device.bundle, kept.engine))
    except DeviceError as err:
        # The key may not tell two builds of TensorRT apart (see full_tensorrt_version): the engine may refuse to load.
        logger.warning("the engine that was built here is built again: %s", err)
        return None
    return kept


def _fall_back(device: _Device, identity: EngineIdentity, err: WeckdError) -> WeckdError:
    """Put the last good engine in use where the one in use could not be made again; return the error to raise."""
    named = named_choice(device.bundle.folder)
    if named is None or named.key != identity.key():
        return err
    before = choice_before(device.bundle.folder, identity)
    if before is None or not isinstance(before.identity, EngineIdentity):
        return err
    try:
        _self_test(device.bundle, device.entry, read_model_bytes(device.bundle, *before.files))
    except (DeviceError, ModelError):
        return err
    put_in_use(device.bundle.folder, replace(before, previous=None))
    remove_other_engines(device.bundle.folder)
    where = f"power mode {before.identity.power_mode}, TensorRT {before.identity.tensorrt_version}"
    return type(err)(f"{err}; the last good engine is in use again ({where})", code=err.code)


def _recipe(bundle: Bundle) -> tuple[BuiltModel, TensorRTRecipe]:
    """Return the manifest's recipe and what its file says."""
    for model in bundle.manifest.models:
        for ref in model.files:
            if model.backend == "tensorrt" and Path(ref.path).name == RECIPE_FILE:
                recipe = parse_recipe(bundle.read(ref), Path(ref.path).name)
                if recipe.onnx_sha256 != bundle.manifest.onnx.sha256:
                    raise BundleError(
                        f"{ref.path}: was written for another graph than {bundle.manifest.onnx.path}", code="E_BUNDLE_RECIPE"
                    )
                return model, recipe
    raise BundleError(
        f"{bundle.folder}: holds no TensorRT recipe (target {bundle.manifest.target}); only bundles built with "
        "--target jetson are finalized, the others run as they are",
        code="E_BUNDLE_RECIPE",
    )


def _graph(bundle: Bundle, graph: GraphFile) -> ModelBytes:
    """Read a form of the graph, which is the manifest's file with its digest."""
    for ref in bundle.manifest.files:
        if ref.sha256 == graph.sha256:
            return read_model_bytes(bundle, ref)
    raise BundleError(
        f"{bundle.folder}: the recipe names {graph.name}, which is not in the bundle; build the bundle again",
        code="E_BUNDLE_RECIPE",
    )


def _identity(recipe: TensorRTRecipe, root: Path) -> EngineIdentity:
    module, l4t = read_module(root)
    if not is_installed("tensorrt"):
        raise DeviceError(
            "TensorRT's Python binding is not visible; on JetPack: sudo apt install python3-libnvinfer, and make the "
            "virtual environment with --system-site-packages",
            code="E_DEVICE_TENSORRT",
        )
    version = full_tensorrt_version(root, str(require("tensorrt", "build an engine").__version__))
    plan = plan_for(recipe, version)
    return EngineIdentity(
        onnx_sha256=recipe.onnx_sha256,
        graph_sha256=plan.graph.sha256,
        tensorrt_version=version,
        module=module,
        compute_capability=load_cuda_runtime().compute_capability(),
        l4t=l4t,
        power_mode=read_power_mode(root),
        flags=(*plan.names(), f"workspace={recipe.workspace_mib}MiB"),
    )


def _module_warnings(recipe: TensorRTRecipe, identity: EngineIdentity) -> tuple[str, ...]:
    if not recipe.part_numbers or identity.module in recipe.part_numbers:
        return ()
    return (
        f"the bundle was built for {recipe.device} ({', '.join(recipe.part_numbers)}), "
        f"this module is {identity.module}; its limits say nothing about this device",
    )


def _foreign(bundle: Bundle, identity: EngineIdentity) -> tuple[str, ...]:
    named = named_choice(bundle.folder)
    if named is None or not isinstance(named.identity, EngineIdentity) or named.identity.module == identity.module:
        return ()
    return (f"the engine that lay in the bundle was built on module {named.identity.module} and is not used on this one",)


def _build(device: _Device, identity: EngineIdentity, dla: DLA | None) -> EngineRecord:
    bundle, recipe = device.bundle, device.recipe
    graph = recipe.find("dla") if dla is not None else plan_for(recipe, identity.tensorrt_version).graph
    if graph is None:
        raise DeviceError(
            "this bundle has no graph for a DLA; build it again for a profile with DLA cores", code="E_DEVICE_DLA"
        )
    onnx = _graph(bundle, graph)
    check_resources(bundle.folder, len(onnx.graph), recipe.workspace_mib, device.root)
    # Timings hold for one module in one power mode, whatever the graph.
    clocks = replace(identity, onnx_sha256="", graph_sha256="", flags=()).key()
    cache = bundle.folder / DEVICE_FOLDER / f"{clocks[:16]}-{recipe.timing_cache}"
    built = build_engine(onnx, recipe, device.show, timing_cache=cache, dla=dla)
    key = identity.key()
    final = engine_folder(bundle.folder, key)
    with atomic_folder(final) as folder:
        write_atomic(folder / ENGINE_FILE, built.data)
        write_atomic(folder / LAYERS_FILE, to_json(LayerTable(layers=built.layers)))
        result = _self_test(bundle, device.entry, ModelBytes(path=ENGINE_FILE, graph=built.data))
        path = (final / ENGINE_FILE).relative_to(bundle.folder).as_posix()
        record = EngineRecord(
            key=key,
            identity=identity,
            engine=FileRef(path=path, sha256=sha256_bytes(built.data), bytes=len(built.data)),
            precision=recipe.precision,
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


def _choice(device: _Device, record: EngineRecord, times: dict[str, float], previous: str | None) -> DeviceChoice:
    manifest, expected = device.bundle.manifest, device.entry.expected
    if expected is None:
        raise BundleError(f"{device.bundle.folder}: {device.entry.name} has no golden predictions", code="E_BUNDLE_GOLDEN")
    return DeviceChoice(
        key=record.key,
        identity=record.identity,
        backend="tensorrt",
        precision=record.precision,
        files=(record.engine,),
        takes="pixels" if manifest.input.graph_takes_pixels else "frame",
        graph_sha256=record.identity.onnx_sha256,
        expected=expected,
        tolerance=record.tolerance,
        frames=record.frames,
        max_abs=record.max_abs,
        flips=record.flips,
        latency_ns=times,
        previous=previous,
    )


def _engine_name(record: EngineRecord) -> str:
    return f"{model_name('tensorrt', record.precision)} {record.target}"


def _with_dla(device: _Device, gpu: EngineRecord, dla: DLA) -> tuple[EngineRecord, dict[str, float], tuple[str, ...]]:
    """Return the faster of the GPU's engine and the DLA's, both times by name, and warnings.

    It is the GPU's, without times, where there is none for the DLA.
    """
    if not dla_cores():
        return gpu, {}, ("this module has no DLA that TensorRT sees; the GPU is used",)
    form = device.recipe.find("dla")
    flags = (*gpu.identity.flags, f"DLA{dla.core}", *(["GPU_FALLBACK"] if dla.gpu_fallback else []))
    identity = replace(gpu.identity, graph_sha256=form.sha256 if form is not None else "", flags=flags)
    try:
        other, _ = _engine(device, identity, dla)
    except (DeviceError, ModelError) as err:
        return gpu, {}, (f"the DLA is not used, the GPU is: {err}",)
    times = _time_engines(device, (gpu, other))
    winner, loser = sorted((gpu, other), key=lambda record: times[_engine_name(record)])
    words = f"{winner.target} is used: a golden frame takes it {times[_engine_name(winner)] / 1e6:.3f} ms, "
    words += f"the {loser.target} {times[_engine_name(loser)] / 1e6:.3f} ms"
    if other.fallback_layers:
        names = ", ".join(other.fallback_layers)
        words += f"; {len(other.fallback_layers)} layers of the DLA's engine run on the GPU: {names}"
    return winner, times, (words,)


def _time_engines(device: _Device, engines: Sequence[EngineRecord]) -> dict[str, float]:
    """Return the median time of one golden frame by engine, nanoseconds; taken in turn, so that all see the same clocks."""
    frames = load_golden_frames(device.bundle)
    bundle = device.bundle
    runners = {_engine_name(record): _open(bundle, read_model_bytes(bundle, record.engine)) for record in engines}
    try:
        single = [frame[None] for frame in frames]
        timings = time_interleaved(
            list(runners.values()), single, rounds=TIMED_FRAMES, queries=1, warmup=TIMED_WARMUP, clock=device.clock
        )
    finally:
        for runner in runners.values():
            runner.close()
    return {name: float(timing.median_ns) for name, timing in zip(runners, timings, strict=True)}


def _self_test(bundle: Bundle, entry: BuiltModel, engine: ModelBytes) -> SelfTest:
    frames = load_golden_frames(bundle)
    expected = load_expected(bundle, entry, len(frames))
    runner = _open(bundle, engine)
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


def _open(bundle: Bundle, engine: ModelBytes) -> FrameRunner:
    return open_frame_runner("tensorrt", engine, bundle.manifest.input)
