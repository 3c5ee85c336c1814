"""What every test keeps to: artefacts come from the factories, errors are matched by code, goldens are small text."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import goldens

TESTS = Path(__file__).parents[2]
ARTEFACTS = {"ImageRecord", "Link", "Measurement", "Manifest"}
PROSE_LEFT = 30
"""How many tests may still match a sentence: those of errors that are not this package's own."""


def calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(TESTS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(TESTS)}:{node.lineno}", node


def test_artefacts_are_made_by_the_factories_alone() -> None:
    found = [
        place
        for place, call in calls()
        if ast.unparse(call.func).split(".")[-1] in ARTEFACTS and not place.startswith("support/factories.py")
    ]
    assert found == []


def test_errors_are_matched_by_their_code() -> None:
    matches = [
        place
        for place, call in calls()
        if ast.unparse(call.func) == "pytest.raises" and any(word.arg == "match" for word in call.keywords)
        # Errors of the benchmarks' scripts have no code.
        if not ast.unparse(call.args[0]).startswith(("peers.", "SystemExit"))
    ]
    assert len(matches) < PROSE_LEFT, matches


def test_a_golden_that_differs_fails_with_its_lines_and_is_written_only_where_that_is_asked(
    tmp_path: Path, golden: Callable[[Path, str], None]
) -> None:
    path = tmp_path / "a.txt"
    goldens.update(path, "one\ntwo\n")
    goldens.compare(path, "one\ntwo\n")
    with pytest.raises(AssertionError) as caught:
        goldens.compare(path, "one\n2\n")
    assert {"-two", "+2"} <= set(str(caught.value).splitlines())
    assert path.read_text() == "one\ntwo\n"
    assert golden in (goldens.compare, goldens.update)
