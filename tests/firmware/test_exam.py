"""An examination in C: the same decision as Python's for the same frames, to the bit, and calls in their order."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from weckd_edge.artifacts import ExamRule, FrameGuard, FrameWeights, QualityLimits
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.core.serialization import to_data
from weckd_edge.devices.images.camera_frames import camera_frame
from weckd_edge.devices.runtime.decision import FramePredictor
from weckd_edge.devices.runtime.exam import Exam, ExamDecision, ExamFrame
from weckd_edge.devices.runtime.frame_runner import FrameRunner
from weckd_edge.devices.runtime.front_end import FrontEnd
from weckd_edge.devices.runtime.input_guard import FEATURES, open_guard, squared_lengths

HEIGHT, WIDTH = 40, 52
USES = ("counted", "repeated", "refused", "not_needed")
REASONS = (
    *(None, "low_probability", "not_a_number", "too_dark", "too_bright", "flat", "blurred", "out_of_distribution"),
    *("non_gradeable_label", "too_few_frames"),
)
"""Codes of Python by ``weckd_reason``."""

Pixels = NDArray[np.uint8]


class Echo:
    """The stand-in for a model, as the C library has it: shares of the sums of every so many bytes."""

    name, version = "echo", "1"

    def __init__(self, classes: int, shape: tuple[int, ...]) -> None:
        self.classes, self.input_shape = classes, shape

    def run(self, pixels: Pixels) -> NDArray[np.float32]:
        flat = pixels.reshape(-1).astype(np.float64)
        sums = [float(flat[k :: self.classes].sum()) for k in range(self.classes)]
        all_bytes = sum(sums)
        if all_bytes == 0.0:
            return np.full(self.classes, np.nan, np.float32)
        return np.array([float(np.float32(total)) / all_bytes for total in sums], np.float32)

    def close(self) -> None:
        return None


def make_guard(max_dark_fraction: float | None = 0.9) -> FrameGuard:
    """A guard whose score is made of all features; without a limit the network sees black frames, and gives no number."""
    random = np.random.default_rng(3)
    rows = tuple(tuple((random.standard_normal(row + 1) / 40).tolist()) for row in range(FEATURES))
    mean = tuple((random.random(FEATURES) * 90).tolist())
    limits = QualityLimits(max_dark_fraction=max_dark_fraction)
    return FrameGuard(limits=limits, mean=mean, whitening=rows, max_ood_score=None)


def make_frames(random: np.random.Generator, count: int) -> Pixels:
    """Frames of a moving camera: many are the one before over again, some nearly; some are dark."""
    frames: list[Pixels] = []
    for _ in range(count):
        kind = random.random()
        if frames and kind < 0.3:
            frames.append(frames[-1])
        elif frames and kind < 0.5:
            frames.append((frames[-1] // 2 * 2 + random.integers(0, 2, (HEIGHT, WIDTH, 3))).astype(np.uint8))
        elif kind < 0.6:
            frames.append(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        else:
            colour = random.choice([0, 3, 40, 130, 250], 3)
            texture = random.integers(0, 1 + int(random.choice([1, 30, 90])), (HEIGHT, WIDTH, 3))
            frames.append((colour + texture).clip(0, 255).astype(np.uint8))
    return np.stack(frames)


def edges(random: np.random.Generator, values: Sequence[float]) -> tuple[float, ...]:
    """Some of these very values, so that frames lie on the limits."""
    found = random.choice(np.array(values), int(random.integers(0, min(len(values), 7) + 1)), replace=False)
    return tuple(sorted({float(value) for value in found}))


def make_rule(random: np.random.Generator, shown: Sequence[ExamFrame], distances: Sequence[float]) -> ExamRule:
    """A rule whose limits are numbers of the frames themselves."""
    sharpness = [frame.quality.sharpness for frame in shown if frame.quality is not None] or [1.0]
    confidence = [max(frame.probabilities.values()) for frame in shown if frame.probabilities] or [0.5]
    weights = None
    if random.random() < 0.5:
        by_sharpness, by_confidence = edges(random, sharpness), edges(random, confidence)
        table = random.integers(0, 256, (len(by_sharpness) + 1, len(by_confidence) + 1))
        table[0, 0] = max(1, table[0, 0])
        rows = tuple(tuple(int(value) for value in row) for row in table)
        weights = FrameWeights(sharpness_edges=by_sharpness, confidence_edges=by_confidence, table=rows)
    max_frames = int(random.choice([2, 9, 25, 1024]))
    return ExamRule(
        evidence="vote" if random.random() < 0.3 else "log_probability",
        top_k=int(random.choice([0, 0, 1, 3, 32])),
        rank="confidence" if random.random() < 0.5 else "sharpness",
        weights=weights,
        scale=float(random.choice([0.01, 0.7, 1.0, 3.3, 1000.0])),
        duplicate_distance=None if random.random() < 0.4 else float(random.choice([0.0, *distances])),
        min_frames=int(random.integers(1, min(max_frames, 6) + 1)),
        max_frames=max_frames,
        stop_lead=None if random.random() < 0.6 else int(random.choice([1000, 65536, 500000, 1 << 24])),
        confidence_threshold=float(random.choice([0.0, 0.4, 0.9])),
    )


class Setup:
    """A bundle for the stand-in, whose rule and labels are changed, and its examination in both languages."""

    def __init__(self, readers: ModuleType, library: Any, folder: Path, rule: ExamRule, labels: Sequence[str]) -> None:
        self._library, self._folder = library, folder
        data = json.loads((folder / "manifest.json").read_bytes())
        data["exam"], data["labels"] = to_data(rule), list(labels)
        data["operating_point"]["non_gradeable_labels"] = list(labels[2:3])
        (folder / "manifest.json").write_bytes(readers.sealed(data))
        bundle = open_bundle(folder)
        manifest = bundle.manifest
        front_end = FrontEnd(manifest.input, open_guard(bundle))
        runner = FrameRunner(Echo(len(labels), manifest.input.graph_shape), front_end)
        self.predictor = FramePredictor(runner=runner, labels=manifest.labels, operating_point=manifest.operating_point)
        self.rule = manifest.exam
        assert self.rule == rule

    def by_python(self, frames: Pixels) -> list[tuple[ExamFrame | None, ExamDecision]]:
        """Return for each frame what is made of it, and the decision by the frames up to it; first that without frames."""
        exam = Exam(self.predictor, self.rule)
        found: list[tuple[ExamFrame | None, ExamDecision]] = [(None, exam.decide())]
        return found + [(exam.add(camera_frame(frame)), exam.decide()) for frame in frames]

    def by_c(self, frames: Pixels, times: int = 1) -> list[list[str]]:
        """Return the lines that the C library's test program prints."""
        raw = self._folder.parent / "frames.raw"
        raw.write_bytes(frames.tobytes())
        out: str = self._library.run("exam", self._folder, raw, WIDTH, HEIGHT, 0, times)
        return [line.split() for line in out.splitlines()]


def as_words(frame: ExamFrame | None, decision: ExamDecision, labels: Sequence[str], refused: Callable[[str], int]) -> Any:
    """Return what C prints of the same, with floats as numbers."""
    at = list(labels).index
    told = None
    if frame is not None:
        probabilities = list(frame.probabilities.values()) or [0.0] * len(labels)
        told = [
            *(USES.index(frame.use), REASONS.index(frame.code), -1 if frame.label is None else at(frame.label)),
            *(max(probabilities), 0.0 if frame.quality is None else frame.quality.sharpness),
            *(-1.0 if frame.ood_score is None else frame.ood_score, *probabilities),
        ]
    probabilities = list(decision.probabilities.values()) or [0.0] * len(labels)
    decided = decision.code is None
    said = [
        *(at(decision.decision) if decided else -1, -1 if decision.label is None else at(decision.label)),
        *(REASONS.index(decision.code), int(decision.has_seen_enough), decision.seen, decision.counted, decision.repeated),
        *(sum(decision.refused.values()), max(probabilities)),
        *(refused(code) if code else 0 for code in REASONS),
        *probabilities,
    ]
    return told, said


def compare(lines: list[list[str]], expected: list[tuple[ExamFrame | None, ExamDecision]], labels: Sequence[str]) -> None:
    rest = iter(lines)
    for frame, decision in expected:
        told, said = as_words(frame, decision, labels, lambda code, d=decision: d.refused.get(code, 0))
        if told is not None:
            kind, *words = next(rest)
            enough = words.pop(3)
            assert kind == "frame"
            assert [*map(int, words[:3]), *map(float.fromhex, words[3:])] == told
            assert int(enough) == decision.has_seen_enough
        kind, *words = next(rest)
        assert kind == "exam"
        assert [
            *map(int, words[:8]),
            float.fromhex(words[8]),
            *map(int, words[9:19]),
            *map(float.fromhex, words[19:]),
        ] == said
    assert next(rest, None) is None


@pytest.fixture
def folder(toy: ModuleType, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    spec = toy.area_input_spec() if getattr(request, "param", "area") == "area" else None
    found: Path = toy.write_bundle(tmp_path / "bundle", guard=make_guard(), backends=["echo"], spec=spec).folder
    return found


@pytest.mark.parametrize("seed", range(24))
def test_c_and_python_decide_the_same_to_the_bit(
    readers: ModuleType, toy: ModuleType, library: Any, tmp_path: Path, seed: int
) -> None:
    guard = make_guard(0.9 if seed % 2 else None)
    folder = toy.write_bundle(tmp_path / "bundle", guard=guard, backends=["echo"], spec=toy.area_input_spec()).folder
    random = np.random.default_rng(seed)
    labels = [f"label {number}" for number in range(int(random.choice([1, 2, 3, 3, 5])))]
    frames = make_frames(random, 30)
    plain = Setup(readers, library, folder, ExamRule(), labels)
    shown = [frame for frame, _ in plain.by_python(frames) if frame is not None]
    seen = [plain.predictor.look(camera_frame(frame)).decision for frame in frames]
    white = [decision.whitened for decision in seen if decision is not None]
    distances = [float(squared_lengths((one - other)[None])[0]) for other, one in pairwise(white)]
    setup = Setup(readers, library, folder, make_rule(random, shown, distances), labels)
    compare(setup.by_c(frames), setup.by_python(frames), labels)


def test_the_drawn_rules_and_frames_come_to_every_end() -> None:
    """Else the comparison above would say little."""
    rules = [make_rule(np.random.default_rng(seed), [], [1.0]) for seed in range(24)]
    assert {rule.evidence for rule in rules} == {"vote", "log_probability"}
    assert {rule.top_k for rule in rules} >= {0, 1, 3}
    assert {rule.rank for rule in rules} == {"sharpness", "confidence"}
    assert {rule.weights is None for rule in rules} == {True, False}
    assert {rule.duplicate_distance is None for rule in rules} == {True, False}
    assert {rule.stop_lead is None for rule in rules} == {True, False}


@pytest.mark.parametrize("folder", ["area", "bilinear"], indirect=True)
def test_an_examination_after_a_reset_is_as_the_first_one(readers: ModuleType, sanitized: Any, folder: Path) -> None:
    random = np.random.default_rng(5)
    labels = ("a", "b", "c")
    frames = make_frames(random, 12)
    rule = ExamRule(
        top_k=2, duplicate_distance=0.0, weights=FrameWeights(sharpness_edges=(), confidence_edges=(0.5,), table=((1, 3),))
    )
    setup = Setup(readers, sanitized, folder, rule, labels)
    lines = setup.by_c(frames, times=3)
    third = len(lines) // 3
    assert lines[:third] == lines[third : 2 * third] == lines[2 * third :]
    compare(lines[:third], setup.by_python(frames), labels)


def test_a_long_examination_keeps_the_best_frames_alone(readers: ModuleType, sanitized: Any, folder: Path) -> None:
    random = np.random.default_rng(11)
    frames = make_frames(random, 120)
    setup = Setup(readers, sanitized, folder, ExamRule(top_k=32, scale=0.5), ("a", "b", "c", "d"))
    compare(setup.by_c(frames), setup.by_python(frames), ("a", "b", "c", "d"))


@pytest.fixture
def opened(binding: ModuleType, library: Any, folder: Path) -> Iterator[Any]:
    """The bundle with a guard, open in the binding."""
    path = str(library.folder / "libweckd_edge.so")
    found = binding.Bundle(path, str(folder), backend=b"echo", max_source_width=64, max_source_height=48)
    yield found
    found.close()


def test_calls_out_of_their_order_are_refused(binding: ModuleType, opened: Any) -> None:
    def status_of(call: Callable[..., object], *given: Any, **more: Any) -> int:
        with pytest.raises(binding.WeckdCError) as caught:
            call(*given, **more)
        found: int = caught.value.status
        return found

    frame = make_frames(np.random.default_rng(1), 1)[0].tobytes()
    opened.reset_exam()
    assert status_of(opened.decide_exam) == -20
    assert status_of(opened.add_to_exam, frame, width=WIDTH, height=HEIGHT) == -20
    opened.begin_exam()
    assert status_of(opened.begin_exam) == -20
    assert status_of(opened.add_to_exam, frame, width=WIDTH, height=HEIGHT, flags=1, fit=1) == -1
    opened.reset_exam()
    assert status_of(opened.decide_exam) == -20
    opened.begin_exam()


def test_what_happens_between_the_frames_changes_nothing(binding: ModuleType, opened: Any) -> None:
    red, blue = (np.full((HEIGHT, WIDTH, 3), colour, np.uint8) for colour in ((250, 20, 10), (10, 20, 250)))
    size = {"width": WIDTH, "height": HEIGHT, "fit": 1}
    opened.begin_exam()
    assert opened.add_to_exam(red.tobytes(), **size).label == opened.labels[0]
    before = opened.decide_exam()
    assert opened.classify(blue.tobytes(), **size).probabilities[opened.labels[2]] > 0.8
    with pytest.raises(binding.WeckdCError) as caught:
        opened.add_to_exam(red.tobytes(), width=3, height=3, fit=1)
    assert caught.value.status == -16  # WECKD_ERR_GEOMETRY
    with pytest.raises(binding.WeckdCError) as caught:
        opened.selftest()
    assert caught.value.status == -18  # WECKD_ERR_SELFTEST
    assert opened.decide_exam() == before
    assert (before.decision, before.counted, before.refused, before.has_seen_enough) == (opened.labels[0], 1, {}, False)
    dark = opened.add_to_exam(bytes(HEIGHT * WIDTH * 3), **size)
    assert (dark.use, dark.label) == ("refused", None)
    assert "dark" in dark.reason
    assert opened.decide_exam().refused == {dark.reason: 1}


def test_a_rule_of_two_frames_has_seen_enough_after_two(
    readers: ModuleType, binding: ModuleType, library: Any, folder: Path
) -> None:
    Setup(readers, library, folder, ExamRule(max_frames=2, min_frames=2), ("a", "b", "c"))
    opened = binding.Bundle(str(library.folder / "libweckd_edge.so"), str(folder), backend=b"echo")
    height, width = opened.contract.frame_height, opened.contract.frame_width
    red = np.full((height, width, 3), (250, 20, 10), np.uint8).tobytes()
    opened.begin_exam()
    assert opened.decide_exam().decision is None
    uses = [opened.add_to_exam(red).use for _ in range(4)]
    found = opened.decide_exam()
    opened.close()
    assert uses == ["counted", "counted", "not_needed", "not_needed"]
    assert (found.decision, found.counted, found.has_seen_enough) == ("a", 2, True)


@pytest.mark.parametrize("order", [0, 1])
def test_a_frame_in_the_block_stays_as_the_camera_wrote_it(
    toy: ModuleType, binding: ModuleType, library: Any, tmp_path: Path, order: int
) -> None:
    """Of a graph that takes the frame, BGR is exchanged in place and put back, also where the frame is refused."""
    folder = toy.write_bundle(tmp_path / "bundle", guard=make_guard(), backends=["echo"]).folder
    opened = binding.Bundle(str(library.folder / "libweckd_edge.so"), str(folder), backend=b"echo")
    buffer = opened.frame_buffer()
    opened.begin_exam()
    for colour in ((250, 20, 10), (1, 2, 0)):
        frame = np.full((opened.contract.frame_height, opened.contract.frame_width, 3), colour, np.uint8).tobytes()
        buffer[:] = frame
        opened.add_to_exam(buffer, format=order)
        assert bytes(buffer) == frame
    found = opened.decide_exam()
    opened.close()
    assert (found.counted, sum(found.refused.values())) == (1, 1)
    assert found.decision == opened.labels[0 if order == 0 else 2]


FROM_CPP = """
#include <weckd_edge.hpp>
#include <cstdio>
int main(int, char **argv) {
    weckd_options options{};
    options.backend = "echo";
    weckd::Bundle bundle(argv[1], options);
    std::vector<std::uint8_t> pixels(std::size_t{bundle.contract().frame_width} * bundle.contract().frame_height * 3, 9);
    for (std::size_t i = 0; i < pixels.size(); i += 3) {
        pixels[i] = 240;
    }
    weckd_frame frame{};
    frame.pixels = pixels.data();
    frame.width = bundle.contract().frame_width;
    frame.height = bundle.contract().frame_height;
    bundle.begin_exam();
    const bool counts = bundle.add_to_exam(frame).use == WECKD_COUNTED;
    const weckd::ExamDecision found = bundle.decide_exam();
    bundle.reset_exam();
    try {
        bundle.decide_exam();
    } catch (const weckd::Error &error) {
        std::printf("%d %s %.2f %d\\n", counts, found.decision->c_str(), found.probabilities[0], error.status);
    }
}
"""


def test_the_header_for_cpp_has_examinations(firmware: ModuleType, library: Any, folder: Path, tmp_path: Path) -> None:
    if shutil.which("c++") is None:
        pytest.skip("there is no C++ compiler")
    (tmp_path / "exam.cpp").write_text(FROM_CPP)
    include, link = (
        ("-I", firmware.SOURCE / "include"),
        ("-L", library.folder, "-lweckd_edge", f"-Wl,-rpath,{library.folder}"),
    )
    words = ("c++", "-std=c++17", "-Wall", "-Werror", *include, tmp_path / "exam.cpp", *link, "-o", tmp_path / "exam")
    subprocess.run(list(map(str, words)), check=True)
    done = subprocess.run([str(tmp_path / "exam"), str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout == "1 effusion 0.93 -20\n"
