"""How the C sources hang together: no cycle among files or folders, and no chain of conditionals on a status."""

import re
import shutil
import subprocess
from collections import Counter
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


def sources(folder: Path) -> list[Path]:
    """Return the C and C++ files below a folder; tests are not among them."""
    found = [path for path in folder.rglob("*") if path.suffix in (".c", ".h", ".cpp")]
    return [path for path in found if "tests" not in path.relative_to(folder).parts]


def included(folder: Path) -> Graph:
    """Return which files each file includes, by path below the folder; a source and the header of its name are one."""
    found: Graph = {}
    for path in sources(folder):
        names = INCLUDE.findall(path.read_text(encoding="utf-8"))
        whole = str(path.relative_to(folder).with_suffix(""))
        found.setdefault(whole, set()).update(str(Path(name).with_suffix("")) for name in names)
    return {name: names & found.keys() - {name} for name, names in found.items()}


def rooms(files: Graph) -> Graph:
    """Return which folders the files of each folder include from."""
    found: Graph = {}
    for name, names in files.items():
        room = Path(name).parent.name
        found.setdefault(room, set()).update({Path(other).parent.name for other in names} - {room})
    return found


def called(folder: Path) -> Graph:
    """Return which object files below a folder define what each object file uses."""
    defined: dict[str, str] = {}
    used: dict[str, list[str]] = {}
    for path in folder.rglob("*.o"):
        name = str(path.relative_to(folder)).split(".c")[0]
        lines = subprocess.run(["nm", "-g", path], capture_output=True, text=True, check=True).stdout.splitlines()
        symbols = [line.split()[-2:] for line in lines]
        used[name] = [symbol for kind, symbol in symbols if kind == "U"]
        defined |= {symbol: name for kind, symbol in symbols if kind != "U"}
    return {name: {defined[symbol] for symbol in symbols if symbol in defined} - {name} for name, symbols in used.items()}


def test_a_cycle_is_found_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    texts = {
        "x/a.h": '#include "y/b.h"\n',
        "y/b.h": "",
        "y/b.c": '#include "y/b.h"\n#include "y/c.h"\n',
        "y/c.h": "",
        "x/d.h": "",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    assert included(tmp_path) == {"x/a": {"y/b"}, "y/b": {"y/c"}, "y/c": set(), "x/d": set()}
    assert not cycle(included(tmp_path))
    assert not cycle(rooms(included(tmp_path)))
    (tmp_path / "y/c.c").write_text('#include "x/d.h"\n')
    assert not cycle(included(tmp_path))
    assert set(cycle(rooms(included(tmp_path)))) == {"x", "y"}
    (tmp_path / "y/c.c").write_text('#include "x/a.h"\n')
    assert set(cycle(included(tmp_path))) == {"x/a", "y/b", "y/c"}


@pytest.mark.parametrize("folder", ["src", "update"])
def test_no_file_includes_itself_by_way_of_others(firmware: ModuleType, folder: str) -> None:
    found = included(firmware.SOURCE / folder)
    assert len(found) > 12
    assert sum(map(len, found.values())) > 12
    assert not cycle(found)


@pytest.mark.parametrize("folder", ["src", "update"])
def test_no_room_includes_itself_by_way_of_others(firmware: ModuleType, folder: str) -> None:
    found = rooms(included(firmware.SOURCE / folder))
    assert len(found) > 4
    assert not cycle(found)


@pytest.mark.parametrize("folder", ["src", "update"])
def test_every_file_includes_by_path_and_no_room_is_a_drawer(firmware: ModuleType, folder: str) -> None:
    files = sources(firmware.SOURCE / folder)
    places = (firmware.SOURCE / folder, firmware.SOURCE / "src", firmware.SOURCE / "include")
    names = {name for path in files for name in INCLUDE.findall(path.read_text(encoding="utf-8"))}
    assert not {name for name in names if not any((place / name).is_file() for place in places)}
    per_room = Counter(path.parent for path in files)
    assert per_room
    assert max(per_room.values()) <= 15


@pytest.mark.parametrize(
    ("objects", "known"),
    [
        ("CMakeFiles/weckd_objects.dir/src", ("runtime/open", "bundle/verify")),
        ("update/CMakeFiles/weckd-update.dir", ("commands/boot", "base/log")),
    ],
)
def test_no_file_calls_itself_by_way_of_others(library: Any, objects: str, known: tuple[str, str]) -> None:
    if shutil.which("nm") is None:
        pytest.skip("nm is not installed")
    found = called(library.folder / objects)
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
