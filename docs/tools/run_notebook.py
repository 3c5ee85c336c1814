"""Run the cells of a notebook without Jupyter, and write what they print: ``python docs/tools/run_notebook.py --update``.

Cells run in one namespace, in an empty folder in which ``docs`` is that of this checkout. As in Jupyter, a cell shows what
it prints and the value of its last line.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs/notebooks/quick-start.ipynb"


def source_of(cell: dict[str, Any]) -> str:
    """Return a cell's text."""
    return "".join(cell["source"])


def output_of(cell: dict[str, Any]) -> str:
    """Return what a code cell shows below itself."""
    return "".join("".join(one["text"]) for one in cell["outputs"])


def run_cell(source: str, names: dict[str, Any]) -> str:
    """Run one cell and return what it shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
            if value is not None:
                print(repr(value))  # noqa: T201
    return printed.getvalue()


def run_notebook(path: Path) -> list[str]:
    """Run every code cell of a notebook in order and return what each shows."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    before = Path.cwd()
    # Commands are those of this Python's environment, also where it was not activated.
    commands = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder, mock.patch.dict(os.environ, PATH=commands):
        (Path(folder) / "docs").symlink_to(ROOT / "docs")
        os.chdir(folder)
        try:
            return [run_cell(source_of(cell), names) for cell in notebook["cells"] if cell["cell_type"] == "code"]
        finally:
            os.chdir(before)


def update(path: Path) -> None:
    """Run a notebook and write what its cells show into it."""
    shown = iter(run_notebook(path))
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            text = next(shown)
            lines = text.splitlines(keepends=True)
            cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": lines}] if text else []
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def notebook_page(path: Path = NOTEBOOK) -> str:
    """Return a notebook as a page of the site, Markdown."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            parts.append(source_of(cell))
        else:
            parts.append(f"```python\n{source_of(cell)}\n```")
            if output_of(cell):
                parts.append(f"```text\n{output_of(cell).rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description="Run the notebook of the documentation.")
    asked.add_argument("--update", action="store_true", help="write what the cells show into the notebook")
    if asked.parse_args().update:
        update(NOTEBOOK)
    else:
        sys.stdout.write("\n".join(run_notebook(NOTEBOOK)))
