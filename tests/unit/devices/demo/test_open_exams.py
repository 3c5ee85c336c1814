"""Examinations of the demo's page: frames in their order, a bound on their number and age, and what is wrong in words."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from support.errors import raises
from support.programs.demo_server import serving
from weckd_edge.artifacts import ExamRule
from weckd_edge.core.errors import DeviceError, ModelError
from weckd_edge.devices.demo.bounded_reader import Limits
from weckd_edge.devices.demo.open_exams import OpenExams
from weckd_edge.devices.demo.server import DemoServer
from weckd_edge.devices.demo.session import DemoSession
from weckd_edge.devices.images.camera_frames import camera_frame
from weckd_edge.devices.runtime.decision import ABSTAIN

WIDTH, HEIGHT = 12, 10
SIZE = {"width": str(WIDTH), "height": str(HEIGHT)}


@pytest.fixture(scope="module")
def session(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoSession]:
    rule = ExamRule(min_frames=2, max_frames=5)
    folder: Path = toy.write_bundle(tmp_path_factory.mktemp("exams") / "b", exam=rule).folder
    with DemoSession(folder, backend="onnxruntime") as made:
        yield made


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exams(session: DemoSession, clock: Clock) -> OpenExams:
    return OpenExams(session, at_most=2, silence_s=30, clock=clock)


def rgba(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    return pixels.tobytes()


def query(name: str, number: int | str = 1, **more: int | str) -> dict[str, str]:
    return {key: str(value) for key, value in {"exam": name, "number": number, **SIZE, **more}.items()}


def begin(exams: OpenExams) -> str:
    name: str = exams.begin({}, b"")["exam"]
    return name


def test_frames_become_the_decision_that_an_examination_of_the_same_frames_gives(
    session: DemoSession, exams: OpenExams
) -> None:
    begun = exams.begin({}, b"")
    assert (begun["min_frames"], begun["max_frames"], begun["confidence_threshold"]) == (2, 5, 0.0)
    by_hand = session.open_exam()
    for number in (1, 2, 3):
        found = exams.add(query(begun["exam"], number), rgba(number))
        pixels = np.frombuffer(rgba(number), np.uint8).reshape(HEIGHT, WIDTH, 4)[..., :3]
        frame = by_hand.add(camera_frame(np.ascontiguousarray(pixels)))
        assert (found["frame"]["use"], found["frame"]["probabilities"]) == (frame.use, frame.probabilities)
        assert found["decision"]["counted"] == number
    expected = by_hand.decide()
    assert found["decision"]["probabilities"] == expected.probabilities
    ended = exams.end({"exam": begun["exam"]}, b"")["decision"]
    assert ended["decision"] == expected.decision != ABSTAIN
    assert len(exams) == 0


def test_too_few_frames_are_unable_to_analyze_and_enough_are_reported(exams: OpenExams) -> None:
    name = begin(exams)
    first = exams.add(query(name), rgba(1))["decision"]
    assert (first["decision"], first["code"], first["has_seen_enough"]) == (ABSTAIN, "too_few_frames", False)
    for number in range(2, 6):
        found = exams.add(query(name, number), rgba(number))
    assert found["decision"]["has_seen_enough"]
    assert exams.add(query(name, 6), rgba(6))["frame"]["use"] == "not_needed"


def test_an_examination_without_frames_is_unable_to_analyze(exams: OpenExams) -> None:
    found = exams.end({"exam": begin(exams)}, b"")["decision"]
    assert (found["decision"], found["seen"]) == (ABSTAIN, 0)


def test_two_examinations_at_one_time_know_nothing_of_each_other(exams: OpenExams) -> None:
    one, other = begin(exams), begin(exams)
    exams.add(query(one), rgba(1))
    assert exams.add(query(other), rgba(2))["decision"]["seen"] == 1
    assert exams.end({"exam": one}, b"")["decision"]["seen"] == 1


@pytest.mark.parametrize("number", [1, 3])
def test_a_frame_that_came_before_or_is_ahead_of_its_turn_is_refused_and_changes_nothing(
    exams: OpenExams, number: int
) -> None:
    name = begin(exams)
    exams.add(query(name), rgba(1))
    with raises(DeviceError, "E_DEVICE_DEMO_EXAM", says=("expected frame 2", f"got frame {number}")):
        exams.add(query(name, number), rgba(2))
    assert exams.add(query(name, 2), rgba(2))["decision"]["seen"] == 2


def test_no_more_examinations_than_allowed_are_open_and_an_ended_one_makes_room(exams: OpenExams) -> None:
    names = [begin(exams) for _ in range(2)]
    with raises(DeviceError, "E_DEVICE_DEMO_EXAM", says=("as may be, 2", "30 seconds")):
        begin(exams)
    exams.end({"exam": names[0]}, b"")
    begin(exams)
    assert len(exams) == 2


def test_an_examination_without_a_frame_for_long_is_dropped_and_makes_room(exams: OpenExams, clock: Clock) -> None:
    silent, other = begin(exams), begin(exams)
    clock.now_s += 20
    exams.add(query(other), rgba(1))
    clock.now_s += 20
    begin(exams)
    with raises(DeviceError, "E_DEVICE_DEMO_EXAM", says=("no such examination is open", "30 seconds")):
        exams.add(query(silent), rgba(1))
    assert exams.add(query(other, 2), rgba(2))["decision"]["seen"] == 2


def test_names_cannot_be_guessed_and_unknown_ones_are_refused(exams: OpenExams) -> None:
    one, other = begin(exams), begin(exams)
    assert one != other
    assert min(len(one), len(other)) >= 20
    for name in ("", "x", one[:-1]):
        with raises(DeviceError, "E_DEVICE_DEMO_EXAM", says=("no such examination is open",)):
            exams.end({"exam": name}, b"")
    with raises(DeviceError, "E_DEVICE_DEMO_EXAM", says=("no such examination is open",)):
        exams.add({**SIZE, "number": "1"}, rgba(1))
    assert len(exams) == 2


@pytest.mark.parametrize(
    ("change", "body", "says"),
    [
        ({"width": 13}, rgba(1), ("13 x 10", "520 in all", "got 480")),
        ({}, rgba(1)[:-1], ("480 in all", "got 479")),
        ({"width": 0, "height": 0}, b"", ("0 x 0",)),
        ({"width": -12, "height": -10}, rgba(1), ("width", "whole number")),
        ({"height": "ten"}, rgba(1), ("height", "whole number")),
        ({"height": "9" * 40}, rgba(1), ("height", "whole number")),
        ({"number": ""}, rgba(1), ("number", "whole number")),
        ({"width": 1, "height": 120}, rgba(1), ("1 x 120", "8 x 8")),
        ({"width": 8193, "height": 1}, bytes(8193 * 4), ("8193",)),
    ],
)
def test_a_frame_that_is_none_is_refused_in_words_and_changes_nothing(
    exams: OpenExams, change: dict[str, Any], body: bytes, says: tuple[str, ...]
) -> None:
    name = begin(exams)
    with raises(ModelError, "E_MODEL_FRAME", "E_MODEL_FRAME_GEOMETRY", says=says):
        exams.add(query(name, **{"number": 1, **change}), body)
    assert exams.add(query(name), rgba(1))["decision"]["seen"] == 1


@pytest.fixture
def server(session: DemoSession) -> Iterator[DemoServer]:
    limits = Limits(exams=1, body_bytes=WIDTH * HEIGHT * 4, all_bodies_bytes=4 * WIDTH * HEIGHT * 4)
    with serving(session, limits) as made:
        yield made


def post(server: DemoServer, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
    connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, json.loads(data)


def frame_path(name: str, number: int = 1, width: int = WIDTH, height: int = HEIGHT) -> str:
    return f"/api/exam/frame?exam={name}&number={number}&width={width}&height={height}"


def test_a_page_examines_over_its_connection_and_is_refused_in_words(server: DemoServer) -> None:
    status, begun = post(server, "/api/exam/begin")
    assert status == 200
    status, found = post(server, "/api/exam/begin")
    assert (status, "as may be, 1" in found["error"]) == (422, True)
    status, found = post(server, frame_path(begun["exam"]), rgba(1))
    assert (status, found["frame"]["use"], found["decision"]["counted"]) == (200, "counted", 1)
    status, found = post(server, frame_path(begun["exam"]), rgba(1))
    assert (status, "expected frame 2" in found["error"]) == (422, True)
    status, found = post(server, frame_path(begun["exam"], 2, width=WIDTH + 1), bytes(4 * (WIDTH + 1) * HEIGHT))
    assert (status, "the limit is" in found["error"]) == (413, True)
    status, found = post(server, f"/api/exam/end?exam={begun['exam']}")
    assert (status, found["decision"]["seen"]) == (200, 1)
    assert post(server, "/api/exam/other")[0] == 404
    assert post(server, "/api/predict?x=1", b"x")[0] == 404


def test_another_site_cannot_open_or_feed_an_examination(server: DemoServer) -> None:
    for path in ("/api/exam/begin", frame_path("any"), "/api/exam/end?exam=any"):
        assert post(server, path, b"", Origin="http://evil.example")[0] == 403
        assert post(server, path, b"", Host="evil.example")[0] == 421
    assert len(server.exams) == 0
