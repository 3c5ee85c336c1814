"""Golden files: what a program printed when somebody last read it and found it right."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).parents[1] / "goldens"

Kept = Literal["values", "words", "keys"]
"""Part of printed JSON that is the same in every run, and that a golden file holds.

- ``values``: all but floats, latencies, digests and the test's folder. For what depends on input alone.
- ``words``: keys, short texts, and the types of the rest. For results of training, whose numbers depend on the machine.
- ``keys``: keys alone. For what is measured: it is null where a machine does not show it.
"""

_VERDICTS = ("PASS", "FAIL", "INCONCLUSIVE")
_OF_THE_MACHINE = {"joules": "<float or null>", "reason": "<text>", "warnings": ["<text>"]}
"""Keys of which ``words`` keeps nothing: a machine without a power meter, or a busy one, prints another type there."""


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


def stable_json(printed: str, folder: Path, kept: Kept = "values") -> str:
    """Return the JSON that a command printed without what differs from run to run, sorted, as a golden file has it."""
    mask = {"values": _values, "words": _words, "keys": _keys}[kept]
    found = mask(json.loads(printed.replace(str(folder), "<folder>")))
    return json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _values(value: Any) -> Any:
    if isinstance(value, dict):
        measured = {"latency_ns"} & {key for key, inner in value.items() if inner is not None}
        return {key: "<nanoseconds>" if key in measured else _values(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_values(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"\b[0-9a-f]{64}\b", "<sha256>", value)
    return "<float>" if isinstance(value, float) else value


def _words(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _OF_THE_MACHINE.get(key) or _words(inner) for key, inner in value.items()}
    if isinstance(value, list):
        masked = [_words(item) for item in value]
        return [item for place, item in enumerate(masked) if item not in masked[:place]]
    if isinstance(value, str):
        short = re.sub(r"\b[0-9a-f]{12,64}\b", "<digest>", value)
        return "<verdict>" if value in _VERDICTS else short if len(short.split()) < 3 else "<text>"
    return value if value is None else f"<{type(value).__name__}>"


def _keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _keys(inner) for key, inner in value.items()}
    records = isinstance(value, list) and value and isinstance(value[0], dict) and "at_ns" not in value[0]
    return [_keys(value[0])] if records else "..."
