"""The C library and the runtimes below it report to nobody, look no name up and leave no file behind."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest


def runtime_of(backend: str, library: Any) -> Path:
    """Return the runtime's library inside its Python package."""
    if backend == "openvino":
        found = [library.openvino] if library.openvino else []
    else:
        spec = importlib.util.find_spec("onnxruntime")
        found = sorted(Path(spec.origin).parent.glob("capi/libonnxruntime.so*")) if spec and spec.origin else []
    if not found:
        pytest.skip(f"no C library of {backend} is installed")
    return Path(found[0])


@pytest.fixture(params=["openvino", "onnxruntime"])
def runtime(request: pytest.FixtureRequest, library: Any) -> tuple[str, ...]:
    """Options that name a backend and its library."""
    return ("--backend", request.param, "--library", str(runtime_of(request.param, library)))


def test_the_example_keeps_to_itself(library: Any, runtime: tuple[str, ...], toy: ModuleType, watch: Any) -> None:
    bundle = toy.write_bundle(watch.work / "bundle", **toy.IN_C).folder
    toy.frames()[0].tofile(watch.work / "frame.rgb")
    seen = watch.run(library.folder / "examples/classify_frame", bundle, watch.work / "frame.rgb", *runtime)
    assert any(label in seen.output for label in toy.LABELS)
    assert seen.is_quiet, seen


def test_the_updaters_self_test_keeps_to_itself(
    library: Any, runtime: tuple[str, ...], toy: ModuleType, keys: dict[str, Path], watch: Any
) -> None:
    from weckd_edge.bundle.signing import sign

    bundle = toy.write_bundle(watch.work / "bundle", **toy.IN_C).folder
    sign(bundle, keys["p256"])
    store = ("--store", watch.work / "store", "--key", keys["p256.pub"])
    seen = watch.run(library.folder / "update/weckd-update", *store, *runtime, "install", bundle)
    assert len(list((watch.work / "store/bundles").glob("*/manifest.json"))) == 1, seen.output
    assert seen.is_quiet, seen


def test_the_library_keeps_to_itself_below_python(
    library: Any, runtime: tuple[str, ...], toy: ModuleType, watch: Any
) -> None:
    bundle = toy.write_bundle(watch.work / "bundle", **toy.IN_C).folder
    np.save(watch.work / "frame.npy", toy.frames()[0])
    binding = Path(__file__).parents[2] / "devices/firmware/python"
    code = f"""
import sys
sys.path.insert(0, {str(binding)!r})
from weckd_edge_c import Bundle
library, bundle, _, backend, _, runtime = sys.argv[1:]
opened = Bundle(library, bundle, backend=backend.encode(), library=runtime.encode())
opened.selftest()
print(opened.classify(open("frame.npy", "rb").read()[-192:]).decision)
"""
    seen = watch.run(sys.executable, "-c", code, library.folder / "libweckd_edge.so", bundle, *runtime)
    assert seen.output.strip() in toy.LABELS
    assert seen.is_quiet, seen


@pytest.mark.parametrize(("before", "quiet"), [(None, True), ("", True), ("yes", True), ("1", True), ("0", False)])
def test_onnx_runtime_finds_its_telemetry_off_unless_somebody_wrote_0(
    before: str | None, quiet: bool, library: Any, toy: ModuleType, watch: Any
) -> None:
    bundle = toy.write_bundle(watch.work / "bundle", **toy.IN_C).folder
    stand_in = library.folder / "tests/libonnxruntime_stand_in.so"
    words = ("env", "WECKD_STAND_IN=telemetry", *([] if before is None else [f"ORT_DISABLE_TELEMETRY={before}"]))
    seen = watch.run(
        *words,
        library.folder / "tests/runner",
        bundle,
        "--backend",
        "onnxruntime",
        "--library",
        stand_in,
        "selftest",
        expect=1,
    )
    assert ("not a graph" if quiet else "it reports to its maker") in seen.output
