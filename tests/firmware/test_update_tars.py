"""Tars that are crafted, cut or too large are refused by the program that installs updates on a device."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from weckd_edge.bundle.reader import open_bundle
from weckd_edge.bundle.signing import sign
from weckd_edge.bundle.writer import seal


def test_what_is_reported_is_printable_ascii(
    tool: Any, make: Callable[..., Path], key_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """Names in a tar, in a folder and in a manifest give no orders to a terminal, and turn no line around."""
    hostile = "x\x1b[2J\u202egnp.\x9b\r"
    bad = tmp_path / "bad.tar"
    said = []
    for entries in (
        renamed(entries_of(tool.tar(make(1), tmp_path / "1.tar")), hostile),
        typed([], tarfile.SYMTYPE, hostile),
        renamed([], f"device/{hostile}"),
    ):
        bad.write_bytes(packed(entries))
        said.append(tool.refused("install", bad))
    folder = shutil.copytree(make(1), tmp_path / "folder")
    (folder / hostile).symlink_to("manifest.json")
    said.append(tool.refused("install", folder))
    said.append(tool.refused("install", tmp_path / hostile))
    named = shutil.copytree(make(2), tmp_path / "named")
    (named / "signature").unlink()
    seal(named, replace(open_bundle(named).manifest, name=hostile))
    sign(named, key_pair[0])
    tool.done("install", named)
    said.append(tool.done("status"))
    assert "x\\x1b[2J\\xe2\\x80\\xaegnp" in said[-1]
    for text in said:
        assert re.fullmatch(r"[ -~\n]+", text), text
        assert text.count("\n") == 1 or text is said[-1]


Entry = tuple[tarfile.TarInfo, bytes]


def entries_of(tar: Path) -> list[Entry]:
    with tarfile.open(tar) as opened:
        return [(entry, opened.extractfile(entry).read()) for entry in opened]  # type: ignore[union-attr]


def packed(entries: list[Entry], format_: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as tar:
        for entry, data in entries:
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def renamed(entries: list[Entry], name: str) -> list[Entry]:
    more = tarfile.TarInfo(name)
    more.size = 1
    return [*entries, (more, b"x")]


def typed(entries: list[Entry], kind: bytes, name: str = "model/more") -> list[Entry]:
    more = tarfile.TarInfo(name)
    more.type, more.linkname = kind, "../../../passwd"
    return [*entries, (more, b"")]


BAD_TARS: dict[str, tuple[str, Callable[[list[Entry]], bytes]]] = {
    "a way up": ("may not hold", lambda e: packed(renamed(e, "../escaped"))),
    "a way up inside": ("may not hold", lambda e: packed(renamed(e, "model/../../escaped"))),
    "an absolute path": ("may not hold", lambda e: packed(renamed(e, "/tmp/weckd-escaped"))),
    "a dot": ("may not hold", lambda e: packed(renamed(e, "./more"))),
    "an empty part": ("may not hold", lambda e: packed(renamed(e, "model//more"))),
    "a backslash": ("may not hold", lambda e: packed(renamed(e, "model\\more"))),
    "a line break": ("may not hold", lambda e: packed(renamed(e, "model\nmore"))),
    "a deep path": ("may not hold", lambda e: packed(renamed(e, "a/" * 40 + "a"))),
    "a symbolic link": ("holds a link", lambda e: packed(typed(e, tarfile.SYMTYPE))),
    "a hard link": ("holds a link", lambda e: packed(typed(e, tarfile.LNKTYPE))),
    "a folder": ("holds a link", lambda e: packed(typed(e, tarfile.DIRTYPE))),
    "a device": ("holds a link", lambda e: packed(typed(e, tarfile.CHRTYPE))),
    "a pipe": ("holds a link", lambda e: packed(typed(e, tarfile.FIFOTYPE))),
    "an engine of another device": ("not part of an update", lambda e: packed(renamed(e, "device/engine"))),
    "a file in the place of what a device builds": ("not part of an update", lambda e: packed(renamed(e, "device"))),
    "a file twice": ("cannot be made", lambda e: packed([*e, e[1]])),
    "a file more": ("it was added", lambda e: packed(renamed(e, "model/more"))),
    "a file less": ("missing", lambda e: packed(e[:-1])),
    "GNU's tar": ("expected a POSIX tar", lambda e: packed(e, tarfile.GNU_FORMAT)),
    "nothing": ("damaged or cut short", lambda e: b""),
    "no tar": ("expected a POSIX tar", lambda e: b"x" * 10240),
    "an end without files": ("no bundle", lambda e: bytes(1024)),
    "one block of end": (
        "damaged or cut short",
        lambda e: packed(e).rstrip(b"\0") + bytes(512 - len(packed(e).rstrip(b"\0")) % 512),
    ),
    "more behind the end": ("damaged or cut short", lambda e: packed(e) + b"x" * 512),
    "a wrong checksum": ("expected a POSIX tar", lambda e: b"M" + packed(e)[1:]),
    "a size in base 256": ("expected a POSIX tar", lambda e: with_size(packed(e), b"\x80" + bytes(10) + b"\x01")),
    "a size too large": ("more than the", lambda e: with_size(packed(e), b"77777777777\0")),
}


def with_size(tar: bytes, size: bytes) -> bytes:
    """Put another size into the first header, with a checksum that holds."""
    head = bytearray(tar[:512])
    head[124:136] = size
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + tar[512:]


@pytest.mark.parametrize("what", BAD_TARS)
def test_a_crafted_tar_is_refused(tool: Any, make: Callable[..., Path], tmp_path: Path, what: str) -> None:
    words, craft = BAD_TARS[what]
    bad = tmp_path / "bad.tar"
    bad.write_bytes(craft(entries_of(tool.tar(make(1), tmp_path / "good.tar"))))
    assert words in tool.refused("install", bad)
    assert {path.name for path in tool.store.iterdir()} == {"lock"}
    assert {path.name for path in tmp_path.iterdir()} == {"store", "bad.tar", "good.tar"}


def test_every_cut_of_a_tar_is_refused(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
    raw = tool.tar(make(1), tmp_path / "good.tar").read_bytes()
    whole = len(raw.rstrip(b"\0"))
    cut = tmp_path / "cut.tar"
    for length in range(0, whole, 311):
        cut.write_bytes(raw[:length])
        tool.refused("install", cut)
    assert {path.name for path in tool.store.iterdir()} == {"lock"}


def test_limits_hold(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    (big / "file").write_bytes(bytes(2 << 20))
    assert "1 MiB that are accepted" in tool.refused("install", big, "--max-mib", 1)
    many = tmp_path / "many"
    many.mkdir()
    for i in range(4099):
        (many / str(i)).touch()
    assert "more than the 4098 files" in tool.refused("install", many)


def test_a_bundle_of_as_many_files_as_one_may_list_is_installed(
    tool: Any, make: Callable[..., Path], key_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    full = shutil.copytree(make(1), tmp_path / "full")
    draft = open_bundle(full).manifest
    (full / "signature").unlink()
    (full / "more").mkdir()
    for i in range(4096 - len(draft.files)):
        (full / "more" / str(i)).touch()
    assert len(seal(full, draft).files) == 4096
    sign(full, key_pair[0])
    tool.done("install", full)
    tool.done("install", tool.tar(full, tmp_path / "full.tar"))
    assert tool.wanted() == tool.digest(full)


@pytest.mark.parametrize("compiler", ["cc", "clang"])
def test_memory_and_undefined_behaviour_are_sound(
    compiler: str,
    request: pytest.FixtureRequest,
    update_support: ModuleType,
    key_pair: tuple[Path, Path],
    make: Callable[..., Path],
    tmp_path: Path,
) -> None:
    built = request.getfixturevalue("sanitized" if compiler == "cc" else "sanitized_by_clang")
    tool = update_support.Tool(built=built, store=tmp_path.resolve() / "store", key=key_pair[1])
    tool.take(tool.tar(make(1), tmp_path / "1.tar"))
    tool.done("install", make(2))
    for command in ("boot", "status", "rollback", "boot", "confirm"):
        tool.done(command)
    (tool.store / "state").write_bytes(b"x" * 3000)
    tool.done("boot", "--lock-timeout", 1)
    tool.done("install", make(3))
    tool.damage(make(3))
    tool.done("boot")
    assert "--retry-rejected" in tool.refused("install", make(3))
    raw = (tool.store / "state").read_bytes()
    for length in range(0, len(raw), 7):
        (tool.store / "state").write_bytes(raw[:length])
        assert "damaged" in tool.refused("status")
    (tool.store / "state").write_bytes(raw)
    entries = entries_of(tmp_path / "1.tar")
    for words, craft in BAD_TARS.values():
        (tmp_path / "bad.tar").write_bytes(craft(entries))
        assert words in tool.refused("install", tmp_path / "bad.tar")
    raw = (tmp_path / "1.tar").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(raw)
        for place in random.integers(0, len(raw.rstrip(b"\0")), 3):
            broken[place] ^= 1 << int(random.integers(8))
        (tmp_path / "bad.tar").write_bytes(broken)
        assert tool.call("install", tmp_path / "bad.tar").returncode in (0, 1)  # a bit of a time or a mode harms nothing
