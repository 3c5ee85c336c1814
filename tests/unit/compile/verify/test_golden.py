"""Golden frames: validation images, classes in turn, those on which two implementations agree best."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import weckd_edge.compile.verify.golden as module
from support import factories
from support.errors import raises
from weckd_edge.artifacts import DatasetIndex, GoldenSet, Precision
from weckd_edge.compile.verify.golden import (
    MIN_TENSORRT_TOLERANCE,
    MIN_TOLERANCE,
    TOLERANCE_FACTOR,
    GoldenGraph,
    make_golden,
)
from weckd_edge.compile.verify.implementations import Implementation, predict_frames
from weckd_edge.core.errors import DataError, ModelError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.sampling import round_robin
from weckd_edge.core.store import Workspace, check_ref
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.images.split_frames import decode_split

INPUT = factories.input_spec(24, width=32)
SHIPPED = Implementation(backend="openvino", model=Path("shipped.xml"), input=INPUT, precision="int8")
OTHER = Implementation(backend="onnxruntime", model=Path("other.onnx"), input=INPUT, precision="int8", reference=True)


TESTS: list[tuple[str, Precision, float]] = [
    ("openvino", "int8", MIN_TOLERANCE),
    ("onnxruntime", "int8", MIN_TOLERANCE),
    ("tensorrt", "int8", MIN_TENSORRT_TOLERANCE),
]


class Implementations:
    """Stands in for ``open_runner``: what ships answers from the frame, the other is apart from it by a table."""

    def __init__(self) -> None:
        self.apart: dict[bytes, float] = {}
        self.opened: list[tuple[str, Path, bool]] = []
        self.closed = 0
        self.fails = False

    def open_runner(
        self, backend: str, model: Path, *, threads: int = 1, reference: bool = False, half: bool = False
    ) -> Any:
        self.opened.append((backend, model, reference))
        outer = self

        class Runner:
            name, version, input_shape = backend, "7.1", (1, 24, 32, 3)

            def run(self, frame: Any) -> Any:
                assert frame.shape == (1, 24, 32, 3)
                assert frame.flags.c_contiguous
                if outer.fails:
                    raise ModelError("refused", code="E_MODEL_GRAPH")
                light = frame.mean() / 512
                answer = np.array([light, 0.5 - light, 0.5], np.float32)
                if model == OTHER.model:
                    answer[1] += outer.apart.get(frame.tobytes(), 0.0)
                return answer

            def close(self) -> None:
                outer.closed += 1

        return Runner()


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Implementations:
    implementations = Implementations()
    monkeypatch.setattr("weckd_edge.devices.runtime.frame_runner.open_runner", implementations.open_runner)
    monkeypatch.setattr(module, "library_version", lambda backend: "7.1")
    return implementations


class Ears:
    """A data set with twelve validation images, four of each class."""

    def __init__(self, networks: ModuleType, root: Path, stub: Implementations, *, val: int = 12) -> None:
        self.networks, self.root, self.stub = networks, root / "images", stub
        self.out = root / "selftest"
        self.out.mkdir()
        self.index: DatasetIndex = networks.write_images(self.root, val=val)
        self.val = self.index.split("val")

    def frame(self, record: Any) -> Any:
        return frame_from_file(self.root / record.path, self.networks.contract().frame)[0]

    def part(self, differences: dict[str, float]) -> None:
        """Let the other implementation answer these images otherwise, by so much."""
        for record in self.val:
            self.stub.apart[self.frame(record)[None].tobytes()] = differences.get(record.path, 0.0)

    def make(self, count: int) -> tuple[GoldenSet, Any, Any]:
        found = self.made(count, [OTHER])
        frames, expected = found.golden.frames, found.tests[0].expected
        check_ref(self.out, frames)
        check_ref(self.out, expected)
        return found, np.load(self.out / frames.path), np.load(self.out / expected.path)

    def made(self, count: int, others: list[Implementation]) -> GoldenSet:
        workspace = Workspace(self.root.parent / "work")
        spec = self.networks.contract().frame
        images = decode_split(workspace, self.index, "val", self.root, spec, SilentProgress())
        return make_golden(
            images, count, [GoldenGraph(tests=TESTS, implementations=[SHIPPED, *others])], predict_frames, self.out
        )

    def chosen(self, frames: Any) -> list[Any]:
        """The images that frames were made from, in the frames' order."""
        by_pixels = {self.frame(record).tobytes(): record for record in self.val}
        return [by_pixels[frame.tobytes()] for frame in frames]


def tolerances(found: GoldenSet) -> dict[str, float]:
    return {test.backend: test.tolerance for test in found.tests}


@pytest.fixture
def ears(networks: ModuleType, tmp_path: Path, stub: Implementations) -> Ears:
    return Ears(networks, tmp_path, stub)


def test_frames_are_validation_images_and_predictions_those_of_what_is_deployed(ears: Ears, stub: Implementations) -> None:
    ears.part({record.path: 0.01 for record in ears.val})
    golden, frames, expected = ears.make(5)
    assert (frames.dtype, frames.shape) == (np.uint8, (5, 24, 32, 3))
    assert (expected.dtype, expected.shape) == (np.float32, (5, 3))
    assert len({record.path for record in ears.chosen(frames)}) == 5
    deployed = stub.open_runner("openvino", SHIPPED.model)
    assert np.array_equal(expected, np.stack([deployed.run(frame[None]) for frame in frames]))
    assert golden.golden.reference == "openvino int8 (7.1)"


@pytest.mark.parametrize("count", [1, 3, 5, 8, 12])
def test_classes_come_in_turn(ears: Ears, count: int) -> None:
    # Class 1 is answered best and class 0 worst, and yet each has its turn.
    ears.part({record.path: (0.03, 0.001, 0.02)[record.label] for record in ears.val})
    _, frames, _ = ears.make(count)
    assert [record.label for record in ears.chosen(frames)] == [k % 3 for k in range(count)]


def test_of_each_class_the_frames_are_taken_on_which_both_agree_best(ears: Ears) -> None:
    apart = {record.path: 0.001 * (1 + (7 * k) % 12) for k, record in enumerate(ears.val)}
    ears.part(apart)
    _, frames, _ = ears.make(6)
    taken = [record.path for record in ears.chosen(frames)]
    for label in range(3):
        best = sorted((r.path for r in ears.val if r.label == label), key=lambda path: apart[path])
        assert [path for path in taken if path in best] == best[:2]


@pytest.mark.parametrize(("apart", "tolerance"), [(0.0, 0.02), (0.004, 0.02), (0.02, 0.08), (0.05, 0.2)])
def test_the_tolerance_is_the_larger_of_the_floor_and_four_times_the_difference(
    ears: Ears, apart: float, tolerance: float
) -> None:
    assert (MIN_TOLERANCE, TOLERANCE_FACTOR, MIN_TENSORRT_TOLERANCE) == (0.02, 4.0, 0.1)
    ears.part({record.path: apart for record in ears.val})
    golden, _, _ = ears.make(4)
    assert tolerances(golden) == {
        "openvino": pytest.approx(tolerance, abs=1e-5),
        "onnxruntime": pytest.approx(tolerance, abs=1e-5),
        "tensorrt": pytest.approx(max(0.1, tolerance), abs=1e-5),
    }


def test_frames_that_were_not_taken_do_not_widen_the_tolerance(ears: Ears) -> None:
    worst = [r.path for r in ears.val if r.label == 0][1]
    ears.part({worst: 0.1})
    assert tolerances(ears.make(9)[0])["openvino"] == MIN_TOLERANCE
    assert tolerances(ears.make(12)[0])["openvino"] == pytest.approx(0.4)
    ears.part({worst: 0.4})
    assert tolerances(ears.make(12)[0])["openvino"] == 0.5  # more would pass any decision, and no reader takes it


def test_the_largest_difference_of_a_frame_counts_whichever_its_sign(ears: Ears) -> None:
    ears.part({record.path: -0.1 for record in ears.val})
    assert tolerances(ears.make(3)[0])["openvino"] == pytest.approx(0.4)


def test_fewer_validation_images_than_asked_for_are_all_taken(ears: Ears) -> None:
    _, frames, _ = ears.make(64)
    assert sorted(r.path for r in ears.chosen(frames)) == [r.path for r in ears.val]


def test_of_a_large_validation_split_each_class_has_candidates(
    ears: Ears, monkeypatch: pytest.MonkeyPatch, stub: Implementations
) -> None:
    monkeypatch.setattr(module, "_MAX_CANDIDATES", 6)
    _, frames, _ = ears.make(12)
    assert [record.label for record in ears.chosen(frames)] == [0, 1, 2, 0, 1, 2]


def test_the_same_again_gives_the_same_bytes(ears: Ears) -> None:
    first = ears.make(5)[0]
    assert ears.make(5)[0] == first


def test_of_several_implementations_the_furthest_counts(ears: Ears, stub: Implementations) -> None:
    ears.part({record.path: 0.05 for record in ears.val})
    agreeing = replace(OTHER, model=Path("agrees.onnx"))
    golden = ears.made(3, [agreeing, OTHER])
    assert tolerances(golden)["openvino"] == pytest.approx(4 * 0.05, rel=1e-3)
    alone = ears.made(3, [agreeing])
    assert tolerances(alone)["openvino"] == 0.02


def test_each_graph_has_predictions_and_a_tolerance_of_its_own_on_frames_that_suit_all(
    ears: Ears, stub: Implementations
) -> None:
    unsteady = next(r.path for r in ears.val if r.label == 0)
    ears.part({record.path: 0.1 if record.path == unsteady else 0.01 for record in ears.val})
    float_run = replace(OTHER, precision="fp32", reference=False)
    graphs = [
        GoldenGraph(tests=[("openvino", "int8", 0.02)], implementations=[SHIPPED]),
        GoldenGraph(
            tests=[("onnxruntime", "fp32", 0.02), ("openvino", "fp16", 0.1)],
            implementations=[float_run, replace(SHIPPED, model=Path("float.onnx"), precision="fp32")],
        ),
    ]
    workspace = Workspace(ears.root.parent / "work")
    images = decode_split(workspace, ears.index, "val", ears.root, ears.networks.contract().frame, SilentProgress())
    found = make_golden(images, 9, graphs, predict_frames, ears.out)
    assert [(t.backend, t.precision, t.expected.path) for t in found.tests] == [
        ("openvino", "int8", "expected.npy"),
        ("onnxruntime", "fp32", "expected-onnxruntime-fp32.npy"),
        ("openvino", "fp16", "expected-onnxruntime-fp32.npy"),
    ]
    assert [t.tolerance for t in found.tests] == [0.02, pytest.approx(0.04, rel=1e-3), 0.1]
    frames = np.load(ears.out / found.golden.frames.path)
    assert unsteady not in [record.path for record in ears.chosen(frames)]
    for test, run in ((found.tests[0], SHIPPED), (found.tests[1], float_run)):
        check_ref(ears.out, test.expected)
        runner = stub.open_runner(run.backend, run.model)
        wanted = np.stack([runner.run(frame[None]) for frame in frames])
        assert np.array_equal(np.load(ears.out / test.expected.path), wanted)


def test_both_implementations_are_opened_as_asked_and_closed(ears: Ears, stub: Implementations) -> None:
    ears.make(2)
    assert stub.opened == [("openvino", SHIPPED.model, False), ("onnxruntime", OTHER.model, True)]
    assert stub.closed == 2


def test_after_an_error_nothing_is_open_or_written(ears: Ears, stub: Implementations) -> None:
    stub.fails = True
    with raises(ModelError, "E_MODEL_BACKEND_RUN", says="refused"):
        ears.make(2)
    assert stub.closed == len(stub.opened) == 1
    assert list(ears.out.iterdir()) == []


def test_without_validation_images_nothing_is_opened(networks: ModuleType, tmp_path: Path, stub: Implementations) -> None:
    ears = Ears(networks, tmp_path, stub, val=0)
    with raises(DataError, "E_DATA_NO_IMAGES"):
        ears.make(2)
    assert stub.opened == []


def test_a_validation_image_that_cannot_be_read_is_named(ears: Ears) -> None:
    (ears.root / ears.val[0].path).write_bytes(b"")
    with raises(DataError, "E_DATA_IMAGE_DAMAGED", says=(f"{ears.val[0].path}", "empty file")):
        ears.make(2)


def test_in_turn_keeps_the_order_inside_a_class(networks: ModuleType) -> None:
    records = [networks.record(f"{k}", label, "val") for k, label in enumerate((2, 2, 0, 2, 1, 0))]
    assert [r.path for r in round_robin(records)] == ["2", "4", "0", "5", "1", "3"]
    assert round_robin([]) == []
