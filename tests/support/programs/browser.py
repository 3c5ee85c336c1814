"""Pages in a real, headless Chromium: what they look like, what they complain of, what they fetch, who can use them."""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
WIDE, PHONE, NARROW = (1280, 900), (390, 844), (320, 640)


def missing() -> str | None:
    """Return what is not here to run pages in a browser; None where all is."""
    if find_program() is None:
        return "no Chromium is here (Debian: apt-get install chromium)"
    for module in ("playwright", "axe_playwright_python"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed (pip install 'weckd-edge[dev]')"
    return None


def find_program() -> str | None:
    """Return the path of Chromium, or None."""
    return next((path for name in PROGRAMS if (path := shutil.which(name)) is not None), None)


def axe_script() -> str:
    """Return the source of axe-core, which a package of the tests carries."""
    spec = importlib.util.find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    (script,) = Path(spec.origin).parent.rglob("axe.min.js")
    return script.read_text(encoding="utf-8")


class Tab:
    """One open page.

    Attributes:
        page: Playwright's own page, for what is not here.
        complaints: Warnings and errors of the console, and errors that no code caught.
        requests: Every address that was asked for, but ``data:`` and ``blob:``.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda line: line.type in ("error", "warning") and self.complaints.append(line.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda sent: sent.url.startswith(("data:", "blob:")) or self.requests.append(sent.url))

    def violations(self) -> list[str]:
        """Run axe on the page as it is now, and return what it finds, one line each."""
        # The page's own policy lets no script in: the debugger's evaluation stands outside it.
        self.page.evaluate(axe_script() + "; undefined")
        found = self.page.evaluate("async () => (await axe.run(document)).violations")
        return [f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']]}" for one in found]

    def until(self, expression: str, timeout_s: float = 60) -> None:
        """Wait until a line of JavaScript is true.

        Playwright's own waiting evaluates text inside the page, which the page's policy may forbid.
        """
        end = time.monotonic() + timeout_s
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            self.page.wait_for_timeout(50)

    @contextmanager
    def file_chooser(self) -> Iterator[Any]:
        """Wait for the file chooser that the block opens; its ``value`` is Playwright's own.

        Playwright tells Chromium to hand choosers over and does not wait until it does. On a busy machine a key overtakes
        that, and Chromium opens a chooser of its own, which nobody sees. What is evaluated comes after it.
        """
        with self.page.expect_file_chooser() as chooser:
            self.page.evaluate("0")
            yield chooser

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        found: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return found

    def shot(self, path: Path) -> None:
        """Save the whole page as a picture."""
        self.page.screenshot(path=str(path), full_page=True)


class Browser:
    """A running Chromium."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    @contextmanager
    def tab(self, *, size: tuple[int, int] = WIDE, dark: bool = False, camera: bool = False) -> Iterator[Tab]:
        """Open an empty page in a window of its own that shares nothing with others.

        Args:
            size: Of the window, pixels.
            dark: The reader prefers dark colours.
            camera: Pages may use the camera, a drawn one.
        """
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            permissions=["camera"] if camera else [],
            reduced_motion="reduce",
        )
        context.set_default_timeout(60_000)
        try:
            yield Tab(context.new_page())
        finally:
            context.close()


@contextmanager
def running(*, camera_file: Path | None = None) -> Iterator[Browser]:
    """Start Chromium, and end it.

    Args:
        camera_file: A .y4m file that the drawn camera plays over and over; None: Chromium's own picture.
    """
    from playwright.sync_api import sync_playwright

    camera = FAKE_CAMERA if camera_file is None else (*FAKE_CAMERA, f"--use-file-for-fake-video-capture={camera_file}")
    with sync_playwright() as playwright:
        # A container's root has no sandbox of its own; only pages of the tests are opened.
        browser = playwright.chromium.launch(
            executable_path=find_program(), args=["--no-sandbox", "--disable-dev-shm-usage", *camera], timeout=120_000
        )
        try:
            yield Browser(browser)
        finally:
            browser.close()
