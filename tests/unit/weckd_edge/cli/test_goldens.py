"""What the commands print, as it was read and found right: every ``--help``, and ``--json`` on toy input."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
from PIL import Image

from support.goldens import FOLDER, Kept, stable_json
from weckd_edge.cli.main import COMMANDS

Run = Callable[..., tuple[int, str, str]]
Golden = Callable[[Path, str], None]


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
    golden(FOLDER / "help.txt", "\n".join(texts))


KEPT = FOLDER.parent / "fixtures/bundle-v1"


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
    golden(FOLDER / f"json/{name}.json", stable_json(text, tmp_path))


BUNDLE: dict[str, tuple[Kept, tuple[str, ...]]] = {
    "predict": ("values", ("predict", "{bundle}", "{picture}", "--backend", "onnxruntime")),
    "verify": ("keys", ("verify", "{bundle}")),
    "package": ("values", ("package", "tar", "{bundle}", "--out", "{out}/a.tar")),
    "estimate": ("words", ("estimate", "{bundle}", "--device", "raspberry-pi-5", "--device", "generic-x86")),
    "bench": ("keys", ("bench", "{bundle}", "--backend", "onnxruntime", "--queries", "64", "--out", "{out}/bench")),
}


@pytest.mark.parametrize("name", BUNDLE)
def test_json_of_a_bundle_reads_as_its_golden(
    name: str, run: Run, golden: Golden, bundle: Path, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    kept, arguments = BUNDLE[name]
    code, text, err = run(*(part.format(bundle=bundle, picture=picture, out=out) for part in arguments), "--json")
    assert code == 0, err
    golden(FOLDER / f"json/{name}.json", stable_json(text, tmp_path, kept))


REPORT: dict[str, tuple[str, ...]] = {
    "report": ("report", "{kept}", "--out", "{out}/report.html"),
    "report-changes": ("report", "{kept}", "--baseline", "{kept}", "--out", "{out}/changes.md"),
}


@pytest.mark.parametrize("name", REPORT)
def test_json_of_a_report_reads_as_its_golden(name: str, run: Run, golden: Golden, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("scipy")
    code, text, err = run(*(part.format(kept=KEPT, out=tmp_path) for part in REPORT[name]), "--json")
    assert code == 0, err
    golden(FOLDER / f"json/{name}.json", stable_json(text.replace(str(KEPT), "<kept>"), tmp_path, "words"))


def test_json_of_a_failure_reads_as_its_golden(run: Run, golden: Golden, tmp_path: Path) -> None:
    code, text, _ = run("data", "check", tmp_path / "none", "--json", "-q")
    assert code == 1
    golden(FOLDER / "json/error.json", stable_json(text, tmp_path))


def test_json_of_the_doctor_reads_as_its_golden(run: Run, golden: Golden, tmp_path: Path) -> None:
    code, text, _ = run("doctor", "--json")
    assert code == 0
    golden(FOLDER / "json/doctor.json", stable_json(text, tmp_path, "keys"))
