"""Both readers follow what this device chose, where its files prove true; else C runs the first model that runs here."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from weckd_edge.artifacts import Manifest
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.bundle.writer import seal
from weckd_edge.core.errors import DeviceError
from weckd_edge.core.serialization import from_json, to_data
from weckd_edge.core.store import file_ref
from weckd_edge.devices.machine.processor import ProcessorIdentity, read_processor
from weckd_edge.devices.runtime.backends.table import library_version
from weckd_edge.devices.runtime.device_choice import DeviceChoice, find_choice

FIRST, CHOSEN = "echo 1 int8 takes the frame", "echo 1 fp32 chosen here takes the frame"


def by_the_stand_in(folder: Path) -> Any:
    """Return what the stand-in for a model predicts for the golden frames."""
    frames = np.load(folder / "selftest/frames.npy")
    flat = frames.reshape(len(frames), -1).astype(np.float64)
    return np.stack([flat[:, k::3].sum(axis=1) for k in range(3)], axis=1) / flat.sum(axis=1, keepdims=True)


@pytest.fixture
def two(toy: ModuleType, tmp_path: Path) -> Path:
    """A bundle of two models of the stand-in, ``int8`` before ``fp32``, each with its own golden predictions."""
    folder: Path = tmp_path / "bundle"
    manifest = toy.write_bundle(folder, backends=["echo"]).manifest
    right = by_the_stand_in(folder).astype(np.float32)
    np.save(folder / "selftest/expected.npy", right)
    np.save(folder / "selftest/other.npy", right + np.float32(0.125))
    int8 = replace(manifest.models[0], expected=file_ref(folder, folder / "selftest/expected.npy"), tolerance=1e-6)
    fp32 = replace(int8, precision="fp32", expected=file_ref(folder, folder / "selftest/other.npy"), tolerance=0.125 + 1e-5)
    seal(folder, replace(manifest, models=(int8, fp32)))
    return folder


def manifest_of(folder: Path) -> Manifest:
    return open_bundle(folder).manifest


def what_runs(library: Any, folder: Path, *options: object, expect: int | None = 0) -> str:
    out: str = library.run("runner", folder, *options, "selftest", expect=expect)
    return out.partition(" backend ")[2].splitlines()[0] if out.startswith("frames ") else out


def test_the_manifests_order_holds_until_the_device_has_chosen(library: Any, two: Path, choices: ModuleType) -> None:
    assert what_runs(library, two) == FIRST
    manifest = manifest_of(two)
    choices.write(two, choices.choice(manifest, manifest.models[1]))
    assert what_runs(library, two) == CHOSEN
    library.run("runner", two, "check")


def test_each_model_is_compared_with_its_own_golden_predictions(library: Any, two: Path, choices: ModuleType) -> None:
    """Each has predictions that fail with the other's tolerance, or would pass with the other's predictions alone."""
    out = library.run("runner", two, "--precision", "int8", "selftest")
    assert float.fromhex(out.split()[5]) < 1e-6
    out = library.run("runner", two, "--precision", "fp32", "selftest")
    assert float.fromhex(out.split()[5]) == pytest.approx(0.125, abs=1e-6)
    manifest = manifest_of(two)
    int8, fp32 = manifest.models
    seal(two, replace(manifest, models=(int8, replace(fp32, tolerance=0.1))))
    manifest = manifest_of(two)
    choices.write(two, choices.choice(manifest, manifest.models[1]))
    out = library.run("runner", two, "selftest", expect=1)
    assert "status -18:" in out
    assert "with echo in fp32 a probability differs by 0.125" in out


def test_the_options_ask_for_another_than_the_device_chose(library: Any, two: Path, choices: ModuleType) -> None:
    manifest = manifest_of(two)
    choices.write(two, choices.choice(manifest, manifest.models[1]))
    assert what_runs(library, two, "--precision", "int8") == FIRST
    assert what_runs(library, two, "--precision", "fp32") == CHOSEN
    out = what_runs(library, two, "--precision", "fp16", expect=1)
    assert out.startswith("status -14:")
    assert "no model that this build runs here in fp16" in out


def test_both_readers_follow_the_same_choices(library: Any, toy: ModuleType, choices: ModuleType, tmp_path: Path) -> None:
    """A choice that Python's record holds, and each way to spoil it; C opens it with a stand-in for ONNX Runtime."""
    folder = tmp_path / "bundle"
    manifest = toy.write_bundle(folder, backends=["onnxruntime"]).manifest
    graph = folder / manifest.onnx.path
    graph.write_bytes(b"\x3a\x13\x12\x11graph uint8 8 8 3")
    manifest = toy.with_graph(manifest, file_ref(folder, graph))
    seal(folder, replace(manifest, models=(*manifest.models, replace(manifest.models[0], precision="fp32"))))
    bundle = open_bundle(folder)
    identity = ProcessorIdentity(
        manifest_sha256=bundle.manifest.manifest_sha256,
        processor=read_processor(),
        memory_gib=1,
        system="",
        power_state="",
        libraries={"onnxruntime": library_version("onnxruntime")},
        threads=1,
    )
    record = choices.choice(bundle.manifest, bundle.manifest.models[1], identity=to_data(identity))
    good = to_data(from_json(DeviceChoice, json.dumps(record).encode(), where="choice.json", error=DeviceError))
    assert good == record
    stand_in = library.folder / "tests/libonnxruntime_stand_in.so"

    def followed(text: bytes) -> tuple[bool, bool]:
        choices.write(folder, text)
        runs = what_runs(library, folder, "--library", stand_in, expect=None)
        assert runs in (f"onnxruntime 1.99.0 {rest} takes the frame" for rest in ("int8", "fp32 chosen here")), runs
        return "chosen here" in runs, find_choice(bundle).choice is not None

    assert followed(json.dumps(good).encode()) == (True, True)
    (folder / "device/model.onnx").write_bytes(graph.read_bytes())
    for what, change in choices.WRONG.items():
        changed = copy.deepcopy(good)
        change(changed)
        assert followed(json.dumps(changed).encode()) == (False, False), what
    for what, text in choices.TEXTS.items():
        assert followed(text) == (False, False), what
    assert followed(json.dumps(good).encode()) == (True, True)


def test_a_choice_may_leave_out_what_is_optional(library: Any, two: Path, choices: ModuleType) -> None:
    manifest = manifest_of(two)
    record = choices.choice(manifest, manifest.models[1])
    for key in ("latency_ns", "left_out", "previous", "schema_version"):
        del record[key]
    choices.write(two, record)
    assert what_runs(library, two) == CHOSEN


def test_a_changed_model_is_refused_though_the_device_chose_it(library: Any, two: Path, choices: ModuleType) -> None:
    manifest = manifest_of(two)
    choices.write(two, choices.choice(manifest, manifest.models[1]))
    graph = two / "model/model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x00")
    assert what_runs(library, two, expect=1).startswith("status -5:")


def test_the_block_takes_the_largest_model_that_may_be_opened(library: Any, two: Path, toy: ModuleType) -> None:
    """Which one it is depends on the libraries that load, and on what the device chooses later."""
    manifest = manifest_of(two)
    int8, fp32 = manifest.models
    large = toy.write_graph(two / "model/float.onnx", seed=3)
    large.write_bytes(large.read_bytes() + b"\x72\x80\x08" + bytes(1024))  # a field that no reader of ONNX knows
    fp32 = replace(fp32, files=(file_ref(two, large),))
    seal(two, replace(manifest, models=(int8, fp32)))
    sizes = [ref.bytes for ref in (manifest.onnx, file_ref(two, large))]
    assert sizes[0] < sizes[1]
    for options, size in (((), sizes[1]), (("--precision", "int8"), sizes[0]), (("--precision", "fp16"), 0)):
        out = library.run("runner", two, *options, "check")
        assert out.endswith(f"model {size}\n"), (options, out)


def test_openvino_runs_an_int8_model_as_an_ir_alone(
    library: Any, toy: ModuleType, choices: ModuleType, tmp_path: Path
) -> None:
    """Of an ONNX graph's Q/DQ pairs its reader may lose the scale; Python gathers them first, and C has no means to."""
    if library.openvino is None:
        pytest.skip("OpenVINO's wheel is not installed")
    manifest = toy.write_bundle(tmp_path / "bundle", backends=["openvino", "echo"]).manifest
    options = ("--library", library.openvino)
    told = what_runs(library, tmp_path / "bundle", *options, expect=None)
    assert told == FIRST
    choices.write(tmp_path / "bundle", choices.choice(manifest, manifest.models[0]))
    assert what_runs(library, tmp_path / "bundle", *options, expect=None) == FIRST
    for more in (("--backend", "openvino"), ("--backend", "openvino", "--precision", "int8")):
        out = what_runs(library, tmp_path / "bundle", *options, *more, expect=1)
        assert out.startswith("status -14:")
        assert "model/model.onnx: openvino may compute an int8 model of a .onnx otherwise than it is written" in out
        assert library.run("runner", tmp_path / "bundle", *options, *more, "check").endswith("model 0\n")
    toy.write_bundle(tmp_path / "float", backends=["openvino"], onnx_precision="fp32")
    assert what_runs(library, tmp_path / "float", *options).endswith(" fp32 takes the frame")


def test_a_bundle_that_opens_leaves_no_message(library: Any, bundle: Path) -> None:
    """Neither that its first models have no library here, nor that it has no model: the runner tells of a message."""
    told = what_runs(library, bundle, "--library", "/nosuch/lib.so", expect=None)
    assert told == "echo 1 fp32 takes the frame"


def test_float16_runs_only_where_the_processor_computes_in_it(library: Any, toy: ModuleType, tmp_path: Path) -> None:
    """OpenVINO takes the setting on every processor, and computes in float32 where there is no float16."""
    if library.openvino is None:
        pytest.skip("OpenVINO's wheel is not installed")
    import openvino

    folder = tmp_path / "bundle"
    manifest = toy.write_bundle(folder, onnx_precision="fp32").manifest
    half = replace(manifest.models[0], precision="fp16", settings={"INFERENCE_PRECISION_HINT": "f16"})
    seal(folder, replace(manifest, models=(half, *manifest.models)))
    options = ("--backend", "openvino", "--library", library.openvino)
    if "FP16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        out = library.run("runner", folder, *options, "selftest", expect=None)
        assert " fp16" in out.partition(" backend openvino ")[2]
    else:
        assert what_runs(library, folder, *options).endswith(" fp32 takes the frame")
        out = what_runs(library, folder, *options, "--precision", "fp16", expect=1)
        assert out.startswith("status -14:")
        assert "computes in float16, which this processor does not" in out
