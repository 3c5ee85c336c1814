"""Proof that a bundle is whole and still predicts as it did where it was built.

The signature comes first, then every digest, then the self-test: the golden frames of the bundle through every backend
that can run here, compared with the predictions in the bundle.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import BuiltModel, Manifest
from weckd_edge.bundle.reader import Bundle, open_bundle
from weckd_edge.bundle.signing import SIGNATURE_FILE, SignatureError
from weckd_edge.core.errors import BundleError, DeviceError, MissingDependency, ModelError
from weckd_edge.devices.runtime.backends.base import ModelBytes, Runner
from weckd_edge.devices.runtime.backends.table import BACKENDS
from weckd_edge.devices.runtime.device_choice import find_choice
from weckd_edge.devices.runtime.frame_runner import open_frame_runner
from weckd_edge.devices.runtime.golden_arrays import load_golden
from weckd_edge.devices.runtime.input_guard import open_guard
from weckd_edge.devices.runtime.model_choice import backend_of, read_model_bytes

Signature = Literal["valid", "unsigned", "unchecked", "invalid"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfTest:
    """Result of the golden frames through one backend.

    Attributes:
        backend: Name of the backend.
        frames: Number of golden frames that were run.
        max_abs: Largest difference of a probability; None where nothing was run, or a prediction was not a number.
        flips: Number of frames on which the decision differs; None where nothing was run.
        tolerance: Largest difference that is allowed; None where the bundle names none.
        passed: Whether the difference is within the tolerance; None where nothing was run.
        reason: Why nothing was run, or why the test did not pass, in words; None where it passed.
    """

    backend: str
    frames: int = 0
    max_abs: float | None = None
    flips: int | None = None
    tolerance: float | None = None
    passed: bool | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyResult:
    """Result of verifying one bundle.

    Attributes:
        bundle: Folder of the bundle.
        signature: ``valid``; ``unsigned``; ``unchecked``, as there is a signature and no key was given; or ``invalid``.
        digests_ok: Whether every file is there, as it was sealed, and no other.
        selftest: Result of the self-test, one a backend.
        passed: Whether everything above held and at least one backend ran.
        problem: First thing that is wrong, in one line; None where the bundle passed.
        code: Code of the problem, from ``weckd_edge.core.error_codes``; None where the bundle passed.
    """

    bundle: str
    signature: Signature
    digests_ok: bool
    selftest: tuple[SelfTest, ...] = ()
    passed: bool
    problem: str | None = None
    code: str | None = None


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
    except BundleError as err:
        return VerifyResult(
            bundle=str(folder), signature=bundle.signature, digests_ok=True, passed=False, problem=str(err), code=err.code
        )
    problem = _problem(tests)
    return VerifyResult(
        bundle=str(folder),
        signature=bundle.signature,
        digests_ok=True,
        selftest=tests,
        passed=problem is None,
        problem=problem,
        code=None if problem is None else "E_BUNDLE_SELFTEST",
    )


def _problem(tests: tuple[SelfTest, ...]) -> str | None:
    for test in tests:
        if test.passed is False:
            return f"the self-test did not pass on {test.backend}: {test.reason}"
    if not any(test.passed for test in tests):
        reasons = "; ".join(f"{test.backend}: {test.reason}" for test in tests) or "the bundle has no model to run"
        return f"the self-test could not run on any backend here ({reasons})"
    return None


def self_tests(bundle: Bundle) -> tuple[SelfTest, ...]:
    """Run the golden frames through every model of a bundle; a model that cannot run here gets a result that says why.

    Raises:
        BundleError: The golden frames are not what the manifest promises.
    """
    frames, expected = load_golden(bundle)
    results = []
    for backend, model, reason in _candidates(bundle):
        if model is None:
            results.append(SelfTest(backend=backend, reason=reason))
        else:
            results.append(_run(backend, model, bundle.manifest, frames, expected))
    return tuple(results)


def self_test(runner: Runner, frames: NDArray[np.uint8], expected: NDArray[np.float32], tolerance: float) -> SelfTest:
    """Run golden frames through one open model.

    Args:
        runner: The open model.
        frames: Golden frames, uint8 ``[N, H, W, 3]``, N at least 1.
        expected: Probabilities expected of them, float32 ``[N, classes]``.
        tolerance: Largest difference of a probability that is allowed.
    """
    outputs = np.stack([runner.run(np.ascontiguousarray(frame[None])) for frame in frames])
    if outputs.shape != expected.shape or not np.isfinite(outputs).all():
        return SelfTest(
            backend=runner.name,
            frames=len(frames),
            tolerance=tolerance,
            passed=False,
            reason=f"expected {list(expected.shape)} finite probabilities, got {list(outputs.shape)}, or not numbers",
        )
    max_abs = float(np.abs(outputs.astype(np.float64) - expected).max())
    passed = max_abs <= tolerance
    return SelfTest(
        backend=runner.name,
        frames=len(frames),
        max_abs=max_abs,
        flips=int((outputs.argmax(axis=1) != expected.argmax(axis=1)).sum()),
        tolerance=tolerance,
        passed=passed,
        reason=None if passed else f"a probability differs by {max_abs:.6f}, allowed is {tolerance:g}",
    )


def _run(
    backend: str, model: ModelBytes, manifest: Manifest, frames: NDArray[np.uint8], expected: NDArray[np.float32]
) -> SelfTest:
    tolerance = manifest.selftest.tolerance.get(backend)
    if tolerance is None:
        return SelfTest(backend=backend, passed=False, reason="the bundle names no tolerance for it")
    try:
        runner = open_frame_runner(backend, model, manifest.input)
    except MissingDependency as err:
        return SelfTest(backend=backend, tolerance=tolerance, reason=str(err))
    except (ModelError, DeviceError) as err:
        return SelfTest(backend=backend, tolerance=tolerance, passed=False, reason=str(err))
    try:
        return self_test(runner, frames, expected, tolerance)
    except (ModelError, DeviceError) as err:
        return SelfTest(backend=backend, tolerance=tolerance, passed=False, reason=str(err))
    finally:
        runner.close()


def _candidates(bundle: Bundle) -> list[tuple[str, ModelBytes | None, str]]:
    """List backend, model to open or None, and reason for None: built models, then the ONNX graph where it is tested."""
    found: list[tuple[str, ModelBytes | None, str]] = []
    for model in bundle.manifest.models:
        if model.kind == "model":
            found.append(_built(bundle, model))
        elif model.kind == "recipe":
            found.append(_recipe(bundle, model))
    seen = {backend for backend, _, _ in found}
    for name, row in BACKENDS.items():
        if name not in seen and ".onnx" in row.suffixes and name in bundle.manifest.selftest.tolerance:
            found.append((name, read_model_bytes(bundle, bundle.manifest.onnx), ""))
    return found


def _built(bundle: Bundle, model: BuiltModel) -> tuple[str, ModelBytes | None, str]:
    name = backend_of(model)
    if name is None:
        return model.backend, None, f"this weckd-edge has no way to run a model of {model.backend}"
    return name, read_model_bytes(bundle, *model.files), ""


def _recipe(bundle: Bundle, model: BuiltModel) -> tuple[str, ModelBytes | None, str]:
    found = find_choice(bundle)
    if found.choice is None or found.choice.backend != model.backend:
        why = found.reason or "not built yet"
        return model.backend, None, f"{why}; on the device, run: weckd-edge finalize {bundle.folder}"
    return model.backend, read_model_bytes(bundle, *found.choice.files), ""
