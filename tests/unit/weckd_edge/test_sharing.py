"""How tests are shared out among processes: those that share a build go to one, and everything is run once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.sharing import SHARED, group_of, ranks_of

TESTS = Path(__file__).parents[2]


def test_what_shares_a_build_is_one_group_and_every_other_file_is_its_own() -> None:
    assert group_of("tests/firmware/test_size.py::test_a") == group_of("tests/firmware/test_guard.py::test_b[x::y]")
    assert (
        group_of("tests/unit/weckd_edge/test_layers.py::test_a[tests/firmware/]") == "tests/unit/weckd_edge/test_layers.py"
    )
    assert all((TESTS.parent / start).exists() for start in SHARED)


def test_each_file_runs_in_one_process_and_each_test_once(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    (tmp_path / "conftest.py").write_text(
        "import pytest\n"
        "from support import sharing\n"
        "@pytest.hookimpl(optionalhook=True)\n"
        "def pytest_xdist_make_scheduler(config, log):\n"
        "    return sharing.make_scheduler(config, log)\n"
    )
    seen = tmp_path / "seen"
    seen.mkdir()
    for name in "abcd":
        (tmp_path / f"test_{name}.py").write_text(
            "import os, pathlib, pytest\n"
            "@pytest.mark.parametrize('number', range(8))\n"
            "def test_it(number):\n"
            f"    with open({str(seen)!r} + '/{name}', 'a') as file:\n"
            "        file.write(os.environ['PYTEST_XDIST_WORKER'] + '\\n')\n"
        )
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "-o", f"pythonpath={TESTS}"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    workers = {path.name: path.read_text().split() for path in seen.iterdir()}
    assert {name: len(found) for name, found in workers.items()} == dict.fromkeys("abcd", 8)
    assert all(len(set(found)) == 1 for found in workers.values())
    assert {worker for found in workers.values() for worker in found} == {"gw0", "gw1"}


def test_a_whole_check_draws_the_order_of_what_is_short() -> None:
    names = [f"tests/unit/test_{letter}.py::test" for letter in "abcdefgh"]
    nodeids = [*names, "tests/e2e/test_build.py::test", "tests/firmware/test_size.py::test"]
    ranks = ranks_of(nodeids, "1790000000")
    assert ranks == ranks_of(reversed(nodeids), "1790000000")
    assert [ranks["tests/e2e"], ranks["tests/firmware"]] == [0, 1]
    assert sorted(ranks.values()) == list(range(len(nodeids)))
    assert (
        len({tuple(sorted(ranks, key=lambda name: ranks[name])) for ranks in (ranks_of(names, str(n)) for n in range(20))})
        == 20
    )
