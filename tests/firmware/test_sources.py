"""How the C sources hang together: no cycle among the files, and no chain of conditionals on a status."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
CHAIN = re.compile(r"\b(\w+)\s*[!=]=\s*(?:WECKD_OK|0)\s*\?\s*\1\b")
"""``status = status != WECKD_OK ? status : next(...)``: return early, or ``goto`` where something must be released."""

Graph = dict[str, set[str]]


def cycle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the names along a cycle; empty: there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as err:
        names: list[str] = err.args[1]
        return names
    return []


def included(files: Iterable[Path]) -> Graph:
    """Return which files each file includes; a source and the header of its name are one."""
    return {
        stem: {Path(name).stem for path in group for name in INCLUDE.findall(path.read_text(encoding="utf-8"))} - {stem}
        for stem, group in _by_stem(files).items()
    }


def _by_stem(files: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(path.stem, []).append(path)
    return found


def called(objects: Iterable[Path]) -> Graph:
    """Return which object files define what each object file uses."""
    defined: dict[str, str] = {}
    used: dict[str, list[str]] = {}
    for path in objects:
        name = path.name.split(".")[0]
        lines = subprocess.run(["nm", "-g", path], capture_output=True, text=True, check=True).stdout.splitlines()
        symbols = [line.split()[-2:] for line in lines]
        used[name] = [symbol for kind, symbol in symbols if kind == "U"]
        defined |= {symbol: name for kind, symbol in symbols if kind != "U"}
    return {name: {defined[symbol] for symbol in symbols if symbol in defined} - {name} for name, symbols in used.items()}


def test_a_cycle_is_found_where_there_is_one(tmp_path: Path) -> None:
    for name, text in {"a.h": '#include "b.h"\n', "b.h": "", "b.c": '#include "b.h"\n#include "c.h"\n', "c.h": ""}.items():
        (tmp_path / name).write_text(text)
    assert not cycle(included(tmp_path.iterdir()))
    (tmp_path / "c.c").write_text('#include "a.h"\n')
    assert set(cycle(included(tmp_path.iterdir()))) == {"a", "b", "c"}


@pytest.mark.parametrize("folder", ["src", "update"])
def test_no_file_includes_itself_by_way_of_others(firmware: ModuleType, folder: str) -> None:
    found = included(path for path in (firmware.SOURCE / folder).iterdir() if path.suffix in (".c", ".h", ".cpp"))
    assert len(found) > 12
    assert not cycle(found)


@pytest.mark.parametrize(
    ("objects", "known"),
    [("CMakeFiles/weckd_objects.dir", ("open", "verify")), ("update/CMakeFiles/weckd-update.dir", ("boot", "log"))],
)
def test_no_file_calls_itself_by_way_of_others(library: Any, objects: str, known: tuple[str, str]) -> None:
    if shutil.which("nm") is None:
        pytest.skip("nm is not installed")
    found = called((library.folder / objects).rglob("*.o"))
    assert known[1] in found[known[0]]
    assert not cycle(found)


def test_no_status_is_handed_down_a_chain_of_conditionals(firmware: ModuleType) -> None:
    assert CHAIN.search("status = status != WECKD_OK ? status : next();")
    assert CHAIN.search("return status != WECKD_OK\n    ? status\n    : next();")
    assert not CHAIN.search("return status == WECKD_OK ? 0 : 1;")
    files = [path for path in firmware.SOURCE.rglob("*") if path.suffix in (".c", ".h", ".cpp", ".hpp")]
    assert len(files) > 80
    wrong = {path.name: CHAIN.findall(path.read_text(encoding="utf-8")) for path in files}
    assert not {name: found for name, found in wrong.items() if found}
