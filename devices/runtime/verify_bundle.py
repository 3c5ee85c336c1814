"""Proof that a bundle is whole and still predicts as it did where it was built.

The signature comes first, then every digest, then the self-test: the golden frames through every model of the bundle that
can run here, compared with the predictions that the bundle expects of that model.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import BuiltModel, Int8Count, Precision
from weckd_edge.bundle.reader import Bundle, open_bundle
from weckd_edge.bundle.signing import SIGNATURE_FILE, SignatureError
from weckd_edge.core.errors import BundleError, DeviceError, MissingDependency, ModelError
from weckd_edge.devices.runtime.backends.base import Runner
from weckd_edge.devices.runtime.backends.int8_layers import count_if_int8
from weckd_edge.devices.runtime.backends.table import refusal
from weckd_edge.devices.runtime.device_choice import find_choice, model_name
from weckd_edge.devices.runtime.frame_runner import open_frame_runner
from weckd_edge.devices.runtime.golden_arrays import load_expected, load_golden_frames
from weckd_edge.devices.runtime.input_guard import open_guard
from weckd_edge.devices.runtime.model_choice import RunningModel, backend_of, find_running, read_model_bytes

Signature = Literal["valid", "unsigned", "unchecked", "invalid"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfTest:
    """Result of the golden frames through one model.

    Attributes:
        backend: Name of the backend that runs it.
        precision: Precision of the model.
        frames: Number of golden frames that were run.
        max_abs: Largest difference of a probability; None where nothing was run, or a prediction was not a number.
        flips: Number of frames on which the decision differs; None where nothing was run.
        tolerance: Largest difference that is allowed; None where nothing was run.
        passed: Whether the difference is within the tolerance; None where nothing was run.
        reason: Why nothing was run, or why the test did not pass, in words; None where it passed.
        int8: Layers that run in int8 on this processor, counted by its library; None for other precisions, and where nothing
            was run or the library cannot tell.
        runs: Whether this is the model that predicts here.
    """

    backend: str
    precision: Precision
    frames: int = 0
    max_abs: float | None = None
    flips: int | None = None
    tolerance: float | None = None
    passed: bool | None = None
    reason: str | None = None
    int8: Int8Count | None = None
    runs: bool = False

    @property
    def name(self) -> str:
        """Name of the model, such as ``openvino int8``."""
        return model_name(self.backend, self.precision)


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyResult:
    """Result of verifying one bundle.

    Attributes:
        bundle: Folder of the bundle.
        signature: ``valid``; ``unsigned``; ``unchecked``, as there is a signature and no key was given; or ``invalid``.
        digests_ok: Whether every file is there, as it was sealed, and no other.
        selftest: Result of the self-test, one for each model that the bundle lists.
        passed: Whether everything above held and at least one model ran.
        problem: First thing that is wrong, in one line; None where the bundle passed.
        code: Code of the problem, from ``weckd_edge.core.error_codes``; None where the bundle passed.
        running: The model that predicts here; None where none does.
    """

    bundle: str
    signature: Signature
    digests_ok: bool
    selftest: tuple[SelfTest, ...] = ()
    passed: bool
    problem: str | None = None
    code: str | None = None
    running: RunningModel | None = None


def verify_bundle(folder: Path, key: Path | None = None, min_version: int = 0) -> VerifyResult:
    """Check signature, digests and self-test of a bundle.

    A bundle that fails any of them is a result, not an exception.

    Args:
        folder: Folder of the bundle.
        key: PEM public key; with it, an unsigned bundle does not pass.
        min_version: Lowest version of the bundle that passes.

    Raises:
        ConfigError: The key cannot be used.
        MissingDependency: A key was given and the extra ``sign`` is not installed.
    """
    signed = os.path.lexists(folder / SIGNATURE_FILE)
    try:
        bundle = open_bundle(folder, key=key, min_version=min_version)
    except BundleError as err:
        signature: Signature
        if isinstance(err, SignatureError):
            signature = "unsigned" if err.code == "E_BUNDLE_UNSIGNED" else "invalid"
        elif signed:  # open_bundle() checks the signature before anything else: with a key, it held
            signature = "unchecked" if key is None else "valid"
        else:
            signature = "unsigned"
        return VerifyResult(
            bundle=str(folder), signature=signature, digests_ok=False, passed=False, problem=str(err), code=err.code
        )
    try:
        open_guard(bundle)
        tests = self_tests(bundle)
        running = _running(bundle)
    except BundleError as err:
        return VerifyResult(
            bundle=str(folder), signature=bundle.signature, digests_ok=True, passed=False, problem=str(err), code=err.code
        )
    if running is not None:
        tests = tuple(replace(test, runs=test.name == running.name) for test in tests)
    problem = _problem(tests)
    return VerifyResult(
        bundle=str(folder),
        signature=bundle.signature,
        digests_ok=True,
        selftest=tests,
        passed=problem is None,
        problem=problem,
        code=None if problem is None else "E_BUNDLE_SELFTEST",
        running=running,
    )


def _running(bundle: Bundle) -> RunningModel | None:
    try:
        return find_running(bundle)
    except (DeviceError, MissingDependency):
        return None


def _problem(tests: tuple[SelfTest, ...]) -> str | None:
    for test in tests:
        if test.passed is False:
            return f"the self-test did not pass on {test.name}: {test.reason}"
    if not any(test.passed for test in tests):
        reasons = "; ".join(f"{test.name}: {test.reason}" for test in tests)
        return f"the self-test could not run on any backend here ({reasons or 'the bundle has no model to run'})"
    return None


def self_tests(bundle: Bundle) -> tuple[SelfTest, ...]:
    """Run the golden frames through every model of a bundle; a model that cannot run here gets a result that says why.

    Raises:
        BundleError: The golden frames, or what is expected of them, are not what the manifest promises.
    """
    frames = load_golden_frames(bundle)
    return tuple(self_test_of(bundle, model, frames) for model in bundle.manifest.models if model.kind != "preflight")


def self_test(
    runner: Runner, precision: Precision, frames: NDArray[np.uint8], expected: NDArray[np.float32], tolerance: float
) -> SelfTest:
    """Run golden frames through one open model.

    Args:
        runner: The open model.
        precision: Precision of the model.
        frames: Golden frames, uint8 ``[N, H, W, 3]``, N at least 1.
        expected: Probabilities expected of them, float32 ``[N, classes]``.
        tolerance: Largest difference of a probability that is allowed.
    """
    outputs = np.stack([runner.run(np.ascontiguousarray(frame[None])) for frame in frames])
    if outputs.shape != expected.shape or not np.isfinite(outputs).all():
        return SelfTest(
            backend=runner.name,
            precision=precision,
            frames=len(frames),
            tolerance=tolerance,
            passed=False,
            reason=f"expected {list(expected.shape)} finite probabilities, got {list(outputs.shape)}, or not numbers",
        )
    max_abs = float(np.abs(outputs.astype(np.float64) - expected).max())
    passed = max_abs <= tolerance
    return SelfTest(
        backend=runner.name,
        precision=precision,
        frames=len(frames),
        max_abs=max_abs,
        flips=int((outputs.argmax(axis=1) != expected.argmax(axis=1)).sum()),
        tolerance=tolerance,
        passed=passed,
        reason=None if passed else f"a probability differs by {max_abs:.6f}, allowed is {tolerance:g}",
    )


def self_test_of(bundle: Bundle, model: BuiltModel, frames: NDArray[np.uint8], *, threads: int = 1) -> SelfTest:
    """Run golden frames through a model of a bundle; one that cannot run here gets a result that says why.

    Args:
        bundle: The bundle.
        model: Entry of its manifest: a model, or the recipe of an engine that was built here, whose precision may be another
            than the recipe's.
        frames: Golden frames, uint8 ``[N, H, W, 3]``.
        threads: Processor threads that one query may use.

    Raises:
        BundleError: What is expected of the frames is not what the manifest promises.
    """
    expected = load_expected(bundle, model, len(frames))
    if model.kind == "recipe":
        found = find_choice(bundle)
        if found.choice is None or found.choice.backend != model.backend:
            why = found.reason or "not built yet"
            return _untested(model, f"{why}; on the device, run: weckd-edge finalize {bundle.folder}")
        model = replace(model, precision=found.choice.precision, files=found.choice.files)
    elif backend_of(model) is None:
        return _untested(model, f"this weckd-edge has no way to run a model of {model.backend}")
    files = read_model_bytes(bundle, *model.files)
    try:
        if (reason := refusal(model.backend, half=model.half)) is not None:
            return _untested(model, reason)
        runner = open_frame_runner(model.backend, files, bundle.manifest.input, threads=threads, half=model.half)
    except MissingDependency as err:
        return _untested(model, str(err))
    except (ModelError, DeviceError) as err:
        return _failed(model, err)
    try:
        done = self_test(runner, model.precision, frames, expected, model.tolerance or 0.0)
        return replace(done, int8=count_if_int8(model.backend, model.precision, files, bundle.manifest.network_input_name))
    except (ModelError, DeviceError) as err:
        return _failed(model, err)
    finally:
        runner.close()


def _untested(model: BuiltModel, reason: str) -> SelfTest:
    return SelfTest(backend=model.backend, precision=model.precision, reason=reason)


def _failed(model: BuiltModel, err: ModelError | DeviceError) -> SelfTest:
    return replace(_untested(model, str(err)), tolerance=model.tolerance, passed=False)
