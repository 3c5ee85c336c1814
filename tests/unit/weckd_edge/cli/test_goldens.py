"""What the commands print, as it was read and found right: every ``--help``, and ``--json`` on toy input."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from PIL import Image

from weckd_edge.cli.main import COMMANDS

Run = Callable[..., tuple[int, str, str]]
Golden = Callable[[Path, str], None]

GOLDENS = Path(__file__).parents[3] / "goldens"


def command_lines() -> Iterator[tuple[str, ...]]:
    yield ()
    for name, entry in COMMANDS.items():
        yield (name,)
        command = importlib.import_module(entry.module).command
        if isinstance(command, click.Group):
            yield from ((name, below) for below in command.commands)


def test_every_help_reads_as_its_golden(run: Run, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    texts = []
    for path in command_lines():
        code, out, err = run(*path, "--help")
        assert (code, err) == (0, "")
        texts.append(f"$ weckd-edge {' '.join((*path, '--help'))}\n{out}")
    golden(GOLDENS / "help.txt", "\n".join(texts))


def as_text(printed: str, folder: Path, *, measured: bool) -> str:
    """JSON without what differs from run to run: the test's folder and, where they are measured, numbers and machines."""
    return (
        json.dumps(stable(json.loads(printed), str(folder), measured), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    )


def stable(value: Any, folder: str, measured: bool) -> Any:
    if isinstance(value, dict):
        kept = {key: stable(inner, folder, measured) for key, inner in value.items()}
        return kept if kept.get("latency_ns") is None else {**kept, "latency_ns": "<nanoseconds>"}
    if measured:  # what a machine does not show is null there: only the keys are the same everywhere
        records = isinstance(value, list) and value and isinstance(value[0], dict) and "at_ns" not in value[0]
        return [stable(value[0], folder, measured)] if records else "..."
    if isinstance(value, list):
        return [stable(item, folder, measured) for item in value]
    if isinstance(value, str):
        return re.sub(r"\b[0-9a-f]{64}\b", "<sha256>", value.replace(folder, "<folder>"))
    return "<float>" if isinstance(value, float) else value


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8), (200, 40, 40)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.fixture
def bundle(toy: ModuleType, tmp_path: Path) -> Path:
    folder: Path = toy.write_bundle(tmp_path / "bundle").folder
    return folder


DATA: dict[str, tuple[str, ...]] = {
    "data-check": ("data", "check", "{ears}"),
    "data-split": ("data", "split", "{ears}", "--out", "{out}/index.json", "--labelled-subsets", "2"),
    "data-synth": ("data", "synth", "--out", "{out}/set", "--images", "20", "--size", "32x40"),
    "devices-list": ("devices", "list"),
    "devices-show": ("devices", "show", "raspberry-pi-5"),
}


@pytest.mark.parametrize("name", DATA)
def test_json_of_data_and_devices_reads_as_its_golden(
    name: str, run: Run, golden: Golden, ears: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    arguments = [part.format(ears=ears, out=out) for part in DATA[name]]
    code, text, err = run(*arguments, "--json")
    assert code == 0, err
    golden(GOLDENS / f"json/{name}.json", as_text(text, tmp_path, measured=False))


BUNDLE: dict[str, tuple[bool, tuple[str, ...]]] = {
    "predict": (False, ("predict", "{bundle}", "{picture}", "--backend", "onnxruntime")),
    "verify": (True, ("verify", "{bundle}")),
    "package": (False, ("package", "tar", "{bundle}", "--out", "{out}/a.tar")),
    "bench": (True, ("bench", "{bundle}", "--backend", "onnxruntime", "--queries", "64", "--out", "{out}/bench")),
}


@pytest.mark.parametrize("name", BUNDLE)
def test_json_of_a_bundle_reads_as_its_golden(
    name: str, run: Run, golden: Golden, bundle: Path, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    measured, arguments = BUNDLE[name]
    code, text, err = run(*(part.format(bundle=bundle, picture=picture, out=out) for part in arguments), "--json")
    assert code == 0, err
    golden(GOLDENS / f"json/{name}.json", as_text(text, tmp_path, measured=measured))


def test_json_of_a_failure_reads_as_its_golden(run: Run, golden: Golden, tmp_path: Path) -> None:
    code, text, _ = run("data", "check", tmp_path / "none", "--json", "-q")
    assert code == 1
    golden(GOLDENS / "json/error.json", as_text(text, tmp_path, measured=False))


def test_json_of_the_doctor_reads_as_its_golden(run: Run, golden: Golden, tmp_path: Path) -> None:
    code, text, _ = run("doctor", "--json")
    assert code == 0
    golden(GOLDENS / "json/doctor.json", as_text(text, tmp_path, measured=True))
