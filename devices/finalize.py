"""The last step of a Jetson bundle, on the Jetson: build the engine, test it on the golden frames, put it in use.

Not yet run on a Jetson: tested with a folder that looks like one and a stand-in for TensorRT.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from weckd_edge.artifacts import BuiltModel, FileRef
from weckd_edge.bundle import DEVICE_FOLDER, Bundle
from weckd_edge.devices.backends.cudart import load_cuda_runtime
from weckd_edge.devices.backends.table import open_runner
from weckd_edge.devices.backends.tensorrt_backend import build_engine
from weckd_edge.devices.engines import (
    ENGINE_FILE,
    RECORD_FILE,
    EngineRecord,
    engine_folder,
    kept_record,
    make_current,
    record_before,
)
from weckd_edge.devices.jetson import EngineIdentity, full_tensorrt_version, read_module, read_power_mode
from weckd_edge.devices.recipe import RECIPE_FILE, TensorRTRecipe, flags_for, read_recipe
from weckd_edge.devices.verify_bundle import SelfTest, load_golden, self_test
from weckd_edge.errors import BundleError, DeviceError
from weckd_edge.optional import is_installed, require
from weckd_edge.progress import Progress, SilentProgress
from weckd_edge.schema import to_json
from weckd_edge.store import Workspace, atomic_folder, sha256_bytes, write_atomic

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finalized:
    """What finalize did.

    Attributes:
        record: The engine now in use.
        reused: Whether an engine of the same key was there already.
        warnings: What a person should know.
    """

    record: EngineRecord
    reused: bool
    warnings: tuple[str, ...] = ()

    @property
    def built(self) -> BuiltModel:
        """The engine as an artefact, its file relative to the bundle's ``device`` folder."""
        return BuiltModel(
            backend="tensorrt",
            backend_version=self.record.identity.tensorrt_version,
            precision=self.record.precision,
            kind="model",
            files=(self.record.engine,),
            source_sha256=self.record.identity.onnx_sha256,
        )


def finalize(bundle: Bundle, *, root: Path = Path("/"), progress: Progress | None = None) -> Finalized:
    """Build the engine of a bundle on this Jetson, self-test it and put it in use.

    A build that fails, or an engine that answers differently, leaves the engine in use as it was.

    Args:
        bundle: An opened (and so verified) bundle for the target ``jetson``.
        root: Where ``proc``, ``etc`` and ``var`` lie.
        progress: Where to show the steps.

    Raises:
        BundleError: The bundle holds no TensorRT recipe, or names no tolerance for TensorRT.
        DeviceError: This is no Jetson, TensorRT is absent or too old, or the self-test failed.
        ModelError: TensorRT refuses the graph.
        StoreError: The bundle cannot be written.
    """
    show = progress or SilentProgress()
    recipe = _recipe(bundle)
    tolerance = bundle.manifest.selftest.tolerance.get("tensorrt")
    if tolerance is None:
        raise BundleError(f"{bundle.folder}: the manifest names no self-test tolerance for tensorrt; build the bundle again")
    identity = _identity(recipe, root)
    warnings = _warnings(recipe, identity)
    with Workspace(bundle.folder / DEVICE_FOLDER).locked():
        kept = _kept(bundle, identity.key(), tolerance)
        record = _build(bundle, recipe, identity, tolerance, show) if kept is None else kept
        record = replace(record, previous=record_before(bundle.folder, record.key))
        make_current(bundle.folder, record)
    return Finalized(record=record, reused=kept is not None, warnings=warnings)


def _kept(bundle: Bundle, key: str, tolerance: float) -> EngineRecord | None:
    """Return the engine that was built under a key and still passes; None where one must be built."""
    kept = kept_record(bundle.folder, key)
    if kept is None:
        return None
    try:
        _test(bundle, bundle.folder / DEVICE_FOLDER / kept.engine.path, tolerance)
    except DeviceError as err:
        # The key may not tell two builds of TensorRT apart (see full_tensorrt_version): the engine may refuse to load.
        logger.warning("the engine that was built here is built again: %s", err)
        return None
    return kept


def _recipe(bundle: Bundle) -> TensorRTRecipe:
    for model in bundle.manifest.models:
        for ref in model.files:
            if model.backend == "tensorrt" and Path(ref.path).name == RECIPE_FILE:
                recipe = read_recipe(bundle.folder / ref.path)
                if recipe.onnx_sha256 != bundle.manifest.onnx.sha256:
                    raise BundleError(f"{ref.path}: was written for another graph than {bundle.manifest.onnx.path}")
                return recipe
    raise BundleError(
        f"{bundle.folder}: holds no TensorRT recipe (target {bundle.manifest.target}); only bundles built with "
        "--target jetson are finalized, the others run as they are"
    )


def _identity(recipe: TensorRTRecipe, root: Path) -> EngineIdentity:
    module, l4t = read_module(root)
    if not is_installed("tensorrt"):
        raise DeviceError(
            "TensorRT's Python binding is not visible; on JetPack: sudo apt install python3-libnvinfer, and make the "
            "virtual environment with --system-site-packages"
        )
    version = full_tensorrt_version(root, str(require("tensorrt", "build an engine").__version__))
    flags = (*flags_for(recipe, version).names(), f"workspace={recipe.workspace_mib}MiB")
    return EngineIdentity(
        onnx_sha256=recipe.onnx_sha256,
        tensorrt_version=version,
        module=module,
        compute_capability=load_cuda_runtime().compute_capability(),
        l4t=l4t,
        power_mode=read_power_mode(root),
        flags=flags,
    )


def _warnings(recipe: TensorRTRecipe, identity: EngineIdentity) -> tuple[str, ...]:
    if not recipe.part_numbers or identity.module in recipe.part_numbers:
        return ()
    return (
        f"the bundle was built for {recipe.device} ({', '.join(recipe.part_numbers)}), "
        f"this module is {identity.module}; its bars say nothing about this device",
    )


def _build(
    bundle: Bundle, recipe: TensorRTRecipe, identity: EngineIdentity, tolerance: float, progress: Progress
) -> EngineRecord:
    clocks = replace(identity, onnx_sha256="", flags=()).key()  # timings hold for one module in one power mode
    cache = bundle.folder / DEVICE_FOLDER / f"{clocks[:16]}-{recipe.timing_cache}"
    engine = build_engine(bundle.folder / bundle.manifest.onnx.path, recipe, progress, timing_cache=cache)
    key = identity.key()
    final = engine_folder(bundle.folder, key)
    with atomic_folder(final) as folder:
        write_atomic(folder / ENGINE_FILE, engine)
        result = _test(bundle, folder / ENGINE_FILE, tolerance)
        path = (final / ENGINE_FILE).relative_to(bundle.folder / DEVICE_FOLDER).as_posix()
        record = EngineRecord(
            key=key,
            identity=identity,
            engine=FileRef(path=path, sha256=sha256_bytes(engine), bytes=len(engine)),
            precision=recipe.precision,
            frames=result.frames,
            max_abs=result.max_abs or 0.0,
            flips=result.flips or 0,
            tolerance=tolerance,
        )
        write_atomic(folder / RECORD_FILE, to_json(record))
    return record


def _test(bundle: Bundle, engine: Path, tolerance: float) -> SelfTest:
    frames, expected = load_golden(bundle)
    runner = open_runner("tensorrt", engine)
    try:
        result = self_test(runner, frames, expected, tolerance)
    finally:
        runner.close()
    if not result.passed:
        raise DeviceError(f"the engine failed its self-test ({result.reason}); it is not used, and the one before it stays")
    return result
