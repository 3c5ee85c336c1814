"""Every first line of a docstring, and every entry of a list in it, can be read alone, as a tooltip shows it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ("weckd_edge", "train", "compile", "devices")

HEADLESS = re.compile(
    r"(Of|Likewise|See|The same|Same|Also|And|Or|As|Like|With|Without|In|On|By|For|From|Per|At|Above|Below|Ditto|Its|Their|"
    r"That|This|Those|These|Whose|Which|Where|When|So|Such|Than|Because|Beside|Besides|Among|Along|Between|Within|Kept|It|They)"
    r"\b(?!-)"
)
"""Words that begin a fragment, which needs the line above it or the name beside it to be understood."""

ENTRY = re.compile(r"\s+\*{0,2}\w+: (.*)")
"""One line of ``Args``, ``Attributes`` or ``Raises``."""


def docstrings(file: Path) -> Iterator[tuple[int, str]]:
    """Yield every docstring of a module with its line: of itself, its classes, functions, constants and fields."""

    def visit(node: ast.AST) -> Iterator[tuple[int, str]]:
        if not isinstance(
            node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.If, ast.Try, ast.With)
        ):
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant) and isinstance(child.value.value, str):
                yield child.lineno, child.value.value.strip()
            else:
                yield from visit(child)

    yield from visit(ast.parse(file.read_text(encoding="utf-8")))


def lines_that_stand_alone(text: str) -> Iterator[str]:
    """Yield the lines of a docstring that are read alone: its first, and the beginning of each entry."""
    first, *others = text.split("\n")
    yield first
    yield from (found[1] for line in others if (found := ENTRY.match(line)))


def headless_lines(folder: Path) -> list[str]:
    """Return where a folder's docstrings have a line that begins in the middle of a sentence."""
    return [
        f"{file.relative_to(folder.parent)}:{number}: {line}"
        for file in sorted(folder.rglob("*.py"))
        for number, text in docstrings(file)
        for line in lines_that_stand_alone(text)
        if HEADLESS.match(line)
    ]


@pytest.mark.parametrize("folder", SOURCE)
def test_every_line_that_is_read_alone_has_its_subject(folder: str) -> None:
    found = headless_lines(ROOT / folder)
    assert not found, "\n".join(found)


def test_every_folder_has_docstrings_that_are_looked_at() -> None:
    for folder in SOURCE:
        assert sum(1 for file in (ROOT / folder).rglob("*.py") for _ in docstrings(file)) > 100


def test_a_fragment_is_found_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "module.py").write_text(
        '''"""From one thing to another."""

LIMIT = 3
"""Of the files."""


class Thing:
    """The thing.

    Attributes:
        name: Its name.
        size: Number of bytes.
        other: Likewise.
    """

    def measure(self, *values: int, scale: float) -> float:
        """See ``measure_all``.

        Args:
            *values: Where they lie.
            scale: Factor of every value.

        Raises:
            ValueError: It is negative.
        """


if True:
    def per_class() -> None:
        """Per-class metrics are not a fragment."""
''',
        encoding="utf-8",
    )
    found = [line.split(": ", 1)[1] for line in headless_lines(tmp_path / "made")]
    assert found == [
        "From one thing to another.",
        "Of the files.",
        "Its name.",
        "Likewise.",
        "See ``measure_all``.",
        "Where they lie.",
        "It is negative.",
    ]
