"""What an image may cost: files whose heads claim too much are refused in a moment, and others keep to a known memory."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageFile

import weckd_edge
from support.errors import raises
from weckd_edge.config.input import InputConfig
from weckd_edge.core.errors import ConfigError, DataError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.devices.images import decoding
from weckd_edge.devices.images.budget import Budget
from weckd_edge.devices.images.decoding import MAX_SIDE, decode, decode_bytes
from weckd_edge.devices.images.fitting import fit_to_frame
from weckd_edge.devices.images.headers import MAX_SCANS, MAX_VALUES
from weckd_edge.train.data.listing import ListedImage
from weckd_edge.train.data.scan import scan


def test_sides_are_bounded_as_the_c_library_and_the_settings_bound_them() -> None:
    header = Path(weckd_edge.__file__).resolve().parent.parent / "devices/firmware/include/weckd_edge.h"
    assert re.search(rf"#define WECKD_MAX_SIDE {MAX_SIDE}\b", header.read_text())
    InputConfig(frame=(MAX_SIDE, 16))
    with pytest.raises(ConfigError):
        InputConfig(frame=(MAX_SIDE + 1, 16))


def test_the_largest_sides_are_read_and_one_more_is_not(crafted: ModuleType) -> None:
    assert decode_bytes(crafted.png_of(1, MAX_SIDE)).shape == (MAX_SIDE, 1, 3)
    assert decode_bytes(crafted.png_of(MAX_SIDE, 1)).shape == (1, MAX_SIDE, 3)
    for width, height in ((1, MAX_SIDE + 1), (MAX_SIDE + 1, 1)):
        with raises(DataError, "E_DATA_IMAGE_LIMIT", says=(f"{width}", f"{height}", "8192")):
            decode_bytes(crafted.png_of(width, height))


@pytest.mark.parametrize(("kind", "most"), [("JPEG2000", 70), ("WEBP", 86)])
def test_formats_whose_decoders_take_more_memory_have_fewer_pixels(
    crafted: ModuleType, kind: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decoding.MAX_DECODING_BYTES == 768 << 20
    monkeypatch.setattr(decoding, "MAX_DECODING_BYTES", 12 * 100 * 100)
    assert decode_bytes(crafted.png_of(100, 100)).shape == (100, 100, 3)
    assert decode_bytes(crafted.encoded(Image.new("RGB", (most, most)), kind)).shape == (most, most, 3)
    with raises(DataError, "E_DATA_IMAGE_LIMIT", says=f"{kind}"):
        decode_bytes(crafted.encoded(Image.new("RGB", (most + 1, most + 1)), kind))


def test_a_picture_that_was_never_a_file_is_bounded_too() -> None:
    with raises(DataError, "E_DATA_IMAGE_LIMIT", says="8192"):
        fit_to_frame(np.zeros((MAX_SIDE + 1, 1, 3), np.uint8), 480, 640)


def test_tiles_of_a_tiff_are_no_larger_than_its_picture(crafted: ModuleType) -> None:
    assert decode_bytes(crafted.tiled(256)).shape == (64, 64, 3)
    assert decode_bytes(crafted.tiled(256, big=True)).shape == (64, 64, 3)
    for big in (False, True):
        with raises(DataError, "E_DATA_IMAGE_DAMAGED", says=("16000", "64")):
            decode_bytes(crafted.tiled(16_000, big=big))


def test_tags_of_a_tiff_hold_only_so_many_numbers(crafted: ModuleType) -> None:
    assert decode_bytes(crafted.strips(MAX_SIDE)).shape == (MAX_SIDE, 64, 3)
    for big in (False, True):
        with raises(DataError, "E_DATA_IMAGE_LIMIT", says=f"{MAX_VALUES + 1}"):
            decode_bytes(crafted.strips(MAX_VALUES + 1, big=big))


def orientation(crafted: ModuleType, *more: object) -> bytes:
    """EXIF data that turns a picture by a quarter."""
    found: bytes = crafted.tags([(0x112, crafted.SHORT, (6,)), *more])
    return found


def test_exif_is_read_wherever_it_is_kept(crafted: ModuleType) -> None:
    exif = orientation(crafted)
    wide = Image.new("RGB", (8, 4))
    for data in (
        crafted.png_with(crafted.png_chunk(b"eXIf", exif), wide),
        crafted.png_with(crafted.profile_chunk(b"Exif\0\0" + exif), wide),
        crafted.encoded(wide, "WEBP", exif=exif),
        crafted.encoded(wide, "JPEG", exif=b"Exif\0\0" + exif),
    ):
        assert decode_bytes(data).shape == (8, 4, 3)


def test_exif_that_would_cost_much_is_refused_wherever_it_is_kept(crafted: ModuleType) -> None:
    shared = crafted.shared(5000, 60_000)
    many = crafted.tags([(0x112, crafted.SHORT, (6,) * (MAX_VALUES + 1))])
    for exif, code in ((shared, "E_DATA_IMAGE_DAMAGED"), (many, "E_DATA_IMAGE_LIMIT")):
        for data in (
            crafted.png_with(crafted.png_chunk(b"eXIf", exif)),
            crafted.png_with(crafted.profile_chunk(b"Exif\0\0" + exif)),
            crafted.encoded(Image.new("RGB", (8, 4)), "WEBP", exif=exif),
            crafted.jpeg_with_exif(exif),
        ):
            with raises(DataError, code):
                decode_bytes(data)
    with raises(DataError, "E_DATA_IMAGE_DAMAGED"):
        decode_bytes(crafted.jpeg_with([(0xE2, b"MPF\0" + crafted.shared(2500, 30_000))]))
    with raises(DataError, "E_DATA_IMAGE_LIMIT", says=("1", "EXIF")):
        decode_bytes(crafted.jpeg_with_exif(bytes(2 << 20)))


def test_a_tag_that_points_beyond_its_exif_data_is_damage_and_no_reason_to_refuse(crafted: ModuleType) -> None:
    exif = bytearray(orientation(crafted, (0x10F, crafted.BYTE, (65,) * 40)))
    exif[-36:] = b""  # most of the maker's name is cut off
    data = crafted.png_with(crafted.png_chunk(b"eXIf", bytes(exif)), Image.new("RGB", (8, 4)))
    assert decode_bytes(data).shape in ((8, 4, 3), (4, 8, 3))


def test_a_jpeg_has_only_so_many_passes(crafted: ModuleType) -> None:
    assert decode_bytes(crafted.jpeg_of_scans(50)).shape == (64, 64, 3)
    with raises(DataError, "E_DATA_IMAGE_LIMIT", says="100"):
        decode_bytes(crafted.jpeg_of_scans(MAX_SCANS))


def test_what_follows_a_jpeg_or_lies_in_its_segments_counts_for_no_pass(crafted: ModuleType) -> None:
    """Phones append a film; makers keep small pictures in segments of their own."""
    like_scans = b"\xff\xda\x00\x02" * 500
    data = crafted.jpeg_with([(0xE5, like_scans)]) + like_scans
    assert decode_bytes(data).shape == (8, 8, 3)


def outcome(data: bytes) -> str:
    try:
        height, width = decode_bytes(data).shape[:2]
    except DataError as err:
        return str(err)
    return f"{width} x {height} pixels"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000"])
def test_cut_at_any_place_a_file_gives_pixels_or_a_reason(crafted: ModuleType, kind: str) -> None:
    noise = Image.effect_noise((24, 24), 90).convert("RGB")
    options = {"exif": orientation(crafted)} if kind in ("PNG", "JPEG", "TIFF", "WEBP") else {}
    data = crafted.encoded(noise, kind, **options)
    for length in range(0, len(data), max(1, len(data) // 60)):
        assert outcome(data[:length]) == "24 x 24 pixels" or "\n" not in outcome(data[:length])


def test_a_file_of_twenty_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(20 << 30)
    with raises(DataError, "E_FILE_LIMIT", says=("a.png", "256", "21474836480")):
        decode(tmp_path / "a.png")


def test_too_little_memory_is_a_reason_of_that_image(crafted: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    data = crafted.encoded(Image.new("RGB", (8, 8)))
    for owner, name in ((ImageFile.ImageFile, "load"), (Image, "open"), (decoding, "to_rgb")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, full)
            with raises(DataError, "E_DATA_IMAGE_LIMIT"):
                decode_bytes(data)


PEAK = """
import resource, sys
from pathlib import Path
from weckd_edge.devices.images.decoding import decode
from weckd_edge.devices.images.fitting import fit_to_frame
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sys.argv[1:]:
    fit_to_frame(decode(Path(name)), 480, 640)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_pixels_take_eight_bytes_each_while_they_are_decoded(crafted: ModuleType, tmp_path: Path) -> None:
    """Four of Pillow's, three of ours; of 16 bits a channel and of transparent ones no more."""
    height, width = 3000, 3000
    Image.fromarray(np.full((height, width), 1000, np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGBA", (width, height), (10, 20, 30, 40)).save(tmp_path / "clear.png")
    (tmp_path / "tall.png").write_bytes(crafted.png_of(1, MAX_SIDE))
    files = [str(tmp_path / name) for name in ("deep.png", "clear.png", "tall.png")]
    run = subprocess.run([sys.executable, "-c", PEAK, *files], capture_output=True, text=True, check=True)
    assert int(run.stdout) << 10 < 8 * height * width + (40 << 20)


def test_threads_hold_no_more_pixels_at_one_time_than_there_is_room_for(
    crafted: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, most, lock = 0, 0, threading.Lock()
    decode_whole = decoding._decode

    class Watched(Budget):
        def acquire(self, units: int, *, wait_s: float | None = None) -> bool:
            nonlocal held, most
            took = super().acquire(units, wait_s=wait_s)
            with lock:
                held += units
                most = max(most, held)
            return took

        def release(self, units: int) -> None:
            nonlocal held
            with lock:
                held -= units
            super().release(units)

    def slowly(*args: object) -> decoding.DecodedImage:
        threading.Event().wait(0.01)
        return decode_whole(*args)

    monkeypatch.setattr(decoding, "_memory_budget", Watched(12 * 2500))
    monkeypatch.setattr(decoding, "_decode", slowly)
    sides = [30, 50, 10, 40, 20, 50, 30, 30, 10, 10, 20, 60]
    for n, side in enumerate(sides):
        (tmp_path / f"{n:02d}.png").write_bytes(crafted.png_of(side, side))
    listed = [ListedImage(path=f"{n:02d}.png", label="a") for n in range(len(sides))]
    found = scan(tmp_path, listed, SilentProgress())
    assert [image.width for image in found.images] == sides
    assert most <= 12 * 60 * 60  # the one that is larger than the room was alone
    assert held == 0


def test_room_is_given_first_come_first_served_and_waiting_ends() -> None:
    room = Budget(10)
    assert room.acquire(4)
    assert not room.acquire(7, wait_s=0.01)
    waits = threading.Thread(target=room.acquire, args=(99,))
    waits.start()
    while room.acquire(1, wait_s=0):  # until the large one stands in the queue
        room.release(1)
    assert not room.acquire(1, wait_s=0.01)
    room.release(4)
    waits.join()
    assert not room.acquire(1, wait_s=0)
    room.release(99)
    with room.reserved(10):
        assert not room.acquire(1, wait_s=0)
    assert room.acquire(10, wait_s=0)
