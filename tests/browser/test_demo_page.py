"""The demo's page in a real browser: every way to hand it an image, every width and colour, every reader."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support.programs.demo_server import serving_bundle
from weckd_edge.devices.demo.server import DemoServer

pytestmark = pytest.mark.slow

DROP = """
([data, name]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  const stage = document.getElementById("stage");
  for (const kind of ["dragover", "drop"])
    stage.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
}
"""


def png(colour: tuple[int, int, int] = (200, 40, 40)) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 50, (60, 80, 3)) + np.array(colour)
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def server(toy: ModuleType, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    bundle = toy.write_bundle(tmp_path_factory.mktemp("page") / "b", confidence_threshold=0.2)
    with serving_bundle(bundle.folder) as found:
        yield found


@pytest.fixture
def unsure_server(toy: ModuleType, browser: Any, tmp_path: Path) -> Iterator[DemoServer]:
    with serving_bundle(toy.write_bundle(tmp_path / "b", confidence_threshold=0.9999).folder) as found:
        yield found


@pytest.fixture
def tab(browser: Any, server: DemoServer) -> Iterator[Any]:
    """The page, open; whatever a test does, it complains of nothing and asks nobody else."""
    with browser.tab(camera=True) as tab:
        tab.page.goto(server.url)
        tab.page.get_by_role("heading", name="toy").wait_for()
        yield tab
        assert tab.complaints == []
        assert [url for url in tab.requests if not url.startswith(server.url)] == []


def choose(tab: Any, data: bytes, name: str = "ear.png") -> None:
    tab.page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": data})


def decision(tab: Any) -> str:
    tab.page.locator("#decision").wait_for()
    text: str = tab.page.locator("#decision").inner_text()
    return text


def test_a_chosen_file_gets_its_decision_its_limits_and_its_times(tab: Any) -> None:
    choose(tab, png())
    assert decision(tab) in ("effusion", "normal", "wax")
    assert tab.page.locator("#bars li").count() == 3
    assert "A decision needs 20.0 %" in tab.page.locator("#needs").inner_text()
    assert tab.page.locator("#times tr").count() == 3
    assert "End-to-end latency" in tab.page.locator("#times").inner_text()
    assert tab.page.locator("#picture").get_attribute("src").startswith("data:image/jpeg")
    assert decision(tab) in tab.page.locator("#status").text_content()


def test_a_dropped_file_is_classified(tab: Any) -> None:
    tab.page.evaluate(DROP, [base64.b64encode(png()).decode(), "ear.png"])
    assert decision(tab) in ("effusion", "normal", "wax")


def test_a_picture_of_the_camera_is_classified_and_the_camera_let_go(tab: Any) -> None:
    tab.page.get_by_role("button", name="Use the camera").click()
    tab.until("document.getElementById('video').videoWidth > 0")
    tab.page.get_by_role("button", name="Take the picture").click()
    assert decision(tab) in ("effusion", "normal", "wax")
    assert tab.page.evaluate("document.getElementById('video').srcObject === null")
    assert tab.page.get_by_role("button", name="Use the camera").is_visible()
    assert not tab.page.locator("#video").is_visible()


def test_a_camera_that_is_unplugged_is_let_go_and_reported(tab: Any) -> None:
    tab.page.get_by_role("button", name="Use the camera").click()
    tab.until("document.getElementById('video').videoWidth > 0")
    tab.page.evaluate("stream.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    assert tab.page.get_by_role("alert").inner_text() == "The camera was disconnected."
    assert tab.page.get_by_role("button", name="Use the camera").is_visible()


def test_the_map_is_shown_on_request_and_put_away_again(tab: Any) -> None:
    choose(tab, png())
    seen = tab.page.locator("#picture")
    decision(tab)
    before = seen.get_attribute("src")
    tab.page.get_by_role("button", name="Where it looks").click()
    tab.page.locator("#sanity").wait_for()
    assert (
        "moved copies" in tab.page.locator("#sanity").inner_text()
        or "no one place" in tab.page.locator("#sanity").inner_text()
    )
    assert seen.get_attribute("src") != before
    assert "speaks most for" in seen.get_attribute("alt")
    tab.page.get_by_role("button", name="What it sees").click()
    assert seen.get_attribute("src") == before
    assert not tab.page.locator("#explained").is_visible()


def test_a_file_that_is_no_image_is_unable_to_analyze_with_its_reason(tab: Any) -> None:
    choose(tab, b"no image")
    assert decision(tab) == "Unable to analyze"
    assert tab.page.locator("#why").inner_text() == "Because: not an image but text."
    assert not tab.page.locator("#bars").is_visible()
    assert not tab.page.locator("#views").is_visible()
    choose(tab, png())
    tab.page.locator("#bars").wait_for()
    assert decision(tab) in ("effusion", "normal", "wax")


def test_an_unsure_prediction_is_unable_to_analyze_and_keeps_its_limits(browser: Any, unsure_server: DemoServer) -> None:
    with browser.tab() as tab:
        tab.page.goto(unsure_server.url)
        choose(tab, png())
        assert decision(tab) == "Unable to analyze"
        assert "a decision needs 0.9999" in tab.page.locator("#why").inner_text()
        assert tab.page.locator("#bars li").count() == 3
        assert tab.page.locator("#bars .chosen").count() == 0
        assert tab.violations() == []


def test_a_file_over_the_limit_is_refused_without_being_sent(tab: Any) -> None:
    tab.page.evaluate("classify(new Blob([new Uint8Array(33 * 2 ** 20)]))")
    assert tab.page.get_by_role("alert").inner_text() == "The file has 33.0 MiB; the limit is 32 MiB."
    assert not any("/api/predict" in url for url in tab.requests)


def test_a_server_that_is_gone_is_reported(browser: Any, unsure_server: DemoServer) -> None:
    with browser.tab() as tab:
        tab.page.goto(unsure_server.url)
        tab.page.get_by_role("heading", name="toy").wait_for()
        tab.page.route("**/api/predict", lambda route: route.abort())
        choose(tab, png())
        tab.page.get_by_role("alert").wait_for()
        assert "Is it still running?" in tab.page.get_by_role("alert").inner_text()


def test_all_of_it_works_with_the_keyboard_alone(tab: Any) -> None:
    keys = tab.page.keyboard
    keys.press("Tab")
    assert tab.page.evaluate("document.activeElement.id") == "tab-image"
    keys.press("Tab")
    assert tab.page.evaluate("document.activeElement.id") == "choose"
    with tab.file_chooser() as chooser:
        keys.press("Space")
    chooser.value.set_files({"name": "ear.png", "mimeType": "image/png", "buffer": png()})
    decision(tab)
    keys.press("Shift+Tab")
    assert tab.page.evaluate("document.activeElement.id") == "view-overlay"
    keys.press("Enter")
    tab.page.locator("#sanity").wait_for()
    keys.press("Tab")
    keys.press("Tab")
    assert tab.page.evaluate("document.activeElement.id") == "camera"
    keys.press("Space")
    tab.until("document.activeElement.id === 'take' && document.getElementById('video').videoWidth > 0")
    keys.press("Enter")
    tab.until("document.activeElement.id === 'camera'")
    decision(tab)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", ["WIDE", "PHONE"])
def test_everyone_can_use_it_at_every_step(
    browser: Any, browser_support: ModuleType, server: DemoServer, dark: bool, width: str
) -> None:
    with browser.tab(size=getattr(browser_support, width), dark=dark, camera=True) as tab:
        tab.page.goto(server.url)
        tab.page.get_by_role("heading", name="toy").wait_for()
        assert (tab.violations(), tab.overflow()) == ([], 0)
        choose(tab, png())
        decision(tab)
        tab.page.get_by_role("button", name="Where it looks").click()
        tab.page.locator("#sanity").wait_for()
        assert (tab.violations(), tab.overflow()) == ([], 0)
        tab.page.get_by_role("button", name="Use the camera").click()
        tab.until("document.getElementById('video').videoWidth > 0")
        assert (tab.violations(), tab.overflow()) == ([], 0)
        assert tab.complaints == []
