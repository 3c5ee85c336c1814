"""Pictures as they come: what each form is decoded to, and what is said where it shows nearly nothing."""

from __future__ import annotations

import contextlib
import io
import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, features

from support.errors import raises
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.devices.images import decoding
from weckd_edge.devices.images.decoding import decode_bytes, decoded_image
from weckd_edge.devices.images.file_kinds import file_kind_of, picture_kind_of
from weckd_edge.train.data.listing import ListedImage
from weckd_edge.train.data.scan import picture_notes, scan

ROW = np.array([0, 1000, 30000, 65535], np.uint16)


def tiff(
    order: str,
    values: bytes,
    *,
    bits: int,
    photometric: int,
    kind: int = 3,
    channels: int = 1,
    form: int = 1,
    width: int = 4,
) -> bytes:
    """Return a TIFF of one row; ``kind`` is how its photometric tag is written, ``form`` what its numbers are."""
    sign = "<" if order == "II" else ">"
    listed = [(256, 4, width), (257, 4, 1), (258, 3, bits), (259, 3, 1), (262, kind, photometric), (273, 4, 16)]
    listed += [(277, 3, channels), (278, 4, 1), (279, 4, len(values)), (339, 3, form)]
    head, more = struct.pack(f"{sign}H", len(listed)), b""
    after = 16 + len(values) + 2 + 12 * len(listed) + 4
    for tag, how, value in listed:
        if tag in (258, 339) and channels > 2:
            head += struct.pack(f"{sign}HHII", tag, 3, channels, after + len(more))
            more += struct.pack(f"{sign}{channels}H", *[value] * channels)
        else:
            head += struct.pack(f"{sign}HHI", tag, how, 1) + struct.pack(f"{sign}{ {3: 'H2x', 4: 'I'}[how] }", value)
    return struct.pack(f"{sign}2sHI8x", order.encode(), 42, 16 + len(values)) + values + head + bytes(4) + more


def packed(values: list[int], bits: int) -> bytes:
    text = "".join(f"{value:0{bits}b}" for value in values)
    return bytes(int(text[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(text), 8))


def grey_of(data: bytes) -> list[int]:
    pixels = decode_bytes(data)
    assert (pixels == pixels[..., :1]).all()
    return pixels[0, :, 0].tolist()


def notes_of(data: bytes) -> list[str]:
    with decoded_image(data) as found:
        return [note.code for note in found.notes]


@pytest.mark.parametrize("order", ["II", "MM"])
@pytest.mark.parametrize("kind", [3, 4])
def test_white_may_be_zero_in_any_depth(order: str, kind: int) -> None:
    deep = ROW.astype("<u2" if order == "II" else ">u2").tobytes()
    light = bytes([0, 4, 117, 255])
    two = packed([0, 1, 2, 3], 2)
    bit = packed([0, 1, 0, 1, 0, 0, 0, 0], 1)
    for values, bits, black in (
        (deep, 16, [0, 4, 117, 255]),
        (light, 8, [0, 4, 117, 255]),
        (two, 2, [0, 85, 170, 255]),
        (bit, 1, [0, 255, 0, 255]),
    ):
        assert grey_of(tiff(order, values, bits=bits, photometric=1, kind=kind)) == black
        assert grey_of(tiff(order, values, bits=bits, photometric=0, kind=kind)) == [255 - value for value in black]


def test_white_is_zero_in_compressed_files_too() -> None:
    picture = Image.effect_noise((40, 30), 90).convert("1")
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF", compression="group4", tiffinfo={262: 0})
    assert np.array_equal(decode_bytes(buffer.getvalue())[..., 0], np.asarray(picture.convert("L")))


def test_twelve_bits_that_are_declared_fill_the_range() -> None:
    values = packed([0, 1000, 2048, 4095], 12)
    assert grey_of(tiff("II", values, bits=12, photometric=1)) == [0, 62, 128, 255]
    assert grey_of(tiff("II", values, bits=12, photometric=0)) == [255, 193, 127, 0]
    assert grey_of(b"P5 4 1 4095\n" + np.array([0, 1000, 2048, 4095], ">u2").tobytes()) == [0, 62, 128, 255]
    assert grey_of(b"P5 4 1 65535\n" + ROW.astype(">u2").tobytes()) == [0, 4, 117, 255]


def test_colours_of_other_kinds_become_rgb() -> None:
    inks = bytes([0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 255, 255, 0, 0, 0])
    assert decode_bytes(tiff("II", inks, bits=8, photometric=5, channels=4)).tolist() == [
        [[255, 255, 255], [255, 0, 0], [0, 0, 0], [0, 255, 255]]
    ]
    luma = bytes([128, 128, 128, 200, 128, 128, 255, 128, 128, 0, 128, 128])
    with raises(DataError, "E_DATA_IMAGE_UNSUPPORTED"):
        decode_bytes(tiff("II", luma, bits=8, photometric=6, channels=3))
    coded = encoded(Image.new("YCbCr", (32, 32), (120, 90, 160)), "TIFF", compression="jpeg", quality=100)
    assert np.abs(decode_bytes(coded).astype(int) - np.array([165, 110, 53])).max() <= 4
    lab = bytes([0, 0, 0, 255, 0, 0, 128, 0, 0, 200, 0, 0])
    found = decode_bytes(tiff("II", lab, bits=8, photometric=8, channels=3))[0].astype(int)
    assert np.abs(found - np.array([0, 255, 119, 194])[:, None]).max() <= 2
    deep = np.array([0, 0, 0, 65535, 65535, 65535, 32768, 0, 0, 0, 0, 65535], np.uint16)
    assert decode_bytes(tiff("II", deep.tobytes(), bits=16, photometric=2, channels=3)).tolist() == [
        [[0, 0, 0], [255, 255, 255], [128, 0, 0], [0, 0, 255]]
    ]


@pytest.mark.parametrize(
    ("data", "code", "named"),
    [
        (tiff("II", bytes(16), bits=32, photometric=1, form=3), "E_DATA_IMAGE_UNSUPPORTED", "floating-point"),
        (tiff("II", bytes(8), bits=16, photometric=1, form=2), "E_DATA_IMAGE_UNSUPPORTED", "signed"),
        (tiff("II", bytes(16), bits=32, photometric=1), "E_DATA_IMAGE_UNSUPPORTED", "32-bit"),
        (
            tiff("MM", bytes(6), bits=12, photometric=1),
            "E_DATA_IMAGE_FORMAT",
            "12 bits",
        ),
        (tiff("II", bytes(8), bits=16, photometric=1, form=3), "E_DATA_IMAGE_FORMAT", "16 bits"),
    ],
)
def test_values_without_a_black_and_a_white_are_refused_by_what_they_are(data: bytes, code: str, named: str) -> None:
    with raises(DataError, code, says=named):
        decode_bytes(data)


def picture(top: int, kind: str, *, colour: bool = False) -> bytes:
    """Return a picture with values of 0 to ``top`` in a file of 16 bits a channel."""
    values = np.linspace(0, top, 64 * 48).round().astype(np.uint16).reshape(48, 64)
    if not colour:
        buffer = io.BytesIO()
        Image.fromarray(values).save(buffer, kind)
        return buffer.getvalue()
    import zlib

    rows = b"".join(b"\0" + np.repeat(row, 3).astype(">u2").tobytes() for row in values)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 64, 48, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    packs = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packs)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_few_bits_in_sixteen_are_pointed_out(bits: int, kind: str, colour: bool) -> None:
    data = picture((1 << bits) - 1, kind, colour=colour)
    assert notes_of(data) == ["W_FEW_BITS"]
    with decoded_image(data) as found:
        assert f"no value over {(1 << bits) - 1} of 65535 ({bits} bits in 16?): almost black" in found.notes[0].text


@pytest.mark.parametrize("top", [40_000, 65_535])
def test_a_range_that_is_used_is_not(top: int) -> None:
    for data in (picture(top, "PNG"), picture(top, "TIFF"), picture(top, "PNG", colour=True)):
        assert notes_of(data) == []


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)).convert(mode)


def test_transparency_that_hides_a_picture_is_pointed_out() -> None:
    for opacity in (0, 1, 100):
        hidden = noise("RGBA")
        hidden.putalpha(opacity)
        assert notes_of(encoded(hidden)) == ["W_HIDDEN_BY_TRANSPARENCY"]
    round_one = noise("RGBA")
    round_one.putalpha(Image.radial_gradient("L").resize((40, 30)).point(lambda v: 255 if v < 200 else 0))
    assert notes_of(encoded(round_one)) == []
    empty = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    assert notes_of(encoded(empty)) == ["W_NEARLY_ONE_VALUE"]


def test_a_picture_of_nearly_one_colour_is_pointed_out() -> None:
    flat = Image.new("RGB", (100, 100), (250, 20, 90))
    assert notes_of(encoded(flat)) == ["W_NEARLY_ONE_VALUE"]
    flat.paste((0, 0, 0), (0, 0, 7, 7))  # 0.49 % of it
    assert notes_of(encoded(flat)) == ["W_NEARLY_ONE_VALUE"]
    flat.paste((0, 0, 0), (0, 0, 8, 8))
    assert notes_of(encoded(flat)) == []
    assert notes_of(encoded(noise())) == []
    assert notes_of(encoded(noise("1"))) == []


def test_the_first_of_several_pictures_is_read_and_reported() -> None:
    first, second = noise(), Image.new("RGB", (40, 30), (9, 200, 9))
    kinds = [("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})]
    for kind, options in kinds:
        one = encoded(first, kind, **options)
        both = encoded(first, kind, save_all=True, append_images=[second], **options)
        assert notes_of(both) == ["I_FIRST_OF_SEVERAL"], kind
        assert notes_of(one) == []
        assert np.array_equal(decode_bytes(both), decode_bytes(one)), kind
    both = encoded(first, "MPO", save_all=True, append_images=[second])
    assert notes_of(both) == ["I_FIRST_OF_SEVERAL"]
    assert np.array_equal(decode_bytes(both), decode_bytes(encoded(first, "JPEG")))


def test_a_small_copy_beside_the_picture_is_no_further_page() -> None:
    both = encoded(noise(), "TIFF", save_all=True, append_images=[noise().resize((8, 6))])
    at = both.rindex(struct.pack("<HHII", 256, 4, 1, 8))  # the second list begins with the width; make room for its kind
    assert notes_of(both) == ["I_FIRST_OF_SEVERAL"]
    small = both[:at] + struct.pack("<HHII", 254, 4, 1, 1) + both[at + 12 :]
    assert notes_of(small) == []


def test_pages_that_go_in_circles_end() -> None:
    data = bytearray(encoded(noise(), "TIFF"))
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    data[start + 2 + 12 * count : start + 6 + 12 * count] = struct.pack("<I", start)
    assert decode_bytes(bytes(data)).shape == (30, 40, 3)


HEADS = {
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "DICOM": bytes(128) + b"DICM" + bytes(20),
    "DICOM without the 128 bytes and DICM before it": b"\x08\0\x05\0CS\x0a\0ISO_IR 100",
    "TGA": bytes([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 30, 0, 24, 0]) + bytes(90),
    "PSD (Photoshop)": b"8BPS\0\1" + bytes(30),
    "JPEG XL": b"\xff\x0a" + bytes(30),
    "ICO": b"\0\0\1\0\1\0\x10\x10" + bytes(30),
    "SVG": b'<?xml version="1.0"?>\n<svg width="3">',
    "OpenEXR": b"v/1\x01\2\0\0\0",
    "NIfTI": bytes(344) + b"n+1\0",
    "PDF": b"%PDF-1.7\n",
}


@pytest.mark.parametrize("kind", HEADS)
def test_pictures_that_are_not_read_are_called_by_their_format(kind: str) -> None:
    assert picture_kind_of(HEADS[kind]) == kind
    if kind not in ("HEIC", "DICOM"):
        with pytest.raises(DataError) as caught:
            decode_bytes(HEADS[kind])
        assert str(caught.value) == f"{kind} is not read; convert it to {'PNG' if 'DICOM' in kind else 'JPEG or PNG'}"


def test_raw_data_of_cameras_is_not_taken_for_its_small_picture(crafted: ModuleType) -> None:
    small = crafted.tags(
        [*crafted.RGB_8, (256, 4, (8,)), (257, 4, (1,)), (273, 4, (16,)), (279, 4, (24,)), (50706, 1, (1, 4, 0, 0))],
        pixels=bytes(24),
    )
    with raises(DataError, "E_DATA_IMAGE_UNSUPPORTED"):
        decode_bytes(small)
    with raises(DataError, "E_DATA_IMAGE_FORMAT", says="CR2"):
        decode_bytes(b"II*\0\x10\0\0\0CR\2\0" + bytes(90))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<!DOCTYPE html>\n<html><head>", "HTML"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
            "'git lfs pull'",
        ),
        (b"../.git/annex/objects/x", "text"),
        (b'{"error": 404}', "JSON"),
        ("Ärzte\n".encode(), "text"),
        ("text".encode("utf-16"), "text"),
        (b"PK\x03\x04" + bytes(30), "ZIP archive"),
        (b"\0\0\0\x18ftypmp42" + bytes(12), "film"),
        (b"RIFF\0\0\0\0AVI LIST", "film"),
        (bytes(5000), "zeros and nothing else"),
        (b"\0\x05\x16\x07\0\2\0\0Mac OS X", "file that macOS keeps"),
        (b"\x89HDF\r\n\x1a\n" + bytes(9), "HDF5"),
        (b"", "0 bytes"),
        (b"\x01\x02\x03\x80\x81\x90 nothing known", "unknown format"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "header"),
    ],
)
def test_files_that_are_no_pictures_are_called_what_they_are(data: bytes, said: str) -> None:
    code = "E_DATA_IMAGE_DAMAGED" if said in ("0 bytes", "header") else "E_DATA_IMAGE_FORMAT"
    with raises(DataError, code, says=said):
        decode_bytes(data)
    assert file_kind_of(b"") == "an empty file"


def test_heic_without_its_library_is_reported_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    with raises(DataError, "E_DATA_IMAGE_UNSUPPORTED", says="'weckd-edge[heic]'"):
        decode_bytes(HEADS["HEIC"])
    monkeypatch.delitem(sys.modules, "pillow_heif")
    (tmp_path / "pillow_heif.py").write_text("raise ImportError('libheif.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    with raises(DataError, "E_DATA_IMAGE_UNSUPPORTED", says="pillow_heif is broken"):
        decode_bytes(HEADS["HEIC"])


def smooth(mode: str = "RGB") -> Image.Image:
    cells = np.random.default_rng(0).integers(0, 256, (6, 8), np.uint8)
    return Image.fromarray(cells).resize((64, 48), Image.Resampling.BICUBIC).convert(mode)


def test_heic_is_read_with_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif", reason="HEIC is read by weckd-edge[heic]")
    buffer = io.BytesIO()
    heif.from_pillow(smooth()).save(buffer, quality=95)
    found = decode_bytes(buffer.getvalue())
    assert found.shape == (48, 64, 3)
    assert np.abs(found.astype(int) - np.asarray(smooth())).mean() < 8
    assert np.array_equal(found, decode_bytes(buffer.getvalue()))
    monkeypatch.setattr(decoding, "MAX_DECODING_BYTES", 1000)
    with raises(DataError, "E_DATA_IMAGE_LIMIT", says=("64", "48", "HEIF")):
        decode_bytes(buffer.getvalue())


def claiming(data: bytes, width: int, height: int) -> bytes:
    """Return an AVIF or HEIC that claims other sides than it has."""
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def test_heic_that_holds_more_than_it_claims_is_refused() -> None:
    heif = pytest.importorskip("pillow_heif", reason="HEIC is read by weckd-edge[heic]")
    buffer = io.BytesIO()
    heif.from_pillow(smooth().resize((640, 480))).save(buffer)
    with raises(DataError, "E_DATA_IMAGE_DAMAGED"):
        decode_bytes(claiming(buffer.getvalue(), 64, 48))


avif = pytest.mark.skipif(not hasattr(features, "check") or "avif" not in features.modules or not features.check("avif"),
                          reason="this Pillow reads no AVIF")  # fmt: skip


@avif
@pytest.mark.parametrize("options", [{}, {"subsampling": "4:4:4"}, {"subsampling": "4:0:0"}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_avif_is_read(options: dict[str, str], mode: str) -> None:
    found = decode_bytes(encoded(smooth(mode), "AVIF", quality=95, **options))
    assert found.shape == (48, 64, 3)
    assert np.abs(found.astype(int) - np.asarray(smooth())).mean() < 8


@avif
def test_avif_is_turned_as_it_says() -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    assert decode_bytes(encoded(smooth(), "AVIF", exif=exif)).shape == (64, 48, 3)


@avif
def test_avif_that_holds_more_than_it_claims_is_refused() -> None:
    data = encoded(smooth().resize((640, 480)), "AVIF")
    with raises(DataError, "E_DATA_IMAGE_DAMAGED", says=("640", "480", "64", "48")):
        decode_bytes(claiming(data, 64, 48))
    with raises(DataError, "E_DATA_IMAGE_UNSUPPORTED"):
        decode_bytes(encoded(smooth(), "AVIF", save_all=True, append_images=[smooth().rotate(90)]))


@avif
def test_avif_cut_or_changed_anywhere_gives_pixels_or_a_reason() -> None:
    data = encoded(smooth(), "AVIF")
    rng = np.random.default_rng(0)
    for _ in range(150):
        at = int(rng.integers(len(data)))
        for changed in (data[:at], data[:at] + bytes([int(rng.integers(256))]) + data[at + 1 :]):
            with contextlib.suppress(DataError):  # anything else fails the test
                assert decode_bytes(changed).ndim == 3


def test_an_old_pillow_says_that_it_reads_no_avif(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    with raises(DataError, "E_DATA_IMAGE_UNSUPPORTED", says="11.3"):
        decode_bytes(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1")


def test_a_scan_says_of_how_many(tmp_path: Path) -> None:
    for n in range(4):
        (tmp_path / f"{n}.png").write_bytes(picture(4095, "PNG") if n < 3 else encoded(noise()))
    (tmp_path / "4.png").write_bytes(encoded(Image.new("L", (40, 30))))
    found = scan(tmp_path, [ListedImage(path=f"{n}.png", label="a") for n in range(5)], SilentProgress())
    notes = picture_notes(found.images)
    assert [note.code for note in notes] == ["W_FEW_BITS", "W_NEARLY_ONE_VALUE"]
    assert notes[0].text.startswith("3 of 5 images have 16 bits a channel and use a quarter of that range or less")
    assert notes[0].text.endswith(
        "(0.png: 16 bits a channel, but no value over 4095 of 65535 (12 bits in 16?): almost black)"
    )
    assert notes[1].text.startswith("1 of 5 images are nearly of one colour")
