"""Commands print data alone on stdout and talk on stderr, whatever the names hold."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from weckd_edge.cli.console.output import print_json, print_table
from weckd_edge.cli.console.text import one_line

Run = Callable[..., tuple[int, str, str]]


def test_devices_list_prints_json_alone(run: Run) -> None:
    code, out, err = run("devices", "list", "--json")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert {"generic-x86", "jetson-orin-nano-8gb"} <= {row["id"] for row in rows}
    keys = {"id", "name", "target", "architecture", "summary", "int8_arithmetic", "int8", "ram_gib", "published"}
    assert all(set(row) == keys for row in rows)
    code, table, err = run("devices", "list")
    assert code == 0
    assert "weckd-edge devices show" in err
    shown = {line.split("│")[1].strip(): line for line in table.splitlines() if line.startswith("│")}
    assert shown.keys() == {row["id"] for row in rows}
    assert [x.strip() for x in shown["jetson-orin-nano-8gb"].split("│")[2:7]] == ["jetson", "GPU, 8 SM", "native", "-", "8"]
    assert [x.strip() for x in shown["jetson-nano-4gb"].split("│")[4:8]] == ["none", "-", "4", "6"]
    assert [x.strip() for x in shown["nxp-imx93"].split("│")[2:8]] == [
        "cpu",
        "2x Cortex-A55",
        "native",
        "openvino some, onnxruntime all",
        "-",
        "8 of its kind",
    ]


def test_devices_show_gives_every_value_with_its_source_and_what_is_not_known(run: Run) -> None:
    code, out, err = run("devices", "show", "jetson-orin-nano-8gb")
    assert code == 0
    for text in (
        "102.4 GB/s",
        "MAXN_SUPER",
        "10.16.2.10",
        "3.49",
        "nvpmodel_p3767_0003(_super).conf",
        "Not known",
        "TensorRT 11",
    ):
        assert text in out
    assert "sure: V read in a primary source" in err
    assert "without a source" not in err


def test_devices_show_of_a_profile_of_ones_own_tells_what_has_no_source(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('extends = "intel-n100"\nid = "own"\ntdp_w = 7\n')
    code, out, err = run("devices", "show", tmp_path / "own.toml")
    assert code == 0
    assert "7 W" in out
    assert "without a source: tdp_w" in err


def test_doctor_prints_json_alone_and_names_what_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weckd_edge.devices.doctor.doctor.EXTRA_OF", {"no_such_library": "sign"})
    code, out, err = run("doctor", "--json")
    assert (code, err) == (0, "")
    states = {library["module"]: library["state"] for library in json.loads(out)["libraries"]}
    assert states == {"click": "works", "numpy": "works", "PIL": "works", "rich": "works", "no_such_library": "absent"}
    code, table, err = run("doctor")
    assert code == 0
    assert "pip install 'weckd-edge[sign]'" in table
    assert err.startswith("device: ")


PHANTOM = ("--images", "20", "--size", "32x40")


def test_data_check_prints_json_alone_and_talks_on_stderr(run: Run, tmp_path: Path) -> None:
    code, out, err = run("data", "synth", "--out", tmp_path / "set", "--json", *PHANTOM)
    assert code == 0
    assert json.loads(out)["folder"] == str(tmp_path / "set")
    assert err.startswith("draw synthetic frames: 20 steps\n")
    code, out, err = run("data", "check", tmp_path / "set", "--json")
    assert code == 0
    assert json.loads(out)["images"] == 20
    assert err.startswith("read images: 20 steps\nread images: done in ")
    assert run("data", "check", tmp_path / "set", "--json", "-q") == (0, out, "")


def test_phantoms_of_one_seed_are_equal_to_the_byte(run: Run, tmp_path: Path) -> None:
    def draw(name: str, seed: int) -> dict[str, bytes]:
        assert run("data", "synth", "--out", tmp_path / name, "--seed", str(seed), "-q", *PHANTOM)[0] == 0
        found = (path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in found}

    first, again, other = draw("a", 7), draw("b", 7), draw("c", 8)
    assert len(first) == 22
    assert first == again
    assert first != other
    assert draw("a", 8) == other  # an earlier set is replaced whole


def test_names_with_markup_and_control_characters_are_shown_as_they_are(run: Run, tmp_path: Path) -> None:
    for name in ("[red]x/[bold]1.png", "y/:ear:\x1b[31m.png", "y/[/].png", f"y/{'long' * 55}.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    code, out, _ = run("data", "check", tmp_path, "-q")
    assert code == 1  # none of them can be read
    for shown in ("│ [red]x │", "[red]x/[bold]1.png", "y/:ear:\\x1b[31m.png", "y/[/].png", f"y/{'long' * 55}.png"):
        assert shown in out
    assert "\x1b" not in out


def test_a_table_takes_nothing_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("[red]column", "b"), [("[bold]cell", None), (1, "x\ny")], title="[link]title :ear:")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].rstrip() == "[link]title :ear:"
    assert "[red]column" in lines[2]
    assert [line.strip("│").split("│") for line in lines[4:-1]] == [
        [" [bold]cell  ", " -    "],
        [" 1           ", " x\\ny "],
    ]


def test_a_file_name_that_is_not_utf_8_goes_through_json_unharmed(capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode("\u00e9/\u8033-".encode() + b"\xff.png")
    print_json({"file": name})
    printed = capsys.readouterr().out
    assert "\u00e9/\u8033-\\udcff.png" in printed
    assert json.loads(printed) == {"file": name}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("été 耳.png", "été 耳.png"),
        ("a\tb\r\n", "a\\tb\\r\\n"),
        ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
        ("\u202egnp", "\\u202egnp"),
    ],
)
def test_one_line_escapes_what_commands_a_terminal_and_nothing_else(text: str, shown: str) -> None:
    assert one_line(text) == shown
