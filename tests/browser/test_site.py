"""The documentation site in a real browser, opened from a disk: it searches and loads nothing from a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.programs.browser import Browser

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for library in ("mkdocs", "material", "mkdocstrings", "mkdocs_click"):
        pytest.importorskip(library)
    built = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(built)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return built


def test_search_finds_a_setting_without_a_server_and_without_a_network(site: Path, browser: Browser) -> None:
    with browser.tab() as tab:
        tab.page.goto(f"file://{site}/index.html")
        tab.page.locator("input.md-search__input").focus()
        tab.page.locator("input.md-search__input").type("max_latency_p90_ms")
        tab.until("document.querySelectorAll('.md-search-result__item').length > 0")
        found = tab.page.locator(".md-search-result__list").inner_text()
        assert "Settings" in found
        assert [address for address in tab.requests if not address.startswith("file:")] == []


@pytest.mark.parametrize("page", ["index", "reference/settings", "reference/cli", "results/chain", "design/architecture"])
def test_a_page_fits_a_phone_and_complains_of_nothing(site: Path, browser: Browser, page: str) -> None:
    with browser.tab(size=(375, 800)) as tab:
        tab.page.goto(f"file://{site}/{page}.html")
        assert tab.overflow() <= 0
        assert tab.complaints == []
        assert [address for address in tab.requests if not address.startswith("file:")] == []
