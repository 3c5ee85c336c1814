"""Last step of a Jetson bundle, on the Jetson: build the engine, test it on the golden frames, put it in use.

It has not yet run on a Jetson: it is tested with a folder that looks like one and a stand-in for TensorRT.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from weckd_edge.artifacts import BuiltModel
from weckd_edge.bundle.reader import DEVICE_FOLDER, Bundle
from weckd_edge.core.errors import BundleError, DeviceError, ModelError, WeckdError
from weckd_edge.core.optional_imports import is_installed, require
from weckd_edge.core.progress import Progress, SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.devices.bench.interleaved import time_interleaved
from weckd_edge.devices.jetson.board import EngineIdentity, read_module, read_power_mode
from weckd_edge.devices.jetson.engine_build import (
    EngineWork,
    FoundEngine,
    check_engine,
    engine_name,
    find_or_build,
    first_engine,
    open_engine,
)
from weckd_edge.devices.jetson.engines import EngineRecord, place_of, remove_other_engines
from weckd_edge.devices.jetson.recipe import (
    RECIPE_FILE,
    TensorRTRecipe,
    dla_plan,
    of_whole_frames,
    parse_recipe,
    plans_for,
)
from weckd_edge.devices.jetson.tensorrt_library import imported_version
from weckd_edge.devices.runtime.backends.cudart import load_cuda_runtime
from weckd_edge.devices.runtime.backends.tensorrt_backend import DLA, dla_cores
from weckd_edge.devices.runtime.device_choice import DeviceChoice, Finalized, choice_before, named_choice, put_in_use
from weckd_edge.devices.runtime.golden_arrays import load_golden_frames
from weckd_edge.devices.runtime.model_choice import read_model_bytes

TIMED_WARMUP = 50
"""Number of golden frames that the engines run in turn before they are timed."""

TIMED_FRAMES = 200
"""Number of golden frames that the engines are timed on, in turn."""


def finalize(
    bundle: Bundle,
    *,
    root: Path = Path("/"),
    progress: Progress | None = None,
    dla: DLA | None = None,
    again: bool = False,
    clock: Callable[[], int] = time.monotonic_ns,
) -> Finalized:
    """Build the engine of a bundle on this Jetson, self-test it and put it in use.

    The ways to build one that the recipe lists for this TensorRT are tried in their order, and the first whose engine
    predicts as it must is taken. Where the graph takes pixels, one that takes the whole frame is built in the same way, and
    the faster of both is used; so is a DLA's, where one is asked for.

    A build that fails, or an engine that predicts otherwise, leaves the engine in use as it was. Where the engine in use no
    longer passes itself, the last one that does is put in use again. A process killed in between leaves the engine in use as
    it was, and the next call goes on with the kernel timings and engines that were finished.

    Args:
        bundle: An opened (and so verified) bundle for the target ``jetson``.
        root: Folder that holds ``proc``, ``etc`` and ``var``.
        progress: Shows the steps; None shows nothing.
        dla: DLA to build for too, which is used where it runs the golden frames faster than the GPU; None: the GPU alone.
        again: Try again what was refused in this place before.
        clock: Monotonic clock, nanoseconds, that engines are compared by.

    Raises:
        BundleError: The bundle holds no TensorRT recipe, or no graph for this TensorRT.
        DeviceError: The machine is no Jetson, TensorRT is absent or not in the recipe's table, memory or disk are too small,
            or no engine passed its self-test.
        ModelError: TensorRT refuses the graph in every form.
        StoreError: The bundle cannot be written.
    """
    entry, recipe = _recipe(bundle)
    place = _place(recipe, root)
    plans = plans_for(recipe, place.tensorrt_version)
    work = EngineWork(
        bundle=bundle,
        entry=entry,
        recipe=recipe,
        place=place,
        root=root,
        show=progress or SilentProgress(),
        clock=clock,
    )
    warnings = (*_module_warnings(recipe, place), *_foreign(bundle, place))
    with Workspace(bundle.folder / DEVICE_FOLDER).locked():
        refused = {} if again else _refused_before(bundle, place)
        try:
            found = first_engine(work, plans, refused)
        except (DeviceError, ModelError) as err:
            raise _fall_back(work, err) from err
        race = _race(work, found, refused, dla)
        before = choice_before(bundle.folder, race.winner.identity)
        choice = _choice(work, race, before.key if before is not None else None)
        put_in_use(bundle.folder, choice)
        remove_other_engines(bundle.folder)
    return Finalized(choice=choice, reused=race.reused, warnings=(*warnings, *_race_warnings(race)))


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
        check_engine(bundle, entry, read_model_bytes(bundle, *before.files))
        choice = replace(before, previous=present.key)
        put_in_use(bundle.folder, choice)
        remove_other_engines(bundle.folder)
    return choice


@dataclass(frozen=True, kw_only=True, slots=True)
class _Race:
    """The engine that is put in use, and what is known of the others.

    Attributes:
        winner: The engine.
        reused: Whether nothing was built.
        times: Median time of one golden frame by engine, nanoseconds; empty where there was one alone.
        refused: Why a way to build was refused, by the engine's name.
        warnings: What the user is told, in words.
    """

    winner: EngineRecord
    reused: bool
    times: dict[str, float]
    refused: dict[str, str]
    warnings: tuple[str, ...]


def _race(work: EngineWork, found: FoundEngine, known: dict[str, str], dla: DLA | None) -> _Race:
    """Return the fastest of the engine that was found, the same for whole frames, and the DLA's.

    Args:
        work: The bundle, the machine and the tools.
        found: The engine of the first way to build one that passed.
        known: Why ways were refused here before, by the engine's name; they are not tried again.
        dla: The DLA to build for too; None: none.
    """
    engines, reused = {engine_name(found.plan): found.record}, found.reused
    refused, warnings = dict(found.refused), list[str]()
    whole = of_whole_frames(work.recipe, found.plan)
    if whole is not None:
        name = engine_name(whole)
        try:
            if name in known:
                refused[name] = known[name]
            else:
                engines[name], was_there = find_or_build(work, whole)
                reused = reused and was_there
        except (DeviceError, ModelError) as err:
            refused[name] = str(err)
    if dla is not None:
        try:
            if not dla_cores():
                raise DeviceError("this module has no DLA that TensorRT sees", code="E_DEVICE_DLA")
            plan = dla_plan(work.recipe, work.place.tensorrt_version)
            record, was_there = find_or_build(work, plan, dla)
        except (DeviceError, ModelError) as err:
            warnings.append(f"the DLA is not used, the GPU is: {err}")
        else:
            engines[engine_name(plan, dla)] = record
            reused = reused and was_there
            if record.fallback_layers:
                names = ", ".join(record.fallback_layers)
                warnings.append(f"{len(record.fallback_layers)} layers of the DLA's engine run on the GPU: {names}")
    times = _time_engines(work, engines) if len(engines) > 1 else {}
    best, *slower = sorted(engines, key=lambda name: times.get(name, 0.0))
    if slower:
        others = ", ".join(f"{name} {times[name] / 1e6:.3f} ms" for name in slower)
        warnings.insert(0, f"{best} is used: a golden frame takes it {times[best] / 1e6:.3f} ms, {others}")
    return _Race(winner=engines[best], reused=reused, times=times, refused=refused, warnings=tuple(warnings))


def _refused_before(bundle: Bundle, place: EngineIdentity) -> dict[str, str]:
    """Return why ways to build were refused in this very place before, by the engine's name."""
    named = named_choice(bundle.folder)
    if named is None or not isinstance(named.identity, EngineIdentity) or place_of(named.identity) != place:
        return {}
    return {name: reason for name, reason in named.left_out.items() if name not in named.latency_ns}


def _fall_back(work: EngineWork, err: WeckdError) -> WeckdError:
    """Put the last good engine in use where the one in use could not be made again; return the error to raise."""
    folder = work.bundle.folder
    named = named_choice(folder)
    if named is None or not isinstance(named.identity, EngineIdentity) or place_of(named.identity) != work.place:
        return err
    before = choice_before(folder, named.identity)
    if before is None or not isinstance(before.identity, EngineIdentity):
        return err
    if _still_passes(work, named) or not _still_passes(work, before):
        return err
    put_in_use(folder, replace(before, previous=None))
    remove_other_engines(folder)
    where = f"power mode {before.identity.power_mode}, TensorRT {before.identity.tensorrt_version}"
    return type(err)(f"{err}; the last good engine is in use again ({where})", code=err.code)


def _still_passes(work: EngineWork, choice: DeviceChoice) -> bool:
    try:
        check_engine(work.bundle, work.entry, read_model_bytes(work.bundle, *choice.files))
    except (BundleError, DeviceError, ModelError):
        return False
    return True


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
        f"{bundle.folder}: holds no TensorRT recipe (target {bundle.manifest.target}); a Jetson builds an engine of a "
        "bundle that was built with --target jetson",
        code="E_BUNDLE_RECIPE",
    )


def _place(recipe: TensorRTRecipe, root: Path) -> EngineIdentity:
    """Return what every engine depends on that is built here, without its graph and flags."""
    module, l4t = read_module(root)
    if not is_installed("tensorrt"):
        raise DeviceError(
            "TensorRT's Python binding is not visible; on JetPack: sudo apt install python3-libnvinfer, and make the "
            "virtual environment with --system-site-packages",
            code="E_DEVICE_TENSORRT",
        )
    return EngineIdentity(
        onnx_sha256=recipe.onnx_sha256,
        graph_sha256="",
        tensorrt_version=imported_version(root, str(require("tensorrt", "build an engine").__version__)),
        module=module,
        compute_capability=load_cuda_runtime().compute_capability(),
        l4t=l4t,
        power_mode=read_power_mode(root),
        flags=(),
    )


def _race_warnings(race: _Race) -> list[str]:
    warnings = [*(f"{name} is not used: {reason}" for name, reason in race.refused.items()), *race.warnings]
    in_float = race.winner.float_layers if race.winner.precision == "int8" else ()
    if in_float:
        warnings.append(f"{len(in_float)} weighted layers run in floating point: {', '.join(in_float)}")
    return warnings


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


def _choice(work: EngineWork, race: _Race, previous: str | None) -> DeviceChoice:
    record, expected = race.winner, work.entry.expected
    if expected is None:
        raise BundleError(f"{work.bundle.folder}: {work.entry.name} has no golden predictions", code="E_BUNDLE_GOLDEN")
    fastest = min(race.times.values(), default=0.0)
    slower = {name: f"slower, {took / 1e6:.3f} ms" for name, took in race.times.items() if took > fastest}
    return DeviceChoice(
        key=record.key,
        identity=record.identity,
        backend="tensorrt",
        precision=record.precision,
        files=(record.engine,),
        takes=record.takes,
        graph_sha256=record.identity.onnx_sha256,
        expected=expected,
        tolerance=record.tolerance,
        frames=record.frames,
        max_abs=record.max_abs,
        flips=record.flips,
        latency_ns=race.times,
        left_out={**race.refused, **slower},
        previous=previous,
    )


def _time_engines(work: EngineWork, engines: Mapping[str, EngineRecord]) -> dict[str, float]:
    """Return the median time of one golden frame by engine, nanoseconds, from the frame to the probabilities.

    They are taken in turn, so that all see the same clocks.
    """
    bundle = work.bundle
    frames = load_golden_frames(bundle)
    runners = [open_engine(bundle, read_model_bytes(bundle, record.engine)) for record in engines.values()]
    try:
        single = [frame[None] for frame in frames]
        timings = time_interleaved(runners, single, rounds=TIMED_FRAMES, queries=1, warmup=TIMED_WARMUP, clock=work.clock)
    finally:
        for runner in runners:
            runner.close()
    return {name: float(timing.median_ns) for name, timing in zip(engines, timings, strict=True)}
