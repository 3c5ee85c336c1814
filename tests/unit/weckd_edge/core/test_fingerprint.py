"""A key changes with the code that a step runs, with its settings and its libraries, and with nothing else."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from weckd_edge.core import fingerprint, import_graph
from weckd_edge.core.fingerprint import code_of, key_of
from weckd_edge.core.import_graph import depends_on, find_source, libraries_of, module_names, read_source
from weckd_edge.core.optional_imports import DISTRIBUTION_OF
from weckd_edge.core.store import digest_of

ROOT = Path(__file__).parents[4]
FOLDERS = ("train", "compile", "devices")
TRAINING = "weckd_edge.train.distill.trainer"

CODE = "\nNEW = 1\n"
BELOW_THE_PIPELINE = {"artifacts", "bundle", "compile", "config", "core", "devices", "metrics", "train"}
LOSS = ("train/distill/loop/losses.py", "return ", "return 0.5 * ")
CHANGES = {
    "an edited loss": (LOSS, True),
    "a learning rate": (("train/distill/loop/engine.py", "RANDOM_CLASSIFIER = 10.0", "RANDOM_CLASSIFIER = 5.0"), True),
    "how images are decoded": (("devices/images/decoding.py", "", CODE), True),
    "a docstring": (("train/distill/loop/losses.py", '"""', '"""Reworded. '), False),
    "a comment": (("train/distill/loop/engine.py", "\ndef ", "\n# A remark.\ndef "), False),
    "layout": (("train/distill/loop/engine.py", "\ndef ", "\n\n\n\ndef "), False),
    "the text of an error": (("weckd_edge/core/errors.py", "", CODE), False),
    "a template of the report": (("weckd_edge/report/templates/model_card.md.j2", "", "New."), False),
    "a chart": (("weckd_edge/report/charts/draw.py", "", CODE), False),
    "another command": (("weckd_edge/cli/doctor.py", "", CODE), False),
    "another step": (("compile/quantize/ranges.py", "", CODE), False),
    "a record of another step": (("weckd_edge/artifacts/audit.py", "", CODE), False),
    "a table of settings that it does not read": (
        ("weckd_edge/config/report.py", "", CODE),
        False,
    ),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources, laid out as an installed wheel."""
    package = tmp_path / "weckd_edge"
    leave_out = shutil.ignore_patterns("__pycache__", "firmware", *FOLDERS)
    shutil.copytree(ROOT / "weckd_edge", package, ignore=leave_out)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, package / folder, ignore=shutil.ignore_patterns("__pycache__", "firmware"))
    return package


def edit(package: Path, change: tuple[str, str, str]) -> None:
    name, old, new = change
    path = package / name.removeprefix("weckd_edge/")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text + new, encoding="utf-8")


@pytest.fixture
def reads(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Fingerprints are taken of the copy."""
    monkeypatch.setattr(import_graph, "__file__", str(tree / "core/import_graph.py"))
    forget()
    yield tree
    forget()


def forget() -> None:
    for cached in (
        import_graph.read_source,
        import_graph.find_source,
        import_graph._folder,
        fingerprint.code_of,
        fingerprint._code,
    ):
        cached.cache_clear()
    fingerprint._library_versions.cache_clear()


def test_a_key_changes_with_the_code_that_runs_and_with_no_other(reads: Path) -> None:
    before = code_of(TRAINING)
    found = {}
    for name, (change, _) in CHANGES.items():
        file = reads / change[0].removeprefix("weckd_edge/")
        kept = file.read_bytes()
        edit(reads, change)
        forget()
        found[name] = code_of(TRAINING) != before
        file.write_bytes(kept)
    assert found == {name: changed for name, (_, changed) in CHANGES.items()}
    forget()
    assert code_of(TRAINING) == before


def test_the_fingerprint_of_a_copy_elsewhere_is_the_same(reads: Path) -> None:
    elsewhere = code_of(TRAINING)
    forget()
    import_graph.__file__ = str(ROOT / "weckd_edge/core/import_graph.py")  # put back by the fixture
    assert code_of(TRAINING) == elsewhere


def test_a_key_holds_inputs_code_and_the_libraries_of_that_code(monkeypatch: pytest.MonkeyPatch) -> None:
    key = key_of({"images": 3}, TRAINING)
    assert key.inputs == {"images": 3}
    assert key.code == code_of(TRAINING)
    assert {"python", "numpy", "torch", "timm"} <= set(key.libraries)
    assert {"onnx", "openvino", "jinja2", "click"}.isdisjoint(key.libraries)
    digests = {
        digest_of(key),
        digest_of(key_of({"images": 4}, TRAINING)),
        digest_of(key_of({"images": 3}, "weckd_edge.metrics")),
    }
    fingerprint._library_versions.cache_clear()
    monkeypatch.setattr(fingerprint, "version_of", lambda name: "0.0")
    digests.add(digest_of(key_of({"images": 3}, TRAINING)))
    fingerprint._library_versions.cache_clear()
    assert len(digests) == 4


def test_a_library_is_found_under_the_name_of_its_distribution() -> None:
    distributions = importlib.metadata.packages_distributions()
    for library in libraries_of(module_names()):
        if library in distributions:
            assert importlib.metadata.version(DISTRIBUTION_OF.get(library, library))


SCRIPT = """
import json, sys
from pathlib import Path
from weckd_edge.config import BuildConfig, DataConfig, LinkConfig, TrainConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.train.data.index import cached_index, data_root
from weckd_edge.train.distill.chain import make_trainer, plan_chain, run_strategy
from weckd_edge.train.distill.strategies import find_strategy

data, workspace = Path(sys.argv[1]), Workspace(Path(sys.argv[2]))
train = TrainConfig(epochs=1, steps_per_epoch=1, batch=4, threads=1, accelerator="cpu")
link = LinkConfig(model="test_resnet", input_size=32, pretrained=False)
config = BuildConfig(link=(link, link), train=train, data=DataConfig(labelled_fraction=0.5, near_duplicate_distance=None))
index = cached_index(workspace, data, config, skip_bad=False, progress=SilentProgress())
plans = plan_chain(index.artifact, config)
trainer = make_trainer(workspace, data_root(data), index.artifact, plans, SilentProgress(), None)
(made,) = run_strategy(trainer, plans, find_strategy("single-subset"), config)
print(json.dumps({"index": index.reused, "link": made.reused, "file": sys.modules["weckd_edge.train"].__file__}))
"""


@pytest.mark.slow
def test_an_edited_loss_trains_again_and_a_reworded_docstring_or_template_does_not(tree: Path, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    from weckd_edge.core.progress import SilentProgress
    from weckd_edge.train.data.synth.phantoms import write_phantoms

    write_phantoms(tmp_path / "images", SilentProgress(), images=100, seed=0, height=64, width=64)

    def run() -> dict[str, bool]:
        environment = os.environ | {"PYTHONPATH": str(tree.parent)}
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "images"), str(tmp_path / "work")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert Path(found.pop("file")).is_relative_to(tree)
        return dict(found)

    assert run() == {"index": False, "link": False}
    for name, (change, changes) in CHANGES.items():
        if not changes:
            edit(tree, change)
            assert change[0], name
    assert run() == {"index": True, "link": True}
    edit(tree, LOSS)
    assert run() == {"index": True, "link": False}


def entries_of(node: ast.AST, tree: ast.Module) -> Iterator[tuple[ast.Call, tuple[str, ...]]]:
    """Yield the calls of ``key_of`` and ``code_of`` in a source with the modules that they name."""
    constants = {
        target.id: line.value.value
        for line in tree.body
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant)
        for target in line.targets
        if isinstance(target, ast.Name)
    }
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("key_of", "code_of"):
            named = [one for argument in call.args[call.func.id == "key_of" :] for one in ast.walk(argument)]
            texts = [constants.get(one.id) if isinstance(one, ast.Name) else getattr(one, "value", None) for one in named]
            yield call, tuple(one for one in texts if isinstance(one, str))


def test_every_key_names_modules_that_are_there() -> None:
    seen = 0
    for module in module_names():
        if module.startswith("weckd_edge.core."):
            continue
        for _, entries in entries_of(read_source(module).tree, read_source(module).tree):
            seen += 1
            assert all(find_source(entry) is not None for entry in entries), (module, entries)
    assert seen >= 4


def test_no_key_counts_a_command_a_page_or_the_course_of_a_build() -> None:
    allowed = {
        "weckd_edge.report.evidence",  # names of the files that a former build is read from
        "weckd_edge.pipeline.steps.predict",  # what a model predicts, kept by itself
    }
    for module in module_names():
        for _, entries in entries_of(read_source(module).tree, read_source(module).tree):
            for name in set(depends_on(*entries)) - set(entries) - allowed:
                if name.startswith("weckd_edge.pipeline.network_sources."):  # how an imported network is opened
                    continue
                assert name.split(".")[1] in BELOW_THE_PIPELINE, f"{module}: {entries} depend on {name}"


def test_a_key_is_made_by_key_of_alone() -> None:
    for module in module_names():
        for node in ast.walk(read_source(module).tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Key":
                assert module == "weckd_edge.core.fingerprint", module


STORING = ("stage", "step", "shared_stage")


def _names(node: ast.AST) -> set[str]:
    """Return the names that a source reads, but those of annotations."""
    found: set[str] = {node.id} if isinstance(node, ast.Name) else set()
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns"):
            for one in value if isinstance(value, list) else [value]:
                found |= _names(one) if isinstance(one, ast.AST) else set()
    return found


def _imported_names(node: ast.AST) -> dict[str, tuple[str, str]]:
    """Return what a source imports from this package, by the name it has there."""
    return {
        alias.asname or alias.name: (one.module, alias.name)
        for one in ast.walk(node)
        if isinstance(one, ast.ImportFrom) and one.module is not None and one.module.startswith("weckd_edge.")
        for alias in one.names
    }


def _reachable(nodes: set[str], local: dict[str, ast.FunctionDef], but: ast.FunctionDef) -> set[str]:
    """Return names and, of those that are functions of the same module, what these name in turn."""
    waiting, seen = set(nodes), set[str]()
    while waiting:
        seen.add(one := waiting.pop())
        waiting |= (_names(local[one]) if one in local and local[one] is not but else set()) - seen
    return seen


def called_by_steps(module: str) -> Iterator[tuple[str, set[str], set[str]]]:
    """Yield each step of a module: where it is, the modules that its key names, and those that its work calls.

    Left out is a function that passes on a key that it is given.
    """
    tree = read_source(module).tree
    imported = _imported_names(tree)
    local = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for function in local.values():
        given = {argument.arg for argument in function.args.args}
        for call in ast.walk(function):
            name = getattr(getattr(call, "func", None), "attr", getattr(getattr(call, "func", None), "id", ""))
            if not isinstance(call, ast.Call) or name not in STORING or len(call.args) < 4:
                continue
            key = call.args[2]
            if isinstance(key, ast.Name) and key.id in given:
                continue
            within = key if isinstance(key, ast.Call) else function
            where = [within, *(local[one] for one in _names(key) if one in local)]
            made = [found for node in where for found in entries_of(node, tree)]
            assert made, f"{module}.{function.name}: the key is not made by key_of"
            work = _reachable(_names(call.args[3]), local, function)
            found = {import_graph._defining_module(*imported[one]) for one in work if one in imported}
            entries = {entry for _, named in made for entry in named}
            yield f"{module}.{function.name}", entries, {one for one in found if one is not None}


def test_the_key_of_every_step_counts_the_code_that_its_work_calls() -> None:
    missing, seen = [], 0
    for module in module_names():
        for where, entries, called in called_by_steps(module):
            seen += 1
            counted = set(depends_on(*entries))
            missing += [f"{where}: {one}" for one in called - counted if not read_source(one).is_outside]
    assert seen >= 15
    assert missing == []
