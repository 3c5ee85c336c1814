"""The ONNX Runtime backend: against a stand-in for its library, and against the real one that Python's package carries."""

import importlib.metadata
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from weckd_edge.bundle.reader import Bundle, open_bundle
from weckd_edge.bundle.writer import seal
from weckd_edge.core.store import file_ref
from weckd_edge.devices.runtime.backends.onnxruntime_backend import SESSION_ENTRIES, session_options
from weckd_edge.devices.runtime.backends.table import open_runner
from weckd_edge.devices.runtime.predict import choose_model


def stand_in(library: Any) -> Path:
    return Path(library.folder) / "tests/libonnxruntime_stand_in.so"


def real() -> Path:
    """Return the library inside the installed package, which exports the C API."""
    spec = importlib.util.find_spec("onnxruntime")
    found = sorted(Path(spec.origin).parent.glob("capi/libonnxruntime.so*")) if spec and spec.origin else []
    if not found:
        pytest.skip("the installed onnxruntime has no libonnxruntime.so of its own, or there is none")
    return found[0]


def run_frames(library: Any, runtime: Path, folder: Path, raw: Path, side: int, expect: int = 0, mode: str = "") -> str:
    options = ("--backend", "onnxruntime", "--library", runtime)
    env = {"WECKD_STAND_IN": mode}
    return str(library.run("runner", folder, *options, "frames", raw, side, side, 0, 0, expect=expect, env=env))


def write_graph(toy: ModuleType, folder: Path, text: str) -> Path:
    """Seal a bundle whose graph is a name that only the stand-in reads, and return its frames in a file beside it."""
    manifest = toy.write_bundle(folder).manifest
    name = b"\x12" + bytes([len(text)]) + text.encode()
    (folder / "model/model.onnx").write_bytes(b"\x3a" + bytes([len(name)]) + name)
    seal(folder, toy.with_graph(manifest, file_ref(folder, folder / "model/model.onnx")))
    raw = folder.parent / "raw"
    raw.write_bytes(toy.frames().tobytes())
    return raw


def test_the_stand_ins_graph_reads_the_frame_where_it_lies(
    sanitized: Any, firmware: ModuleType, toy: ModuleType, tmp_path: Path
) -> None:
    raw = write_graph(toy, tmp_path / "bundle", f"graph uint8 {toy.SIDE} {toy.SIDE} 3")
    found = firmware.read_predictions(run_frames(sanitized, stand_in(sanitized), tmp_path / "bundle", raw, toy.SIDE))
    for frame, (_, prediction, _, probabilities) in zip(toy.frames(), found, strict=True):
        sums = np.array([frame.reshape(-1)[k::3].sum() for k in range(3)], np.float64)
        assert probabilities == pytest.approx(list(sums / sums.sum()), abs=1e-6)
        assert prediction == int(sums.argmax())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no graph", "ONNX Runtime: not a graph"),
        ("graph uint8 8 9 3", "not what the manifest says"),
        ("graph uint8 8 8 4", "not what the manifest says"),
        ("graph float 8 8 3", "not what the manifest says"),
    ],
)
def test_another_graph_than_the_manifests_is_refused(
    sanitized: Any, toy: ModuleType, tmp_path: Path, text: str, words: str
) -> None:
    raw = write_graph(toy, tmp_path / "bundle", text)
    out = run_frames(sanitized, stand_in(sanitized), tmp_path / "bundle", raw, toy.SIDE, expect=1)
    assert out.startswith("status -15:")
    assert words in out


@pytest.mark.parametrize(
    ("mode", "words"),
    [("old", "not ONNX Runtime 1.5 or newer"), *((mode, "its table of calls") for mode in ("version", "shuffled", "holes"))],
)
def test_a_library_whose_table_is_another_is_not_called(
    sanitized: Any, toy: ModuleType, tmp_path: Path, mode: str, words: str
) -> None:
    raw = write_graph(toy, tmp_path / "bundle", "graph uint8 8 8 3")
    out = run_frames(sanitized, stand_in(sanitized), tmp_path / "bundle", raw, toy.SIDE, expect=1, mode=mode)
    assert out.startswith("status -14:")
    assert words in out


def test_every_call_may_fail_and_nothing_is_lost(
    sanitized: Any, firmware: ModuleType, toy: ModuleType, tmp_path: Path
) -> None:
    """The sanitizer would name what was not given back: it makes the program leave with another code."""
    raw = write_graph(toy, tmp_path / "bundle", "graph uint8 8 8 3")
    calls = (firmware.SOURCE / "src/backends/onnxruntime_api.h").read_text(encoding="utf-8")
    places = [int(place) for place in re.findall(r"CALL\((\d+), weckd_ort_status \*, (?!CreateStatus|AllocatorFree)", calls)]
    assert len(places) == 22
    for place in places:
        out = run_frames(sanitized, stand_in(sanitized), tmp_path / "bundle", raw, toy.SIDE, expect=1, mode=str(place))
        assert out.startswith(f"status {-14 if place == 3 else -19 if place == 9 else -15}:"), (place, out)
        assert f"the call at {place} was told to fail" in out or "not what the manifest says" in out


def test_a_session_is_set_as_pythons_is(firmware: ModuleType) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    source = (firmware.SOURCE / "src/backends/onnxruntime_backend.c").read_text(encoding="utf-8")
    entries = dict(re.findall(r'\{"(session\.[\w.]+)", "(\w+)"\}', source))
    options = session_options(onnxruntime, threads=1)
    assert entries == SESSION_ENTRIES
    assert {name: options.get_session_config_entry(name) for name in entries} == entries
    assert "SetIntraOpNumThreads(options, (int)request->threads)" in source
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL  # the default of both


def test_another_library_is_no_onnx_runtime(library: Any, bundle: Path, toy: ModuleType) -> None:
    out = library.run("runner", bundle, "--backend", "onnxruntime", "--library", "libm.so.6", "selftest", expect=1)
    assert "not ONNX Runtime 1.5 or newer" in out


class Calibration:
    """What ONNX Runtime's quantizer reads: one frame after another."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self.images, None)
        return None if image is None else {"frame": image[None]}


def quantize(toy: ModuleType, bundle: Bundle, images: NDArray[np.uint8]) -> None:
    """Make a bundle's graph int8, with quantizers around its convolution, and seal it anew."""
    import onnx
    from onnxruntime.quantization import QuantFormat, quantize_static

    folder, graph = bundle.folder, bundle.folder / "model/model.onnx"
    quantize_static(graph, graph, Calibration(images), quant_format=QuantFormat.QDQ, per_channel=True)
    kinds = {node.op_type for node in onnx.load(graph).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= kinds
    seal(folder, toy.with_graph(bundle.manifest, file_ref(folder, graph)))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_predictions_are_pythons_to_the_bit_where_versions_are_equal(
    precision: str, library: Any, firmware: ModuleType, toy: ModuleType, tmp_path: Path
) -> None:
    runtime = real()
    images = toy.frames(100)
    raw = tmp_path / "raw"
    raw.write_bytes(images.tobytes())
    made = toy.write_bundle(tmp_path / "bundle", onnx_precision=precision, tolerance=0.1)
    if precision == "int8":
        quantize(toy, made, images[:32])
    bundle = made.folder
    choice = choose_model(open_bundle(bundle), "onnxruntime")
    runner = open_runner(choice.backend, choice.model)
    by_python = [[float(value) for value in runner.run(np.ascontiguousarray(image[None]))] for image in images]
    runner.close()
    by_c = firmware.read_predictions(run_frames(library, runtime, bundle, raw, toy.SIDE))
    assert [probabilities for *_, probabilities in by_c] == by_python
    out = library.run("runner", bundle, "--backend", "onnxruntime", "--library", runtime, "selftest")
    assert out.endswith(f"backend onnxruntime {importlib.metadata.version('onnxruntime')} {precision} takes the frame\n")


def test_the_library_itself_allocates_nothing_while_it_predicts(library: Any, toy: ModuleType, tmp_path: Path) -> None:
    write_graph(toy, tmp_path / "bundle", "graph uint8 8 8 3")
    out = library.run("no_allocation", tmp_path / "bundle", "onnxruntime", stand_in(library))
    in_open, first, second = map(int, re.findall(r"\d+", out))
    assert in_open > 0
    assert (first, second) == (0, 0)


def test_places_are_those_of_the_real_header(library: Any) -> None:
    program = Path(library.folder) / "tests/onnxruntime_places"
    if not program.exists():
        pytest.skip("onnxruntime_c_api.h is not installed: nothing to compare with")
    library.run("onnxruntime_places")


def test_the_example_takes_a_backend_by_its_name(library: Any, bundle: Path, toy: ModuleType, tmp_path: Path) -> None:
    runtime = real()
    frame, expected = np.load(bundle / "selftest/frames.npy")[0], np.load(bundle / "selftest/expected.npy")[0]
    (tmp_path / "frame.rgb").write_bytes(frame.tobytes())
    program = "../examples/classify_frame"
    out = library.run(program, bundle, tmp_path / "frame.rgb", "--backend", "onnxruntime", "--library", runtime)
    assert out.startswith(f"{toy.LABELS[int(expected.argmax())]} ({expected.max():.3f}) in ")
    library.run(program, bundle, tmp_path / "frame.rgb", "--backend", expect=2)
    library.run(program, bundle, tmp_path / "frame.rgb", "--backend", "nosuch", expect=1)
