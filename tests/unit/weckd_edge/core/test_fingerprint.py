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
from weckd_edge.core.fingerprint import DISTRIBUTION_OF, code_of, key_of
from weckd_edge.core.import_graph import find_source, libraries_of, module_names, read_source
from weckd_edge.core.store import digest_of

ROOT = Path(__file__).parents[4]
FOLDERS = ("train", "compile", "devices")
TRAINING = "weckd_edge.train.distill.trainer"

CODE = "\nNEW = 1\n"
LOSS = ("train/distill/losses.py", "return ", "return 0.5 * ")
CHANGES = {
    "an edited loss": (LOSS, True),
    "a learning rate": (("train/distill/engine.py", "RANDOM_CLASSIFIER = 10.0", "RANDOM_CLASSIFIER = 5.0"), True),
    "how images are decoded": (("devices/images/frames.py", "", CODE), True),
    "a docstring": (("train/distill/losses.py", '"""', '"""Reworded. '), False),
    "a comment": (("train/distill/engine.py", "\ndef ", "\n# A remark.\ndef "), False),
    "layout": (("train/distill/engine.py", "\ndef ", "\n\n\n\ndef "), False),
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
    for cached in (import_graph.read_source, import_graph._folder, fingerprint.code_of, fingerprint._code):
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
    monkeypatch.setattr(fingerprint, "version", lambda name: "0.0")
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
config = BuildConfig(link=(link, link), train=train, data=DataConfig(share=0.5, near_duplicate_distance=None))
index = cached_index(workspace, data, config, skip_bad=False, progress=SilentProgress())
plans = plan_chain(index.artifact, config)
trainer = make_trainer(workspace, data_root(data), index.artifact, plans, SilentProgress(), None)
(made,) = run_strategy(trainer, plans, find_strategy("single-share"), config)
print(json.dumps({"index": index.reused, "link": made.reused, "file": sys.modules["weckd_edge.train"].__file__}))
"""


@pytest.mark.slow
def test_an_edited_loss_trains_again_and_a_reworded_docstring_or_template_does_not(tree: Path, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    from weckd_edge.core.progress import SilentProgress
    from weckd_edge.train.data.synth.phantoms import write_phantoms

    write_phantoms(tmp_path / "images", SilentProgress(), images=60, seed=0, height=64, width=64)

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


def entries_of(tree: ast.Module) -> Iterator[tuple[ast.Call, tuple[str, ...]]]:
    """Yield the calls of ``key_of`` and ``code_of`` in a source with the modules that they name."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("key_of", "code_of"):
            named = node.args[1:] if node.func.id == "key_of" else node.args
            yield (
                node,
                tuple(
                    str(one.value) if isinstance(one, ast.Constant) else str(constants.get(one.id, one.id))
                    for one in named
                    if isinstance(one, (ast.Constant, ast.Name))
                ),
            )


def test_every_key_names_modules_that_are_there() -> None:
    seen = 0
    for module in module_names():
        if module.startswith("weckd_edge.core."):
            continue
        for _, entries in entries_of(read_source(module).tree):
            seen += 1
            assert all(find_source(entry) is not None for entry in entries), (module, entries)
    assert seen >= 4


def test_a_key_is_made_by_key_of_alone() -> None:
    for module in module_names():
        for node in ast.walk(read_source(module).tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Key":
                assert module == "weckd_edge.core.fingerprint", module
