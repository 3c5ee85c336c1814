"""The tutorials show what their commands print; where a block is not run, it says when it was."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[3] / "docs"
PAGES = sorted((DOCS / "tutorials").glob("*.md"))


@pytest.fixture(scope="module")
def tutorials() -> Iterator[ModuleType]:
    sys.path.insert(0, str(DOCS / "tools"))
    yield importlib.import_module("run_tutorials")
    sys.path.remove(str(DOCS / "tools"))
    del sys.modules["run_tutorials"]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_shows_what_its_commands_print(tutorials: ModuleType, page: Path) -> None:
    for library in ("onnx", "onnxruntime", "openvino", "jinja2"):
        pytest.importorskip(library)
    assert tutorials.run_page(page) == [], "python docs/tools/run_tutorials.py --update writes what they print"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_tutorial_shows_output_that_was_printed(tutorials: ModuleType, page: Path) -> None:
    blocks = [block for block in tutorials.blocks_of(page.read_text(encoding="utf-8")) if not block.mark.startswith("setup")]
    assert blocks
    silent = [
        block for block in blocks if not any(output.strip() for _, output in block.commands) and len(block.commands) > 1
    ]
    assert silent == []


def test_a_kept_block_says_when_and_where_it_was_run() -> None:
    marks = [mark for page in PAGES for mark in re.findall(r"<!-- kept: (.*?) -->", page.read_text(encoding="utf-8"))]
    assert marks
    assert [mark for mark in marks if not re.match(r"\d{4}-\d\d-\d\d, \w", mark)] == []


def test_times_sizes_and_widths_are_not_compared_and_words_and_counts_are(tutorials: ModuleType) -> None:
    shown = "│ images │ 12 │ 3.1 ms │\nmodel of 1.57 MiB, sha256 0123456789abcdef\n"
    assert tutorials.same(shown, "│ images   │ 12 │ 14.92 ms │\nmodel of 2.0 MiB, sha256 fedcba9876543210\n")
    assert not tutorials.same(shown, shown.replace("12", "13"))
    assert not tutorials.same(shown, shown.replace("images", "files"))
    assert not tutorials.same(shown, shown + "one line more\n")


def test_a_page_whose_output_is_another_is_found_and_updated(tutorials: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- setup: echo 3 > number -->\n```console\n$ echo one \\\n  two\none two\n$ cat number\n4\n```\n")
    assert [line for line in tutorials.run_page(page) if line in ("-4", "+3")] == ["-4", "+3"]
    assert tutorials.run_page(page, update=True) == []
    assert page.read_text().endswith("```console\n$ echo one \\\n  two\none two\n$ cat number\n3\n```\n")
    assert tutorials.run_page(page) == []


def test_a_command_that_fails_is_reported_with_its_output(tutorials: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo broken; exit 3\n```\n")
    with pytest.raises(RuntimeError, match="broken\n\nended with 3"):
        tutorials.run_page(page)


def test_a_kept_block_is_run_only_when_it_is_asked_for(tutorials: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- kept: 2026-01-01, here -->\n```console\n$ exit 3\n```\n")
    assert tutorials.run_page(page) == []
    with pytest.raises(RuntimeError):
        tutorials.run_page(page, kept=True)


@pytest.fixture(scope="module")
def notebooks() -> Iterator[ModuleType]:
    sys.path.insert(0, str(DOCS / "tools"))
    yield importlib.import_module("run_notebook")
    sys.path.remove(str(DOCS / "tools"))
    del sys.modules["run_notebook"]


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_it_printed(notebooks: ModuleType) -> None:
    """Accuracy and latency depend on the machine: what is compared is what does not."""
    for library in ("timm", "onnxruntime", "openvino", "jinja2"):
        pytest.importorskip(library)
    cells = json.loads(notebooks.NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    shown = [notebooks.output_of(cell) for cell in cells if cell["cell_type"] == "code"]
    printed = notebooks.run_notebook(notebooks.NOTEBOOK)
    assert len(printed) == len(shown) > 5
    same = [number for number, (one, other) in enumerate(zip(shown, printed, strict=True)) if one == other]
    assert {0, 1, 4, 6} <= set(same)
    assert [text.split("|")[0] for text in (shown[5], printed[5])] == [shown[5].split("|")[0]] * 2


def test_a_cell_shows_what_it_prints_and_the_value_of_its_last_line(notebooks: ModuleType) -> None:
    names: dict[str, object] = {}
    assert notebooks.run_cell("number = 3\nprint('one')\nnumber + 1", names) == "one\n4\n"
    assert notebooks.run_cell("number = number * 2", names) == ""
    assert names["number"] == 6
