"""Tables of the pages in docs/results/, in Markdown, between the marks of their names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from weckd_edge.metrics.crossed_clusters import MeanInterval

RESULTS = Path(__file__).with_name("results")
PAGES = Path(__file__).parent.parent / "docs" / "results"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]


def points(found: MeanInterval, sign: str = "+") -> str:
    """Write a difference, or with another sign a rate, in points, with its interval where it has one."""
    mean = f"{100 * found.mean:{sign}.1f}"
    if found.low is None or found.high is None:
        return mean
    return f"{mean} ({100 * found.low:{sign}.1f} to {100 * found.high:{sign}.1f})"


def lines_of(name: str) -> list[dict[str, Any]]:
    """Return the lines of a file of results; none where there is no file."""
    path = RESULTS / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def marks(name: str, script: str) -> tuple[str, str]:
    """Return the lines between which a page holds a table that a script writes."""
    return f"<!-- {name}: written by benchmarks/{script} -->", f"<!-- end of {name} -->"


def with_tables(page: str, tables: Mapping[str, Sequence[str]], script: str) -> str:
    """Return a page with tables between the marks of their names.

    Raises:
        ValueError: A mark is missing.
    """
    for name, table in tables.items():
        begin, end = marks(name, script)
        before, found, rest = page.partition(begin)
        _, ended, after = rest.partition(end)
        if not found or not ended:
            raise ValueError(f"expected the marks of the table '{name}': {begin} and {end}")
        page = "\n".join([before + begin, "", *table, "", end + after])
    return page
