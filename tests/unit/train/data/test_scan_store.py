"""What was read of an image is read again only where its file has changed; what is damaged or outdated never is believed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support import crafted_dicom as made
from support.errors import raises
from support.read_images import Notes, break_start, count_decoding, make_older
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import StoreError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.serialization import to_json
from weckd_edge.train.data.check import check_data
from weckd_edge.train.data.index import build_index
from weckd_edge.train.data.listing import list_images
from weckd_edge.train.data.reading import read_data
from weckd_edge.train.data.scan import ScannedImage, scan
from weckd_edge.train.data.scan_store import DATABASE, open_scan_store

CONFIG = DataConfig(labelled_fraction=0.3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of ten images, the first two of each class copies; one image is nearly of one colour."""
    for c, label in enumerate(("normal", "wax")):
        (tmp_path / "set" / label).mkdir(parents=True)
        for n in range(10):
            cells = np.random.default_rng(100 * c + max(n, 1)).integers(0, 255, (6, 6, 3), np.uint8)
            Image.fromarray(cells).resize((48, 40), Image.Resampling.BICUBIC).save(tmp_path / "set" / label / f"{n}.png")
    Image.new("RGB", (30, 30), (9, 9, 9)).save(tmp_path / "set" / "wax" / "flat.png")
    return tmp_path / "set"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the images that are decoded, as they are."""
    return count_decoding(monkeypatch)


def read(root: Path, cache: Path | None, progress: SilentProgress | None = None) -> tuple[ScannedImage, ...]:
    progress = progress or SilentProgress()
    with open_scan_store(cache, progress) as store:
        return scan(root, list_images(root), progress, store=store).images


def facts(images: tuple[ScannedImage, ...]) -> list[object]:
    return [(i.listed, i.sha256, i.pixels_sha256, i.width, i.height, i.picture_hash, i.two_levels, i.notes) for i in images]


def test_a_second_run_decodes_nothing_and_finds_the_same(folder: Path, tmp_path: Path, decoded: list[str]) -> None:
    plain = to_json(check_data(folder, CONFIG, SilentProgress()))
    first = to_json(check_data(folder, CONFIG, SilentProgress(), tmp_path / "cache"))
    assert len(decoded) == 42
    again = to_json(check_data(folder, CONFIG, SilentProgress(), tmp_path / "cache"))
    assert len(decoded) == 42
    assert plain == first == again
    assert "W_NEARLY_ONE_VALUE" in again
    assert facts(read(folder, tmp_path / "cache")) == facts(read(folder, None))


def test_an_index_is_made_of_what_a_check_read(folder: Path, tmp_path: Path, decoded: list[str]) -> None:
    def index(cache: Path | None) -> str:
        silent = SilentProgress()
        return to_json(build_index(folder, CONFIG, labelled_subsets=1, seed=2, skip_bad=False, progress=silent, cache=cache))

    plain = index(None)
    check_data(folder, CONFIG, SilentProgress(), tmp_path / "cache")
    decoded.clear()
    assert index(tmp_path / "cache") == plain
    assert decoded == []


def test_a_file_that_changed_is_read_again_and_one_that_is_gone_forgotten(
    folder: Path, tmp_path: Path, decoded: list[str]
) -> None:
    read(folder, tmp_path / "cache")
    decoded.clear()
    time = (folder / "wax" / "3.png").stat()
    Image.new("RGB", (31, 30), (200, 9, 9)).save(folder / "wax" / "3.png")
    os.utime(folder / "wax" / "3.png", ns=(time.st_atime_ns, time.st_mtime_ns))  # another size, the same time
    os.utime(folder / "wax" / "4.png", ns=(1, 1))  # the same size, another time
    (folder / "wax" / "5.png").unlink()
    found = read(folder, tmp_path / "cache")
    assert decoded == ["wax/3.png", "wax/4.png"]
    assert facts(found) == facts(read(folder, None))
    with sqlite3.connect(tmp_path / "cache" / DATABASE) as connection:
        kept = {row[0] for row in connection.execute("SELECT number FROM image")}
        assert {row[0] for row in connection.execute("SELECT number FROM thumbnail")} == kept
    connection.close()
    assert len(kept) == 20


def test_a_file_that_cannot_be_read_is_tried_again_each_time(folder: Path, tmp_path: Path, decoded: list[str]) -> None:
    (folder / "wax" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for _ in range(2):
        report = check_data(folder, CONFIG, SilentProgress(), tmp_path / "cache")
        assert [bad.path for bad in report.bad_files] == ["wax/bad.png"]
    assert decoded[21:] == ["wax/bad.png"] or decoded[22:] == ["wax/bad.png"]


def cut_off(place: Path) -> None:
    place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])


def without_tables(place: Path) -> None:
    place.unlink()
    sqlite3.connect(place).close()
    place.touch()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (break_start, "damaged"),
        (cut_off, "damaged"),
        (without_tables, "damaged"),
        (make_older, "another version"),
    ],
)
def test_a_store_that_cannot_be_trusted_is_removed_with_a_note(
    folder: Path, tmp_path: Path, decoded: list[str], damage: Callable[[Path], None], said: str
) -> None:
    first = read(folder, tmp_path / "cache")
    damage(tmp_path / "cache" / DATABASE)
    decoded.clear()
    notes = Notes()
    again = read(folder, tmp_path / "cache", notes)
    assert len(decoded) == 21
    assert facts(again) == facts(first)
    assert len(notes.notes) == 1
    assert said in notes.notes[0]
    assert DATABASE in notes.notes[0]


def test_a_row_that_was_altered_is_not_believed(folder: Path, tmp_path: Path, decoded: list[str]) -> None:
    first = read(folder, tmp_path / "cache")
    with sqlite3.connect(tmp_path / "cache" / DATABASE) as connection:
        connection.execute("UPDATE image SET width = 47 WHERE path = 'wax/2.png'")
    connection.close()
    decoded.clear()
    assert facts(read(folder, tmp_path / "cache")) == facts(first)
    assert decoded == ["wax/2.png"]


def test_a_thumbnail_that_was_altered_is_refused(folder: Path, tmp_path: Path) -> None:
    check_data(folder, CONFIG, SilentProgress(), tmp_path / "cache")
    with sqlite3.connect(tmp_path / "cache" / DATABASE) as connection:
        connection.execute("UPDATE thumbnail SET pictures = zeroblob(1796)")
    connection.close()
    with raises(StoreError, "E_STORE_DIGEST", says=DATABASE):
        check_data(folder, CONFIG, SilentProgress(), tmp_path / "cache")


def test_a_second_process_is_refused_while_the_first_reads(folder: Path, tmp_path: Path) -> None:
    with open_scan_store(tmp_path / "cache", SilentProgress()), raises(StoreError, "E_STORE_LOCKED", says="cache"):
        read(folder, tmp_path / "cache")
    assert len(read(folder, tmp_path / "cache")) == 21


def test_two_data_sets_in_one_store_do_not_mix(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for file in sorted(folder.rglob("*.png")):
        target = other / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes().replace(b"IEND", b"IEND"))
        os.utime(target, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    Image.new("RGB", (48, 40), (1, 2, 3)).save(other / "wax" / "flat.png")
    for root in (folder, other, folder, other):
        assert facts(read(root, tmp_path / "cache")) == facts(read(root, None))


KILLED = """
import os, sys
from pathlib import Path
from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.data import scan as module
from weckd_edge.train.data.check import check_data
from weckd_edge.config import DataConfig

module._BATCH = 4
decode, count = module._Reader._decode, [0]

def killed(own, one):
    count[0] += 1
    if one.path == "wax/3.png":
        os.kill(os.getpid(), 9)
    return decode(own, one)

module._Reader._decode = killed
check_data(Path(sys.argv[1]), DataConfig(), SilentProgress(), Path(sys.argv[2]))
"""


def test_a_run_that_was_killed_goes_on_where_it_was(folder: Path, tmp_path: Path, decoded: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(tmp_path / "cache")], check=False)
    assert done.returncode == -9
    assert facts(read(folder, tmp_path / "cache")) == facts(read(folder, None))
    assert decoded[:9] == [f"wax/{n}.png" for n in (2, 3, 4, 5, 6, 7, 8, 9, "flat")]
    assert len(decoded) == 9 + 21


def test_what_stands_for_a_patient_is_read_again_and_never_kept(tmp_path: Path, decoded: list[str]) -> None:
    pytest.importorskip("pydicom")
    for c, label in enumerate(("normal", "wax")):
        (tmp_path / "set" / label).mkdir(parents=True)
        for n in range(4):
            data = made.dicom(made.colours(seed=10 * c + n), patient=f"MRN-{c}{n % 2}")
            (tmp_path / "set" / label / f"{n}.dcm").write_bytes(data)
    config = DataConfig(dicom_group="PatientID", near_duplicate_distance=None)

    def groups() -> list[str | None]:
        with open_scan_store(tmp_path / "cache", SilentProgress()) as store:
            return [one.listed.group for one in read_data(tmp_path / "set", SilentProgress(), config, store).images]

    first = groups()
    assert len(set(first)) == 4
    decoded.clear()
    assert groups() == first
    assert decoded == []
    written = b"".join(file.read_bytes() for file in (tmp_path / "cache").iterdir())
    assert b"MRN-" not in written
    assert b"PatientID" not in written


def test_a_full_disk_is_reported_in_one_line(folder: Path, tmp_path: Path) -> None:
    with open_scan_store(tmp_path / "cache", SilentProgress()) as store:
        pages = store._own._connection.execute("PRAGMA page_count").fetchone()[0]
        store._own._connection.execute(f"PRAGMA max_page_count = {pages}")
        with raises(StoreError, "E_STORE_NO_SPACE", says=DATABASE):
            scan(folder, list_images(folder), SilentProgress(), store=store)


def test_a_file_that_may_not_grow_is_reported_as_a_full_disk(folder: Path, tmp_path: Path) -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); "
        "from weckd_edge.cli.main import main; "
        f"main(['data', 'check', {str(folder)!r}, '--cache', {str(tmp_path / 'cache')!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "error[E_STORE_NO_SPACE]" in done.stderr
