"""What a file holds comes out as upright 8-bit RGB, and what is no image gives one short reason."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from support.errors import raises
from weckd_edge.artifacts import FrameSpec
from weckd_edge.core.errors import DataError
from weckd_edge.devices.images.area_resize import resize_area
from weckd_edge.devices.images.decoding import decode, decode_bytes
from weckd_edge.devices.images.fitting import cover_box, fit_to_frame
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.images.pixels import pixels_sha256

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_rgb_comes_out_as_it_is(tmp_path: Path) -> None:
    found = decode(save(tmp_path / "a.png", Image.fromarray(RGB)))
    assert found.dtype == np.uint8
    assert np.array_equal(found, RGB)


def test_grey_and_bilevel_are_repeated_on_all_channels(tmp_path: Path) -> None:
    grey = RGB[..., 0]
    assert np.array_equal(decode(save(tmp_path / "g.png", Image.fromarray(grey))), np.repeat(grey[..., None], 3, 2))
    bits = Image.fromarray((grey > 100).astype(np.uint8) * 255).convert("1")
    assert set(np.unique(decode(save(tmp_path / "b.png", bits)))) == {0, 255}


def test_alpha_lies_on_black(tmp_path: Path) -> None:
    alpha = np.full((4, 6, 1), 255, np.uint8)
    alpha[:, :3] = 0
    found = decode(save(tmp_path / "a.png", Image.fromarray(np.concatenate([RGB, alpha], 2))))
    assert not found[:, :3].any()
    assert np.array_equal(found[:, 3:], RGB[:, 3:])


def test_palette_with_transparent_colours_lies_on_black(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8)).convert("P")
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    path = save(tmp_path / "p.png", image, transparency=bytes([0, 255, 255]))
    assert decode(path).tolist() == [[[0, 0, 0], [0, 200, 0]], [[0, 200, 0], [0, 0, 200]]]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    for name in ("a.png", "a.tif"):
        assert decode(save(tmp_path / name, Image.fromarray(values)))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_float_pixels_are_refused(tmp_path: Path) -> None:
    with raises(DataError, "E_DATA_IMAGE_UNSUPPORTED", says=("8", "16")):
        decode(save(tmp_path / "f.tif", Image.fromarray(np.ones((2, 2), np.float32))))


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = save(tmp_path / "c.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=100)
    red, green, blue = decode(path)[4, 4].tolist()
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = 255  # a white corner at the top left
    undo = {1: 0, 2: 0, 3: 2, 4: 0, 5: None, 6: 1, 7: None, 8: 3}[orientation]
    stored = {
        2: upright[:, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
    }.get(orientation, np.rot90(upright, undo or 0))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "e.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    assert np.array_equal(decode(path), upright)


def test_damaged_exif_beside_whole_pixels_is_ignored(tmp_path: Path) -> None:
    path = save(tmp_path / "e.jpg", Image.fromarray(RGB), exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    assert decode(path).shape == RGB.shape


def jpeg() -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "code", "named"),
    [
        (b"", "E_DATA_IMAGE_DAMAGED", "0 bytes"),
        (b"just a text file", "E_DATA_IMAGE_FORMAT", "text"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "E_DATA_IMAGE_FORMAT", "PostScript"),
        (jpeg()[:1500], "E_DATA_IMAGE_DAMAGED", ()),
        (jpeg()[:30], "E_DATA_IMAGE_DAMAGED", ()),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, "E_DATA_IMAGE_FORMAT", "PNG"),
    ],
)
def test_what_is_no_image_has_a_short_reason(tmp_path: Path, data: bytes, code: str, named: tuple[str, ...] | str) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    with raises(DataError, code, says=named) as caught:
        decode(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_missing_files_folders_and_dead_links_have_a_reason(tmp_path: Path) -> None:
    (tmp_path / "dead").symlink_to(tmp_path / "gone")
    for name, code in (("none", "E_FILE_MISSING"), ("dead", "E_FILE_MISSING"), (".", "E_FILE_KIND")):
        with raises(DataError, code):
            decode(tmp_path / name)


@pytest.mark.parametrize(("width", "height"), [(9_248, 6_936), (1, 8193), (20_000, 20_000), (80_000_000, 1)])
def test_a_side_over_the_limit_is_refused_before_decoding(width: int, height: int) -> None:
    header = f"P6 {width} {height} 255\n".encode()
    with raises(DataError, "E_DATA_IMAGE_LIMIT"):
        decode_bytes(header + b"\x00" * 30)


def test_decoding_in_threads_raises_no_warning() -> None:
    data = jpeg()
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda _: pixels_sha256(decode_bytes(data)), range(64)))
    assert len(digests) == 1


def test_pixels_digest_tells_sizes_apart() -> None:
    assert pixels_sha256(RGB) != pixels_sha256(RGB.reshape(6, 4, 3))
    assert pixels_sha256(RGB[:, ::-1]) == pixels_sha256(RGB[:, ::-1].copy())


def test_fit_returns_the_right_size_untouched() -> None:
    assert fit_to_frame(RGB, 4, 6) is RGB


def test_fit_covers_the_frame_and_keeps_the_centre() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    assert fit_to_frame(wide, 20, 20).shape == (20, 20, 3)
    assert fit_to_frame(wide, 20, 20).min() == 200
    tall = wide.transpose(1, 0, 2)
    assert fit_to_frame(tall, 10, 10).min() == 200


sides = st.one_of(st.integers(1, 40), st.integers(1, 900))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(rows=sides, columns=sides, height=st.integers(1, 130), width=st.integers(1, 130))
def test_the_box_is_centred_and_has_the_frames_proportions_to_half_a_pixel(
    rows: int, columns: int, height: int, width: int
) -> None:
    top, left, high, wide = cover_box(rows, columns, height, width)
    assert high == rows or wide == columns
    assert 1 <= high <= rows
    assert 1 <= wide <= columns
    assert 0 <= (rows - high) - 2 * top <= 1
    assert 0 <= (columns - wide) - 2 * left <= 1
    short_by = abs(high * width - wide * height)  # in units of one pixel's width of the frame along the shortened side
    shortened = height if high == rows else width
    assert 2 * short_by <= shortened or (min(high, wide) == 1 and short_by < max(height, width))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows=st.integers(1, 300), columns=st.integers(1, 300), height=st.integers(1, 130), width=st.integers(1, 130))
def test_an_image_becomes_its_box_resized_by_area(rows: int, columns: int, height: int, width: int) -> None:
    image = np.random.default_rng(rows * 1000 + columns).integers(0, 256, (rows, columns, 3), np.uint8)
    top, left, high, wide = cover_box(rows, columns, height, width)
    expected = resize_area(image[top : top + high, left : left + wide].copy(), height, width)
    assert np.array_equal(fit_to_frame(image, height, width), expected)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 7), (7, 3), (97, 101)])
def test_fit_keeps_a_flat_colour(height: int, width: int) -> None:
    assert np.array_equal(
        fit_to_frame(np.full((5, 9, 3), 77, np.uint8), height, width), np.full((height, width, 3), 77, np.uint8)
    )


def test_frame_from_file_has_the_contracts_shape(tmp_path: Path) -> None:
    spec = FrameSpec(height=8, width=10, crop="center")
    frame = frame_from_file(save(tmp_path / "a.png", Image.fromarray(RGB)), spec)
    assert frame.shape == (1, 8, 10, 3)
    assert frame.dtype == np.uint8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_frame_from_file_is_contiguous_where_the_file_stores_the_picture_turned(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "e.png", Image.fromarray(RGB), exif=exif)
    height, width = decode(path).shape[:2]
    spec = FrameSpec(height=height, width=width, crop="center")
    frame = frame_from_file(path, spec)
    assert frame.flags.c_contiguous
    assert np.array_equal(frame[0], decode(path))
