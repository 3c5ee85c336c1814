"""What a module depends on and what Python reads to run it, of small packages and of this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.errors import raises
from weckd_edge.core import import_graph
from weckd_edge.core.errors import StoreError
from weckd_edge.core.import_graph import (
    depends_on,
    find_source,
    libraries_of,
    module_names,
    needs_to_run,
    read_source,
)

OUTSIDE = {
    "weckd_edge.core.errors",
    "weckd_edge.core.fingerprint",
    "weckd_edge.core.import_graph",
    "weckd_edge.core.optional_imports",
    "weckd_edge.core.progress",
    "weckd_edge.core.telemetry",
    "weckd_edge.devices.native.front_end",
    "weckd_edge.devices.native.guard",
    "weckd_edge.devices.native.library",
    "weckd_edge.devices.native.sources",
    "weckd_edge.train.distill.training_cost",
    "weckd_edge.train.run_logging.base",
    "weckd_edge.train.run_logging.guarded",
    "weckd_edge.train.run_logging.mlflow_backend",
    "weckd_edge.train.run_logging.open_run",
    "weckd_edge.train.run_logging.tensorboard_backend",
    "weckd_edge.train.tuning.shared_storage",
    "weckd_edge.train.tuning.study_results",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that stands in place of this one, to be filled."""
    root = tmp_path / "weckd_edge"
    (root / "core").mkdir(parents=True)
    for folder in (root, root / "core"):
        (folder / "__init__.py").write_text('"""A package."""\n')
    monkeypatch.setattr(import_graph, "__file__", str(root / "core/import_graph.py"))
    _forget()
    yield root
    _forget()


def _forget() -> None:
    import_graph.read_source.cache_clear()
    import_graph.find_source.cache_clear()
    import_graph._folder.cache_clear()


def write(root: Path, **modules: str) -> None:
    for name, text in modules.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        if not (path.parent / "__init__.py").exists():
            (path.parent / "__init__.py").write_text("")
        path.write_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "import weckd_edge.b",
        "import weckd_edge.b as b",
        "from weckd_edge import b",
        "from weckd_edge.b import anything",
        "def f():\n    from weckd_edge.b import g",
        "class A:\n    def f(self):\n        import weckd_edge.b",
        "try:\n    import weckd_edge.b\nexcept ImportError:\n    pass",
        "if TYPE_CHECKING:\n    pass\nelse:\n    import weckd_edge.b",
        "require('weckd_edge.b', 'do it')",
        "importlib.import_module('weckd_edge.b')",
        "TABLE = {'b': Row(module='weckd_edge.b')}",
        "CHILD = 'import sys; from weckd_edge.b import main; main()'",
        "CHILD = f'{python} -m weckd_edge.b.main'",
    ],
)
def test_no_way_to_import_escapes(package: Path, text: str) -> None:
    write(package, a=text, b="import weckd_edge.c", c="import json", d="")
    assert depends_on("weckd_edge.a") == ("weckd_edge.a", "weckd_edge.b", "weckd_edge.c")


@pytest.mark.parametrize(
    "text",
    ["if TYPE_CHECKING:\n    import weckd_edge.b", "import json", '"""Like ``weckd_edge.b``."""', "x = 'weckd_edge.bee'"],
)
def test_what_does_not_run_does_not_count(package: Path, text: str) -> None:
    write(package, a=text, b="")
    assert depends_on("weckd_edge.a") == ("weckd_edge.a",)


def test_a_name_that_a_package_passes_on_counts_for_the_module_that_defines_it(package: Path) -> None:
    write(package, a="from weckd_edge.records import One, helper", records__one="ONE = 1", records__two="TWO = 2")
    (package / "records/__init__.py").write_text(
        "from weckd_edge.records.one import ONE as One\nfrom weckd_edge.records.two import TWO\n"
    )
    assert depends_on("weckd_edge.a") == (
        "weckd_edge.a",
        "weckd_edge.records",
        "weckd_edge.records.one",
        "weckd_edge.records.two",
    )
    write(package, a="from weckd_edge.records import One")
    _forget()
    assert depends_on("weckd_edge.a") == ("weckd_edge.a", "weckd_edge.records.one")


def test_a_module_that_changes_no_result_is_not_counted_and_not_followed(package: Path) -> None:
    write(package, a="import weckd_edge.b", b="import weckd_edge.c\nOUTSIDE_KEYS = 'says so'", c="")
    assert depends_on("weckd_edge.a") == ("weckd_edge.a",)
    assert needs_to_run("weckd_edge.a") == ("weckd_edge", "weckd_edge.a", "weckd_edge.b", "weckd_edge.c")


def test_what_runs_needs_the_packages_on_the_way_with_all_that_they_import(package: Path) -> None:
    write(package, a="from weckd_edge.records.one import ONE", records__one="ONE = 1", records__two="TWO = 2")
    (package / "records/__init__.py").write_text("from weckd_edge.records.two import TWO\n")
    assert needs_to_run("weckd_edge.a") == (
        "weckd_edge",
        "weckd_edge.a",
        "weckd_edge.records",
        "weckd_edge.records.one",
        "weckd_edge.records.two",
    )


def test_modules_that_import_each_other_come_to_an_end(package: Path) -> None:
    write(package, a="import weckd_edge.b", b="import weckd_edge.a")
    assert depends_on("weckd_edge.a") == ("weckd_edge.a", "weckd_edge.b")


def test_a_package_without_its_sources_says_so(package: Path) -> None:
    write(package, a="import weckd_edge.b", b="X = 1")
    assert depends_on("weckd_edge.a")
    (package / "a.py").rename(package / "a.pyc")
    _forget()
    with raises(StoreError, "E_STORE_INSTALLATION", says="weckd_edge.a"):
        depends_on("weckd_edge.a")


def test_a_source_that_is_no_python_says_so(package: Path) -> None:
    write(package, a="def (")
    with raises(StoreError, "E_STORE_INSTALLATION", says="a.py"):
        depends_on("weckd_edge.a")


def test_libraries_are_distinguished_from_this_package_and_the_standard_library(package: Path) -> None:
    write(package, a="import json, numpy\nfrom torch.nn import functional\nrequire('onnx', 'x')\nimport weckd_edge.core")
    assert libraries_of(("weckd_edge.a",)) == ("numpy", "onnx", "torch")


def test_training_depends_on_its_losses_and_on_nothing_that_comes_later() -> None:
    found = set(depends_on("weckd_edge.train.distill.trainer"))
    assert {
        "weckd_edge.train.distill.loop.losses",
        "weckd_edge.train.distill.loop.engine",
        "weckd_edge.train.networks.models",
    } <= found
    assert {"weckd_edge.devices.images.frames", "weckd_edge.core.store"} <= found
    elsewhere = ("compile", "bundle", "train.audit", "train.tuning", "train.input_guard", "devices.bench", "config.report")
    assert [name for name in found if name.startswith(tuple(f"weckd_edge.{top}" for top in elsewhere))] == []


def test_what_is_outside_the_keys_is_what_is_meant_to_be() -> None:
    assert {name for name in module_names() if read_source(name).is_outside} == OUTSIDE


@pytest.mark.parametrize(
    "module", ["weckd_edge.devices.remote.on_device", "weckd_edge.bundle.reader", "weckd_edge.cli.main"]
)
def test_what_python_loads_is_among_what_is_found(module: str) -> None:
    script = f"import sys, {module}; print(*(m for m in sys.modules if m.partition('.')[0] == 'weckd_edge'))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert len(loaded) > 5
    assert set(loaded) <= set(needs_to_run(module))


def test_every_module_has_its_source() -> None:
    assert all(find_source(name) is not None for name in module_names())
    assert find_source("weckd_edge.none_such") is None
    assert find_source("json") is None
