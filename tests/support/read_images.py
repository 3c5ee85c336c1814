"""What tests of read images share: what was noted, which images were decoded, and ways to spoil a database of them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.data import scan


class Notes(SilentProgress):
    """Keeps what is noted and what is warned of."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def count_decoding(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that takes the path of each image that is decoded from now on."""
    paths: list[str] = []
    decode = scan._Reader._decode
    monkeypatch.setattr(scan._Reader, "_decode", lambda own, one: paths.append(one.path) or decode(own, one))
    return paths


def break_start(place: Path) -> None:
    """Let a database begin with other bytes."""
    place.write_bytes(b"no database" + place.read_bytes()[11:])


def make_older(place: Path) -> None:
    """Let a database be of another version."""
    with sqlite3.connect(place) as connection:
        connection.execute("UPDATE about SET version = 'older'")
    connection.close()
