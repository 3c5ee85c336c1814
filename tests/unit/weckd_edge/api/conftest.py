"""The kept bundle as a user has it: in the current folder, beside a few pictures."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

FIXTURES = Path(__file__).parents[3] / "fixtures"
NORMAL, EFFUSION = (200, 160, 130), (255, 0, 0)
"""Colours of which the kept bundle's network predicts these labels."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with ``ear-bundle``, ``owner.pub``, ``eardrum.png``, and ``pictures/a.png`` and ``b.png``."""
    shutil.copytree(FIXTURES / "bundle-v1", tmp_path / "ear-bundle")
    shutil.copy(FIXTURES / "bundle-v1.pub", tmp_path / "owner.pub")
    (tmp_path / "pictures").mkdir()
    for name, colour in (("eardrum", NORMAL), ("pictures/a", NORMAL), ("pictures/b", EFFUSION)):
        Image.new("RGB", (32, 24), colour).save(tmp_path / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path
