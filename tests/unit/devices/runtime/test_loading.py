"""No file is read in a way that could run what somebody wrote into it: every place that reads one is looked at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
SOURCES = [
    path for folder in ("weckd_edge", "train", "compile", "devices") for path in sorted((ROOT / folder).rglob("*.py"))
]

RUNS_CODE = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
"""Modules whose files may hold code."""

REFUSED_CALLS = {"eval", "exec", "torch.jit.load", "torch.hub.load", "torch.export.load", "torch.package.PackageImporter"}
SAFE_ONLY_WITH = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}


def unsafe(tree: ast.AST) -> Iterator[str]:
    """Yield what could run code that lies in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {name.name}" for name in node.names if name.name.split(".")[0] in RUNS_CODE)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in RUNS_CODE:
            yield f"from {node.module}"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {word.arg: word.value for word in node.keywords}
            if called in REFUSED_CALLS:
                yield called
            elif called in SAFE_ONLY_WITH:
                name, value = SAFE_ONLY_WITH[called]
                argument = given.get(name)
                if not (isinstance(argument, ast.Constant) and argument.value is value):
                    yield f"{called} without {name}={value}"


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from joblib import load", "torch.load(p)", "torch.load(p, weights_only=x)", "np.load(p)",
        "eval(t)", "torch.jit.load(p)", "np.load(p, allow_pickle=True)",
    ],
)  # fmt: skip
def test_the_look_finds_what_it_looks_for(text: str) -> None:
    assert len(list(unsafe(ast.parse(text)))) == 1


def test_no_source_reads_a_file_so_that_it_could_run_code() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    found = {str(path.relative_to(ROOT)): list(unsafe(tree)) for path, tree in trees.items()}
    assert len(found) > 200
    assert sum(text.count("np.load(") + text.count("torch.load(") for text in map(Path.read_text, SOURCES)) >= 5
    assert {path: why for path, why in found.items() if why} == {}
