"""Examinations on the demo's page in a real browser: a camera that plays a file, real video files, and what goes wrong."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from support.programs.demo_server import serving_bundle
from weckd_edge.artifacts import ExamRule, FrameGuard, QualityLimits
from weckd_edge.devices.demo.server import DemoServer
from weckd_edge.devices.runtime.input_guard import FEATURES

pytestmark = pytest.mark.slow

WIDTH, HEIGHT, RATE = 160, 120, 10
EARS = ("effusion", "normal", "wax")
GUARD = FrameGuard(
    limits=QualityLimits(max_dark_fraction=0.5),
    mean=(0.0,) * FEATURES,
    whitening=tuple((*(0.0,) * row, 0.01) for row in range(FEATURES)),
    max_ood_score=None,
)
RULE = ExamRule(min_frames=2, duplicate_distance=0.02)

DROP = """
([data, name, type]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  for (const kind of ["dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
}
"""
LISTEN = """
() => {
  window.spoken = [];
  const status = document.getElementById("status");
  new MutationObserver(() => window.spoken.push(status.textContent)).observe(status, { childList: true });
}
"""
ENDED = "document.getElementById('exam-kicker').textContent === 'Decision'"
RUNNING = "!document.getElementById('exam-stop').hidden"


def scene(seed: int, light: int) -> NDArray[np.uint8]:
    """Return a picture of blocks in random colours, darker or lighter."""
    random = np.random.default_rng(seed)
    blocks = (random.integers(0, 60, (HEIGHT // 8, WIDTH // 8, 3)) + light * random.integers(1, 4, 3)).clip(0, 255)
    return blocks.astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)


ONE, OTHER, DARK = scene(1, 60), scene(2, 40), np.full((HEIGHT, WIDTH, 3), 4, np.uint8)


def write_camera(path: Path, pictures: Sequence[NDArray[np.uint8]], each: int) -> Path:
    """Write what the drawn camera plays over and over: each picture some times."""
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{RATE}:1 Ip A1:1 C420mpeg2\n".encode())
        for picture in pictures:
            luma = picture.astype(np.uint16).sum(axis=2) // 3
            halves = picture[::2, ::2].astype(np.int16)
            blue, red = halves[..., 2] - halves[..., 1], halves[..., 0] - halves[..., 1]
            planes = [luma * 219 // 255 + 16, blue // 3 + 128, red // 3 + 128]
            data = b"".join(plane.clip(16, 240).astype(np.uint8).tobytes() for plane in planes)
            file.write((b"FRAME\n" + data) * each)
    return path


def write_video(path: Path, pictures: Sequence[NDArray[np.uint8]], each: int = RATE) -> Path:
    """Write a WebM file, VP8, of pictures that stay for some frames."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format="webm") as file:
        stream = file.add_stream("libvpx", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 2_000_000
        for picture in pictures:
            for _ in range(each):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """Write a WebM file that holds no picture."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format="webm") as file:
        stream = file.add_stream("libopus", rate=48_000, layout="mono")
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), format="s16", layout="mono")
            frame.sample_rate = 48_000
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("videos")
    scenes = {"exam": (ONE, DARK, OTHER), "dark": (DARK,), "one": (ONE,)}
    found = {name: write_video(folder / f"{name}.webm", pictures).read_bytes() for name, pictures in scenes.items()}
    return {**found, "sound": write_sound(folder / "sound.webm").read_bytes()}


@pytest.fixture(scope="module")
def camera_browser(browser_support: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    file = write_camera(tmp_path_factory.mktemp("camera") / "ear.y4m", (ONE, DARK, OTHER), RATE // 2)
    with browser_support.running(camera_file=file) as running:
        yield running


@pytest.fixture(scope="module")
def server(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    bundle = toy.write_bundle(tmp_path_factory.mktemp("exam") / "b", resize="area", guard=GUARD, exam=RULE)
    with serving_bundle(bundle.folder) as found:
        yield found


@pytest.fixture
def quick_server(toy: ModuleType, tmp_path: Path) -> Iterator[DemoServer]:
    rule = ExamRule(min_frames=1, max_frames=2, duplicate_distance=0.02)
    with serving_bundle(toy.write_bundle(tmp_path / "b", resize="area", guard=GUARD, exam=rule).folder) as found:
        yield found


def open_page(tab: Any, server: DemoServer) -> None:
    tab.page.goto(server.url)
    tab.page.get_by_role("heading", name="toy").wait_for()
    tab.page.get_by_role("tab", name="Examination").click()


@pytest.fixture
def tab(camera_browser: Any, server: DemoServer) -> Iterator[Any]:
    """The page with its examination open; whatever a test does, it complains of nothing and leaves nothing open."""
    with camera_browser.tab(camera=True) as tab:
        open_page(tab, server)
        yield tab
        assert tab.complaints == []
        assert [url for url in tab.requests if not url.startswith(server.url)] == []
    assert len(server.exams) == 0


def choose(tab: Any, data: bytes, name: str = "exam.webm") -> None:
    tab.page.set_input_files("#exam-file", {"name": name, "mimeType": "video/webm", "buffer": data})


def start_camera(tab: Any) -> None:
    tab.page.get_by_role("button", name="Start with the camera").click()
    tab.until(RUNNING)


def text(tab: Any, place: str) -> str:
    found: str = tab.page.locator(place).text_content()
    return found


def counts(tab: Any) -> tuple[int, int, int]:
    one, two, three = (int(text(tab, f".lane.{use} b")) for use in ("counted", "repeated", "refused"))
    return one, two, three


def marks(tab: Any, use: str) -> int:
    """Return how many steps of a lane are marked."""
    found: str = tab.page.locator(f".lane.{use} path").get_attribute("d") or ""
    return found.count("M")


def until_counted(tab: Any, frames: int) -> None:
    tab.until(f"Number(document.querySelector('.lane.counted b').textContent) >= {frames}")


def test_a_video_becomes_one_decision_with_a_line_of_its_frames(tab: Any, videos: dict[str, bytes]) -> None:
    choose(tab, videos["exam"])
    tab.until(ENDED)
    assert text(tab, "#exam-decision") in EARS
    assert text(tab, "#exam-end") == "The video has ended."
    counted, repeated, refused = counts(tab)
    assert counted == 2
    assert repeated >= 1
    assert refused >= 1
    assert min(marks(tab, use) for use in ("counted", "repeated", "refused")) >= 1
    frames = text(tab, "#exam-frames")
    assert f"Looked at{counted + repeated + refused}," in frames
    assert f"Refused: too dark{refused}" in frames
    assert tab.page.locator("#exam-bars li").count() == 3
    assert text(tab, ".axis .end") == "3 s"
    assert tab.page.locator("#exam-still").is_visible()
    assert tab.page.evaluate("document.getElementById('exam-still').width") == WIDTH
    assert not tab.page.locator("#exam-video").is_visible()
    assert text(tab, "#exam-decision") in text(tab, "#status")


def test_the_camera_is_examined_until_it_is_stopped_and_is_let_go(tab: Any) -> None:
    start_camera(tab)
    until_counted(tab, 2)
    tab.until("Number(document.querySelector('.lane.refused b').textContent) >= 1")
    assert tab.page.locator("#frame-verdict").is_visible()
    assert text(tab, "#exam-kicker") == "So far"
    tab.page.get_by_role("button", name="Stop and decide").click()
    tab.until(ENDED)
    assert text(tab, "#exam-decision") in EARS
    assert text(tab, "#exam-end") == "It was stopped."
    assert tab.page.evaluate("document.getElementById('exam-still').width") == WIDTH
    assert tab.page.evaluate("document.getElementById('exam-video').srcObject === null")
    assert tab.page.evaluate("current.source.stream.getTracks().every((track) => track.readyState === 'ended')")
    tab.page.get_by_role("button", name="Examine again").click()
    tab.until(RUNNING)
    assert text(tab, "#exam-kicker") == "So far"
    tab.page.get_by_role("tab", name="One image").click()
    tab.page.get_by_role("tab", name="Examination").click()
    assert tab.page.evaluate("document.getElementById('exam-video').srcObject === null")


def test_a_video_that_is_dropped_on_the_other_part_opens_an_examination(tab: Any, videos: dict[str, bytes]) -> None:
    tab.page.get_by_role("tab", name="One image").click()
    tab.page.evaluate(DROP, [base64.b64encode(videos["one"]).decode(), "one.webm", "video/webm"])
    tab.until(ENDED)
    assert tab.page.locator("#panel-exam").is_visible()
    assert text(tab, "#exam-decision") == "Unable to analyze"
    assert "1 of" in text(tab, "#exam-why")


def test_an_image_that_is_dropped_on_an_examination_is_classified_as_one(tab: Any) -> None:
    start_camera(tab)
    tab.page.evaluate(DROP, [base64.b64encode(b"no image").decode(), "frame.dcm", ""])
    tab.page.locator("#decision").wait_for()
    assert text(tab, "#why") == "Because: not an image but text."
    assert tab.page.evaluate("document.getElementById('exam-video').srcObject === null")
    assert not tab.page.locator("#panel-exam").is_visible()


def test_frames_that_are_all_refused_are_unable_to_analyze(tab: Any, videos: dict[str, bytes]) -> None:
    choose(tab, videos["dark"])
    tab.until(ENDED)
    assert text(tab, "#exam-decision") == "Unable to analyze"
    assert "too dark" in text(tab, "#exam-why")
    assert counts(tab)[:2] == (0, 0)
    assert not tab.page.locator("#exam-bars").is_visible()


def test_an_examination_that_has_seen_enough_ends_by_itself(camera_browser: Any, quick_server: DemoServer) -> None:
    with camera_browser.tab(camera=True) as tab:
        open_page(tab, quick_server)
        start_camera(tab)
        tab.until(ENDED)
        assert text(tab, "#exam-end").startswith("It has seen enough")
        assert text(tab, "#exam-decision") in EARS
        assert counts(tab)[0] == 2
        assert tab.page.evaluate("document.getElementById('exam-video').srcObject === null")
        assert tab.complaints == []


def test_a_file_that_is_no_video_or_only_half_of_one_is_reported_in_one_line(tab: Any, videos: dict[str, bytes]) -> None:
    choose(tab, b"no video", "letter.webm")
    tab.page.get_by_role("alert").wait_for()
    assert text(tab, "#trouble-exam").startswith("This browser cannot play letter.webm.")
    assert tab.page.get_by_role("button", name="Start with the camera").is_visible()
    choose(tab, videos["sound"], "sound.webm")
    tab.until("document.getElementById('trouble-exam').textContent.startsWith('sound.webm holds no picture')")
    choose(tab, videos["exam"][: len(videos["exam"]) * 2 // 3])
    tab.until(ENDED)
    assert text(tab, "#exam-decision") in (*EARS, "Unable to analyze")
    tab.complaints.clear()  # Chromium itself reports a file that it cannot play


def test_a_camera_that_is_refused_absent_busy_or_out_of_reach_is_reported_in_one_line(tab: Any) -> None:
    start = tab.page.get_by_role("button", name="Start with the camera")
    for name, words in (
        ("NotAllowedError", "was not allowed"),
        ("NotFoundError", "No camera was found"),
        ("NotReadableError", "Another program"),
        ("OverconstrainedError", "not there any more"),
    ):
        refuse = f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', '{name}')); 0"
        tab.page.evaluate(refuse)
        start.click()
        tab.until(f"document.getElementById('trouble-exam').textContent.includes('{words}')")
        assert start.is_visible()
    tab.page.evaluate("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    start.click()
    tab.until("document.getElementById('trouble-exam').textContent.includes('http://127.0.0.1')")


def test_a_camera_that_is_unplugged_ends_with_the_decision_on_what_was_seen(tab: Any) -> None:
    start_camera(tab)
    until_counted(tab, 2)
    tab.page.evaluate("current.source.stream.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    tab.until(ENDED)
    assert text(tab, "#exam-decision") in EARS
    assert text(tab, "#trouble-exam") == "The camera was disconnected."


def test_a_camera_that_sends_nothing_any_more_ends_the_examination(tab: Any) -> None:
    start_camera(tab)
    until_counted(tab, 1)
    tab.page.evaluate("document.getElementById('exam-video').pause(); current.frameAt -= 60_000")
    tab.until(ENDED)
    assert text(tab, "#trouble-exam") == "No frame came for 10 seconds."


def test_a_browser_that_changes_what_a_page_reads_is_not_used(tab: Any, videos: dict[str, bytes]) -> None:
    tab.page.evaluate(
        """() => {
          const read = CanvasRenderingContext2D.prototype.getImageData;
          CanvasRenderingContext2D.prototype.getImageData = function (...args) {
            const found = read.apply(this, args);
            found.data[5] ^= 1;
            return found;
          };
        }"""
    )
    choose(tab, videos["exam"])
    tab.page.get_by_role("alert").wait_for()
    assert "changes the pixels" in text(tab, "#trouble-exam")


def test_a_hidden_page_lets_a_video_wait_and_a_page_that_is_left_ends_its_examination(
    tab: Any, server: DemoServer, videos: dict[str, bytes]
) -> None:
    hide = "Object.defineProperty(document, 'hidden', {{ value: {}, configurable: true }});"
    change = "document.dispatchEvent(new Event('visibilitychange')); document.getElementById('exam-video').paused"
    choose(tab, videos["exam"])
    until_counted(tab, 1)
    assert tab.page.evaluate(hide.format("true") + change)
    assert not tab.page.evaluate(hide.format("false") + change)
    tab.until(ENDED)
    start_camera(tab)
    until_counted(tab, 1)
    assert len(server.exams) == 1
    tab.page.goto("about:blank")
    for _ in range(400):
        if not len(server.exams):
            break
        tab.page.wait_for_timeout(50)
    assert len(server.exams) == 0


def test_a_server_that_is_gone_leaves_no_decision(camera_browser: Any, quick_server: DemoServer) -> None:
    with camera_browser.tab(camera=True) as tab:
        open_page(tab, quick_server)
        tab.page.route("**/api/exam/frame*", lambda route: route.abort())
        tab.page.route("**/api/exam/end*", lambda route: route.abort())
        tab.page.get_by_role("button", name="Start with the camera").click()
        tab.until(ENDED)
        assert text(tab, "#exam-decision") == "Unable to analyze"
        assert "Is it still running?" in text(tab, "#trouble-exam")


def test_a_slow_server_gets_one_frame_at_a_time_and_the_others_are_counted(
    tab: Any, server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way, most, add = [], [], server.exams.add

    def add_slowly(*args: Any) -> Any:
        under_way.append(1)
        most.append(len(under_way))
        threading.Event().wait(0.7)
        under_way.pop()
        return add(*args)

    monkeypatch.setattr(server.exams, "add", add_slowly)
    start_camera(tab)
    tab.until("current.taken >= 3")
    tab.page.get_by_role("button", name="Stop and decide").click()
    tab.until(ENDED)
    assert max(most) == 1
    left_out = tab.page.locator("#exam-frames tr").last.inner_text()
    assert "Left out" in left_out
    assert int(left_out.split()[-1]) >= 3


def test_a_browser_without_frame_callbacks_examines_too(
    camera_browser: Any, server: DemoServer, videos: dict[str, bytes]
) -> None:
    with camera_browser.tab() as tab:
        tab.page.add_init_script("delete HTMLVideoElement.prototype.requestVideoFrameCallback")
        open_page(tab, server)
        choose(tab, videos["exam"])
        tab.until(ENDED)
        assert text(tab, "#exam-decision") in EARS
        assert counts(tab)[0] == 2
        assert tab.complaints == []


def test_what_is_read_aloud_is_news_and_not_every_frame(tab: Any, videos: dict[str, bytes]) -> None:
    tab.page.evaluate(LISTEN)
    choose(tab, videos["exam"])
    tab.until(ENDED)
    spoken = tab.page.evaluate("window.spoken")
    assert spoken[0] == "The examination has begun."
    assert spoken[-1].startswith("Examination ended. Decision: ")
    assert len(spoken) <= 5
    assert all(one != other for one, other in pairwise(spoken))


def test_cameras_of_one_name_are_numbered(tab: Any) -> None:
    tab.page.evaluate(
        """() => {
          const found = [["a", "Otoscope"], ["b", "Webcam"], ["c", "Otoscope"]];
          navigator.mediaDevices.enumerateDevices = async () =>
            found.map(([deviceId, label]) => ({ kind: "videoinput", deviceId, label }));
          return listCameras("c");
        }"""
    )
    assert tab.page.locator("#exam-cameras option").all_text_contents() == ["Otoscope (1)", "Webcam", "Otoscope (2)"]
    assert tab.page.get_by_label("Camera", exact=True).input_value() == "c"


def test_all_of_it_works_with_the_keyboard_alone(camera_browser: Any, server: DemoServer) -> None:
    with camera_browser.tab(camera=True) as tab:
        tab.page.goto(server.url)
        tab.page.get_by_role("heading", name="toy").wait_for()
        keys = tab.page.keyboard
        keys.press("Tab")
        keys.press("ArrowRight")
        assert tab.page.evaluate("document.activeElement.id") == "tab-exam"
        keys.press("Tab")
        assert tab.page.evaluate("document.activeElement.id") == "exam-start"
        keys.press("Space")
        tab.until("document.activeElement.id === 'exam-stop'")
        until_counted(tab, 2)
        keys.press("Enter")
        tab.until("document.activeElement.id === 'exam-again'")
        tab.until(ENDED)
        keys.press("Shift+Tab")
        keys.press("Home")
        assert tab.page.evaluate("document.activeElement.id") == "tab-image"
        assert tab.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", ["WIDE", "NARROW"])
def test_everyone_can_use_it_at_every_step(
    camera_browser: Any, browser_support: ModuleType, server: DemoServer, dark: bool, width: str
) -> None:
    with camera_browser.tab(size=getattr(browser_support, width), dark=dark, camera=True) as tab:
        open_page(tab, server)
        assert (tab.violations(), tab.overflow()) == ([], 0)
        start_camera(tab)
        until_counted(tab, 1)
        assert (tab.violations(), tab.overflow()) == ([], 0)
        tab.page.evaluate("current.source.stream.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
        tab.until(ENDED)
        assert (tab.violations(), tab.overflow()) == ([], 0)
        assert tab.complaints == []
