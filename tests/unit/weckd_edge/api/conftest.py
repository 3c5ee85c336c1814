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
    """A current folder with a bundle, pictures, and labelled images of another site.

    ``ear-bundle``, ``owner.pub``, ``eardrum.png``, ``pictures/a.png`` and ``b.png``; ``other-site/images.csv`` names eight
    images of four patients, of which the network takes one effusion for normal.
    """
    shutil.copytree(FIXTURES / "bundle-v1", tmp_path / "ear-bundle")
    shutil.copy(FIXTURES / "bundle-v1.pub", tmp_path / "owner.pub")
    (tmp_path / "pictures").mkdir()
    for name, colour in (("eardrum", NORMAL), ("pictures/a", NORMAL), ("pictures/b", EFFUSION)):
        Image.new("RGB", (32, 24), colour).save(tmp_path / f"{name}.png")
    write_other_site(tmp_path / "other-site")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_other_site(folder: Path) -> None:
    folder.mkdir()
    rows = ["path,label,group,site"]
    for number in range(8):
        label = "normal" if number < 4 else "effusion"
        red, green, blue = EFFUSION if number > 4 else NORMAL
        Image.new("RGB", (32, 24), (red - number, green, blue)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{label},patient{number // 2},{'north' if number % 2 else 'south'}")
    (folder / "images.csv").write_text("\n".join([*rows, ""]), encoding="utf-8")
