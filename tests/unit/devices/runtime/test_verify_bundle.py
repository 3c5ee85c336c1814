import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from support import factories
from support.bundles import toy
from support.bundles.signing_keys import write_pair
from support.errors import raises
from weckd_edge.artifacts import BuiltModel, FileRef, FrameSpec, GoldenFrames, InputSpec, Int8Count, NetworkInput
from weckd_edge.bundle.reader import Bundle, open_bundle
from weckd_edge.bundle.writer import seal
from weckd_edge.cli.verify import command
from weckd_edge.core.errors import BundleError, MissingDependency
from weckd_edge.core.store import file_ref
from weckd_edge.devices.runtime.backends import int8_layers
from weckd_edge.devices.runtime.backends.base import ModelBytes
from weckd_edge.devices.runtime.golden_arrays import load_expected, load_golden_frames
from weckd_edge.devices.runtime.verify_bundle import self_test, verify_bundle

LABELS = ("effusion", "normal", "wax")


class FakeRunner:
    """Answers the mean of each colour, normalised, plus an error that a test chooses."""

    name = "openvino"
    version = "1"
    input_shape = (1, 4, 4, 3)

    def __init__(self, error: NDArray[np.float32] | float = 0.0) -> None:
        self.error = error
        self.closed = False

    def run(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert frame.shape == self.input_shape
        assert frame.flags.c_contiguous
        return answer(frame) + np.float32(self.error)

    def close(self) -> None:
        self.closed = True


def answer(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    means = frame.reshape(-1, 3).mean(axis=0) + 1
    return (means / means.sum()).astype(np.float32)


FRAMES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3)).astype(np.uint8)
EXPECTED = np.stack([answer(frame) for frame in FRAMES])


def make_bundle(folder: Path, *, kind: str = "model", graph: Sequence[BuiltModel] = (), **changes: Any) -> Path:
    """A bundle of one model or recipe, changed as named, and of entries for the ONNX graph, whose files are filled in."""
    (folder / "model").mkdir(parents=True)
    (folder / "selftest").mkdir()
    (folder / "model/model.onnx").write_bytes(b"onnx")
    (folder / "model/model.xml").write_bytes(b"<xml/>")
    (folder / "model/recipe.json").write_bytes(b"{}")
    np.save(folder / "selftest/frames.npy", FRAMES)
    np.save(folder / "selftest/expected.npy", EXPECTED)

    def ref(path: str) -> FileRef:
        return file_ref(folder, folder / path)

    seal(
        folder,
        factories.manifest(
            target="cpu" if kind == "model" else "jetson",
            labels=LABELS,
            input=InputSpec(
                frame=FrameSpec(height=4, width=4, crop="center"),
                network=NetworkInput(height=32, width=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
            ),
            models=(
                dataclasses.replace(
                    BuiltModel(
                        backend="openvino" if kind == "model" else "tensorrt",
                        backend_version="1",
                        precision="int8",
                        kind=kind,
                        files=(ref("model/model.xml" if kind == "model" else "model/recipe.json"),),
                        source_sha256="00",
                        expected=ref("selftest/expected.npy"),
                        tolerance=1e-3,
                    ),
                    **changes,
                ),
                *(
                    dataclasses.replace(
                        model, files=(ref("model/model.onnx"),), expected=ref("selftest/expected.npy"), tolerance=0.01
                    )
                    for model in graph
                ),
            ),
            onnx=ref("model/model.onnx"),
            selftest=GoldenFrames(frames=ref("selftest/frames.npy"), reference="openvino 1 int8"),
            synthetic=True,
            versions={},
        ),
    )
    return folder


@pytest.fixture
def runners(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the backend table gives by name: a runner, or an error to raise."""
    found: dict[str, object] = {"openvino": FakeRunner()}

    def open_runner(backend: str, model: ModelBytes, *, threads: int, reference: bool, half: bool) -> FakeRunner:
        assert model.graph
        result = found.get(backend, MissingDependency(f"{backend} is not installed", code="E_MISSING_LIBRARY"))
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, FakeRunner)
        return result

    monkeypatch.setattr("weckd_edge.devices.runtime.frame_runner.open_runner", open_runner)
    return found


def test_a_whole_bundle_that_predicts_as_it_did_passes(tmp_path: Path, runners: dict[str, object]) -> None:
    result = verify_bundle(make_bundle(tmp_path / "b"))
    assert (result.passed, result.digests_ok, result.signature, result.problem) == (True, True, "unsigned", None)
    (test,) = result.selftest
    assert (test.backend, test.frames, test.max_abs, test.flips, test.passed) == ("openvino", 5, 0.0, 0, True)
    assert runners["openvino"].closed  # type: ignore[attr-defined]


def test_a_difference_over_the_tolerance_is_reported_with_its_size(tmp_path: Path, runners: dict[str, object]) -> None:
    runners["openvino"] = FakeRunner(0.002)
    result = verify_bundle(make_bundle(tmp_path / "b"))
    (test,) = result.selftest
    assert (result.passed, test.passed) == (False, False)
    assert test.max_abs == pytest.approx(0.002, rel=1e-3)
    assert "0.002000, allowed is 0.001" in str(result.problem)


def test_flipped_decisions_are_counted() -> None:
    towards_last = np.array([0.0, 0.0, 1.0], np.float32)
    result = self_test(FakeRunner(towards_last), "int8", FRAMES, EXPECTED, tolerance=2.0)
    assert result.flips == int((EXPECTED.argmax(axis=1) != 2).sum())
    assert result.flips


def test_a_prediction_that_is_not_a_number_never_passes() -> None:
    result = self_test(FakeRunner(float("nan")), "int8", FRAMES, EXPECTED, tolerance=2.0)
    assert (result.passed, result.max_abs) == (False, None)


def test_a_recipe_without_an_engine_is_not_run_and_never_passed(tmp_path: Path, runners: dict[str, object]) -> None:
    result = verify_bundle(make_bundle(tmp_path / "b", kind="recipe"))
    (test,) = result.selftest
    assert (test.backend, test.frames, test.passed) == ("tensorrt", 0, None)
    assert "weckd-edge finalize" in str(test.reason)
    assert not result.passed
    assert "could not run on any backend here" in str(result.problem)


def of_graph(precision: Any, hint: str = "f32") -> BuiltModel:
    settings = {"INFERENCE_PRECISION_HINT": hint}
    return toy.of_graph("openvino", FileRef(path="", sha256="", bytes=0), precision, settings=settings)


def test_a_recipe_passes_here_by_its_graph_where_the_bundle_lists_one(tmp_path: Path, runners: dict[str, object]) -> None:
    result = verify_bundle(make_bundle(tmp_path / "b", kind="recipe", graph=[of_graph("int8")]))
    assert [(test.backend, test.passed) for test in result.selftest] == [("tensorrt", None), ("openvino", True)]
    assert result.passed


def test_what_the_bundle_does_not_list_is_not_run(tmp_path: Path, runners: dict[str, object]) -> None:
    result = verify_bundle(make_bundle(tmp_path / "b"))
    assert [test.backend for test in result.selftest] == ["openvino"], "ONNX Runtime could read the graph"


def test_every_model_is_held_to_its_own_predictions_and_tolerance(tmp_path: Path, runners: dict[str, object]) -> None:
    runners["openvino"] = FakeRunner(0.005)
    result = verify_bundle(make_bundle(tmp_path / "b", graph=[of_graph("fp32")]))
    found = [(test.backend, test.precision, test.tolerance, test.passed) for test in result.selftest]
    assert found == [("openvino", "int8", 1e-3, False), ("openvino", "fp32", 0.01, True)]
    assert not result.passed
    assert "openvino int8" in str(result.problem)


def test_other_predictions_that_are_expected_of_a_model_fail_it(tmp_path: Path, runners: dict[str, object]) -> None:
    folder = make_bundle(tmp_path / "b", graph=[of_graph("fp32")])
    manifest = open_bundle(folder).manifest
    np.save(folder / "selftest/other.npy", EXPECTED[:, ::-1].copy())
    other = dataclasses.replace(manifest.models[1], expected=file_ref(folder, folder / "selftest/other.npy"))
    seal(folder, dataclasses.replace(manifest, models=(manifest.models[0], other)))
    assert [test.passed for test in verify_bundle(folder).selftest] == [True, False]


def test_float16_is_not_run_where_the_processor_does_not_compute_in_it(
    tmp_path: Path, runners: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path / "b", graph=[of_graph("fp16", "f16")])
    here: list[bool] = [False]
    monkeypatch.setattr("weckd_edge.devices.runtime.backends.openvino_backend.computes_in_half", lambda: here[0])
    result = verify_bundle(bundle)
    assert [(test.precision, test.passed) for test in result.selftest] == [("int8", True), ("fp16", None)]
    assert "float16 on this processor" in str(result.selftest[1].reason)
    assert result.passed
    here[0] = True
    assert [test.passed for test in verify_bundle(bundle).selftest] == [True, True]


def test_a_missing_library_is_not_run(tmp_path: Path, runners: dict[str, object]) -> None:
    del runners["openvino"]
    result = verify_bundle(make_bundle(tmp_path / "b"))
    assert (result.selftest[0].passed, result.passed) == (None, False)


def test_a_changed_file_is_a_result_that_names_it(tmp_path: Path, runners: dict[str, object]) -> None:
    folder = make_bundle(tmp_path / "b")
    (folder / "model/model.onnx").write_bytes(b"0nnx")
    result = verify_bundle(folder)
    assert (result.passed, result.digests_ok, result.selftest) == (False, False, ())
    assert "model/model.onnx" in str(result.problem)


def test_golden_frames_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b")
    manifest = open_bundle(folder).manifest
    np.save(folder / "selftest/frames.npy", FRAMES[:, :3])
    golden = dataclasses.replace(manifest.selftest, frames=file_ref(folder, folder / "selftest/frames.npy"))
    seal(folder, dataclasses.replace(manifest, selftest=golden))
    with raises(BundleError, "E_BUNDLE_GOLDEN", says=("u1", "4", "3")):
        load_golden_frames(open_bundle(folder))


@pytest.mark.parametrize("expected", [EXPECTED[:4], np.full_like(EXPECTED, np.nan), EXPECTED[:, :2]])
def test_golden_predictions_that_do_not_fit_the_frames_are_refused(tmp_path: Path, expected: Any) -> None:
    folder = make_bundle(tmp_path / "b")
    manifest = open_bundle(folder).manifest
    np.save(folder / "selftest/expected.npy", expected)
    model = dataclasses.replace(manifest.models[0], expected=file_ref(folder, folder / "selftest/expected.npy"))
    seal(folder, dataclasses.replace(manifest, models=(model,)))
    with raises(BundleError, "E_BUNDLE_GOLDEN", says="selftest/expected.npy"):
        load_expected(open_bundle(folder), model, len(FRAMES))


def test_a_key_refuses_an_unsigned_bundle(tmp_path: Path, runners: dict[str, object]) -> None:
    pytest.importorskip("model_signing")
    _, key = write_pair(tmp_path)
    folder = make_bundle(tmp_path / "b")
    assert (verify_bundle(folder, key).signature, verify_bundle(folder, key).passed) == ("unsigned", False)
    (folder / "signature").write_text("{}")
    assert (verify_bundle(folder, key).signature, verify_bundle(folder, key).passed) == ("invalid", False)
    assert verify_bundle(folder).signature == "unchecked"


def test_the_command_prints_one_object_and_fails_with_one_line(tmp_path: Path, runners: dict[str, object]) -> None:
    folder = make_bundle(tmp_path / "b")
    good = CliRunner().invoke(command, [str(folder), "--json"])
    assert good.exit_code == 0
    data = json.loads(good.stdout)
    assert data.keys() >= {"bundle", "signature", "digests_ok", "selftest", "passed"}
    assert data["selftest"][0].keys() >= {"backend", "frames", "max_abs", "flips", "passed"}
    (folder / "model/model.xml").unlink()
    bad = CliRunner().invoke(command, [str(folder), "--json"])
    assert json.loads(bad.stdout)["passed"] is False
    assert isinstance(bad.exception, BundleError)
    assert "model/model.xml is missing" in str(bad.exception)


def test_the_command_shows_a_table_to_a_person(tmp_path: Path, runners: dict[str, object]) -> None:
    result = CliRunner().invoke(command, [str(make_bundle(tmp_path / "b"))])
    assert result.exit_code == 0
    assert "openvino" in result.stdout
    assert "passed" in result.stdout


def test_the_files_of_a_model_are_read_once(
    tmp_path: Path, runners: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, as_it_is = [], Bundle.read

    def note(self: Bundle, ref: FileRef) -> bytes:
        read.append(ref.path)
        return as_it_is(self, ref)

    monkeypatch.setattr(Bundle, "read", note)
    result = verify_bundle(make_bundle(tmp_path / "b"))
    assert [test.runs for test in result.selftest] == [True]
    assert read.count("model/model.xml") == 1


def test_what_runs_in_int8_on_this_processor_is_counted_again(
    tmp_path: Path, runners: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Int8Count(int8_layers=1, layers=2, float_layers=("conv_2",))
    asked: list[tuple[str, str]] = []

    def count(backend: str, model: ModelBytes, network_input: str) -> Int8Count:
        asked.append((backend, network_input))
        return counted

    monkeypatch.setattr(int8_layers, "count_int8_layers", count)
    bundle = make_bundle(tmp_path / "b")
    (test,) = verify_bundle(bundle).selftest
    assert (test.passed, test.int8) == (True, counted)
    assert asked == [("openvino", open_bundle(bundle).manifest.network_input_name)]
    shown = CliRunner().invoke(command, [str(bundle)])
    assert "1 of 2" in shown.stdout
    assert "conv_2" in shown.stderr


def test_a_count_that_fails_fails_no_self_test(
    tmp_path: Path, runners: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("openvino")
    (test,) = verify_bundle(make_bundle(tmp_path / "b")).selftest  # its IR is none; a stand-in runs it
    assert (test.passed, test.int8) == (True, None)
    assert "were not counted" in caplog.text
