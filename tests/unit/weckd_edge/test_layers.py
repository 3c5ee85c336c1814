"""Every module stands in a layer of the import contracts, and the picture of them is up to date."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from weckd_edge.core.import_graph import module_names

ROOT = Path(__file__).parents[3]
STAND_ALONE = {"weckd_edge", "weckd_edge.__main__"}
"""What starts the command line, and the package that all others lie in."""


def _drawing() -> Any:
    spec = importlib.util.spec_from_file_location("draw_layers", ROOT / "docs/tools/draw_layers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


drawing = _drawing()
MODULES = module_names()


def layers() -> list[list[str]]:
    """Return the modules of each contract."""
    return [
        [name for layer in contract["layers"] for name in drawing.modules_of(layer)]
        for contract in drawing.layer_contracts()
    ]


def is_held(module: str, held: list[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in held)


def test_the_first_contract_holds_every_module() -> None:
    everything = layers()[0]
    assert [name for name in MODULES if not is_held(name, everything) and name not in STAND_ALONE] == []
    assert not is_held("weckd_edge.new_package.module", everything)


@pytest.mark.parametrize("held", layers()[1:], ids=lambda held: held[0])
def test_an_inner_contract_holds_every_module_of_its_package(held: list[str]) -> None:
    package = os.path.commonpath([name.rpartition(".")[0].replace(".", "/") for name in held]).replace("/", ".")
    assert package.count(".") >= 1
    packages = {name.rpartition(".")[0] for name in held}  # an __init__ of these only passes names on
    left_out = [name for name in MODULES if name.startswith(f"{package}.") and not is_held(name, held)]
    assert [name for name in left_out if name not in packages] == []


def test_no_contract_names_a_module_that_is_gone() -> None:
    assert [name for held in layers() for name in held if name not in MODULES] == []


def test_the_picture_of_the_layers_is_up_to_date() -> None:
    assert drawing.PAGE.read_text(encoding="utf-8") == drawing.page(), "run: python docs/tools/draw_layers.py"
    for file, drawn in drawing.pictures().items():
        assert file.read_text(encoding="utf-8") == drawn, "run: python docs/tools/draw_layers.py"
    assert "weckd_edge" not in drawing.draw(drawing.layer_contracts()[0])


@pytest.mark.parametrize("page", ["docs/design/architecture.md", "CONTRIBUTING.md"])
def test_every_path_that_a_page_on_the_layout_names_is_there(page: str) -> None:
    named = paths_in(ROOT / page)
    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_path_that_any_page_names_is_there() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    named = [(page, path) for page in pages for path in paths_in(page)]
    assert len(named) > 50
    assert [f"{page.name}: {path}" for page, path in named if not (ROOT / path).exists()] == []


def paths_in(page: Path) -> list[str]:
    """Return the paths of this project that a page names."""
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:weckd_edge|train|compile|devices|tests|docs|benchmarks)/[\w/.]*)`", text)
    return [path for path in named if not path.endswith(".jpg")]  # images of a reader's own data set


def test_the_contracts_are_kept() -> None:
    pytest.importorskip("importlinter")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
