"""Golden files: what a program printed when somebody last read it and found it right."""

from __future__ import annotations

import difflib
from pathlib import Path


def compare(path: Path, text: str) -> None:
    """Fail with the lines that differ, unless the golden file holds the text."""
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    if text == kept:
        return
    lines = difflib.unified_diff(kept.splitlines(), text.splitlines(), "golden", "now", lineterm="", n=1)
    shown = "\n".join(list(lines)[:60])
    raise AssertionError(
        f"{path} differs; if the new text is right, run pytest --update-goldens and read the diff:\n{shown}"
    )


def update(path: Path, text: str) -> None:
    """Write the golden file anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
