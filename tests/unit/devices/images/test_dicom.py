"""Pixels of DICOM files: what pydicom makes of them, scaled to 8 bits once, whatever they are stored as."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from support import crafted_dicom as made
from support.errors import raises
from weckd_edge.core.errors import DataError
from weckd_edge.devices.images.decoding import decode_bytes, decoded_image, open_image
from weckd_edge.devices.images.dicom.head import frames_of
from weckd_edge.devices.images.dicom.image import decode_frame, open_head

pydicom = pytest.importorskip("pydicom")

GREY_FILES = (
    *("MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_expb.dcm", "MR_small_implicit.dcm"),
    *("MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm", "693_J2KI.dcm"),
    *("CT_small.dcm", "J2K_pixelrep_mismatch.dcm", "ExplVR_BigEnd.dcm", "JPEGLSNearLossless_08.dcm"),
    *("JPEGLSNearLossless_16.dcm", "examples_overlay.dcm", "image_dfl.dcm"),
)
COLOUR_FILES = (
    *("SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_dcmtk_+eb+cy+n1.dcm", "SC_rgb_dcmtk_+eb+cy+n2.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm"),
    *("SC_rgb_dcmtk_+eb+cy+s2.dcm", "SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_gdcm_KY.dcm", "SC_rgb_jls_lossy_line.dcm"),
    *("SC_rgb_jls_lossy_sample.dcm", "SC_rgb_jpeg.dcm", "SC_rgb_jpeg_app14_dcmd.dcm", "SC_rgb_jpeg_dcmtk.dcm"),
    *("SC_rgb_jpeg_lossy_gdcm.dcm", "SC_rgb_rle.dcm", "SC_rgb_rle_16bit.dcm", "SC_rgb_small_odd.dcm"),
    *("SC_rgb_small_odd_big_endian.dcm", "SC_rgb_small_odd_jpeg.dcm", "SC_ybr_full_422_uncompressed.dcm"),
    *("examples_jpeg2k.dcm", "examples_palette.dcm", "examples_rgb_color.dcm", "SC_jpeg_no_color_transform.dcm"),
)


def shipped(name: str) -> bytes:
    """Return a file that lies in pydicom's own wheel."""
    path: Any = pydicom.data.get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not in the wheel of pydicom {pydicom.__version__}")
    return Path(path).read_bytes()


def by_pydicom(data: bytes) -> NDArray[np.uint8]:
    """Return a file's pixels as pydicom makes them, scaled to 8 bits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = pydicom.dcmread(io.BytesIO(data))
        stored = read.pixel_array
        if read.PhotometricInterpretation == "PALETTE COLOR":
            stored = pydicom.pixels.apply_color_lut(stored, read)
            return scaled(stored / (256**stored.dtype.itemsize - 1))
        if read.SamplesPerPixel == 3:
            return scaled(stored / (2**read.BitsStored - 1))
        shown = pydicom.pixels.apply_voi_lut(pydicom.pixels.apply_modality_lut(stored, read), read).astype(float)
    least = -(2 ** (read.BitsStored - 1)) if read.PixelRepresentation else 0
    slope, intercept = read.get("RescaleSlope", 1), read.get("RescaleIntercept", 0)
    low, high = (value * slope + intercept for value in (least, least + 2**read.BitsStored - 1))
    if "ModalityLUTSequence" in read:
        low, high = 0, 2 ** read.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    if "VOILUTSequence" in read:
        low, high = 0, 2 ** read.VOILUTSequence[0].LUTDescriptor[2] - 1
    grey = scaled((shown - low) / (high - low))
    if read.PhotometricInterpretation == "MONOCHROME1":
        grey = 255 - grey
    return np.repeat(grey[..., None], 3, axis=-1)


def scaled(fractions: NDArray[Any]) -> NDArray[np.uint8]:
    return np.floor(fractions.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def codes(data: bytes) -> list[str]:
    with decoded_image(data) as found:
        return [note.code for note in found.notes]


@pytest.mark.parametrize("name", [*GREY_FILES, *COLOUR_FILES])
def test_pixels_are_those_of_pydicom(name: str) -> None:
    data = shipped(name)
    assert np.array_equal(decode_bytes(data), by_pydicom(data))


GREYS = {
    "8 bits": ({}, made.gradient()),
    "8 bits, white is 0": ({"PhotometricInterpretation": "MONOCHROME1"}, made.gradient()),
    "12 of 16 bits": ({"BitsStored": 12}, made.gradient(top=4095, kind="u2")),
    "16 bits": ({}, made.gradient(top=65535, kind="u2")),
    "window": ({"WindowCenter": 2000, "WindowWidth": 1500, "BitsStored": 12}, made.gradient(top=4095, kind="u2")),
    "first of two windows": (
        {"WindowCenter": [900, 3000], "WindowWidth": [300, 99], "BitsStored": 12},
        made.gradient(top=4095, kind="u2"),
    ),
    "window, white is 0": (
        {"WindowCenter": 90, "WindowWidth": 30, "PhotometricInterpretation": "MONOCHROME1"},
        made.gradient(),
    ),
    "window of width 1": ({"WindowCenter": 90, "WindowWidth": 1}, made.gradient()),
    "sigmoid": ({"WindowCenter": 90, "WindowWidth": 30, "VOILUTFunction": "SIGMOID"}, made.gradient()),
    "exactly linear": ({"WindowCenter": 90, "WindowWidth": 30, "VOILUTFunction": "LINEAR_EXACT"}, made.gradient()),
    "rescaled": (
        {"RescaleSlope": 2, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 400, "BitsStored": 12},
        made.gradient(top=4095, kind="u2"),
    ),
    "negative values": ({"WindowCenter": -100, "WindowWidth": 900}, made.gradient(kind="i2", top=4000) - 2000),
    "negative values of 12 bits without a window": ({"BitsStored": 12}, made.gradient(kind="i2", top=4000) - 2000),
}


@pytest.mark.parametrize("name", GREYS)
def test_greys_are_scaled_to_8_bits_once_by_the_window(name: str) -> None:
    options, pixels = GREYS[name]
    data = made.dicom(pixels, **options)
    found = decode_bytes(data)
    assert np.array_equal(found, by_pydicom(data))
    assert len(np.unique(found)) > 1


def table(count: int, first: int, bits: int) -> Any:
    item = pydicom.Dataset()
    item.add_new(0x00283002, "US", [count % 65536, first, bits])
    values = np.linspace((1 << bits) - 1, 0, count).astype("<u2")
    item.add_new(0x00283006, "OW", values.tobytes())
    return item


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_greys_are_made_by_the_tables_of_the_header(bits: int) -> None:
    pixels = made.gradient(top=4095, kind="u2")
    shown = made.dicom(pixels, BitsStored=12, VOILUTSequence=[table(2048, 1000, bits)], WindowCenter=5, WindowWidth=9)
    assert np.array_equal(decode_bytes(shown), by_pydicom(shown))
    rescaled = made.dicom(
        pixels, BitsStored=12, ModalityLUTSequence=[table(4096, 0, bits)], WindowCenter=500, WindowWidth=300
    )
    # Of other depths than 16 bits, pydicom 3.0 cannot read this table.
    real = np.linspace((1 << bits) - 1, 0, 4096).astype(int)[pixels]
    assert np.array_equal(decode_bytes(rescaled)[..., 0], scaled((real - 499.5) / 299 + 0.5))


def test_a_table_of_8_bits_with_4096_entries_is_used_whole() -> None:
    item = pydicom.Dataset()
    item.add_new(0x00283002, "US", [4096, 0, 8])
    item.add_new(0x00283006, "OW", np.linspace(0, 255, 4096).astype(np.uint8).tobytes())
    data = made.dicom(made.gradient(top=4095, kind="u2"), BitsStored=12, VOILUTSequence=[item])
    assert np.array_equal(
        decode_bytes(data)[..., 0], np.linspace(0, 255, 4096).astype(np.uint8)[made.gradient(top=4095, kind="u2")]
    )


def test_a_palette_of_16_bits_becomes_colours() -> None:
    options: dict[str, Any] = {}
    for n, colour in enumerate(("Red", "Green", "Blue")):
        options[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        options[f"{colour}PaletteColorLookupTableData"] = np.roll(np.arange(256) * 257, 40 * n).astype("<u2").tobytes()
    data = made.dicom(made.gradient(), "PALETTE COLOR", **options)
    found = decode_bytes(data)
    assert np.array_equal(found, by_pydicom(data))
    assert not np.array_equal(found[..., 0], found[..., 1])


@pytest.mark.parametrize("syntax", [made.PLAIN, made.IMPLICIT, made.DEFLATED, made.RLE, made.JPEG_LS, made.JPEG_2000])
def test_colours_are_the_same_however_they_are_stored(syntax: str) -> None:
    pixels = made.colours()
    assert np.array_equal(decode_bytes(made.dicom(pixels, syntax=syntax)), pixels)
    deep = pixels.astype("u2") << 4 | pixels >> 4
    assert np.array_equal(decode_bytes(made.dicom(deep, syntax=syntax, BitsStored=12)), pixels)


def test_colours_in_planes_and_of_jpeg_are_read() -> None:
    pixels = made.colours()
    planes = made.dataset(pixels, PlanarConfiguration=1, PixelData=pixels.transpose(2, 0, 1).tobytes())
    assert np.array_equal(decode_bytes(made.saved(planes)), pixels)
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG", quality=95)
    data = made.saved(made.dataset(pixels, "YBR_FULL_422", PixelData=made.encapsulated([jpeg.getvalue()])), made.JPEG)
    assert np.array_equal(decode_bytes(data), by_pydicom(data))
    assert np.abs(decode_bytes(data).astype(int) - decode_bytes(jpeg.getvalue())).max() <= 2


def test_a_note_names_what_made_greys() -> None:
    deep = made.gradient(top=4095, kind="u2")
    assert codes(made.dicom(made.gradient())) == []
    assert codes(made.dicom(made.colours())) == []
    assert codes(made.dicom(deep, BitsStored=12)) == ["W_NO_WINDOW"]
    assert codes(made.dicom(deep, BitsStored=12, WindowCenter=2000, WindowWidth=4000)) == ["I_GREYS_BY_WINDOW"]
    assert codes(made.dicom(deep, BitsStored=12, VOILUTSequence=[table(4096, 0, 12)])) == ["I_GREYS_BY_WINDOW"]


@pytest.mark.parametrize("width", ["", "0", "-4", "nan", made.NAME])
def test_a_window_that_cannot_be_one_is_none(width: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made_of = made.dataset(made.gradient(top=4095, kind="u2"), BitsStored=12)
        made_of.add(pydicom.dataelem.RawDataElement(pydicom.tag.Tag(0x00281050), "DS", 4, b"2000", 0, False, True))
        value = width.encode() + b" " * (len(width) % 2)
        made_of.add(pydicom.dataelem.RawDataElement(pydicom.tag.Tag(0x00281051), "DS", len(value), value, 0, False, True))
        data = made.saved(made_of)
    assert codes(data) == ["W_NO_WINDOW"]


def test_the_header_is_read_before_any_pixel() -> None:
    image = open_image(made.dicom(made.colours(), syntax=made.JPEG_2000))
    assert (image.size, image.mode, image.format) == ((80, 64), "RGB", "DICOM")
    tall = made.dataset(made.gradient(9000, 2))
    with raises(DataError, "E_DATA_IMAGE_LIMIT", says="9000"):
        open_image(made.saved(tall))
    wide = made.dataset(made.gradient(10, 10), Rows=8000, Columns=8000, PixelData=made.encapsulated([b"\xff\xd8\xff"]))
    with raises(DataError, "E_DATA_IMAGE_LIMIT", says="MiB"):
        open_image(made.saved(wide, made.JPEG))


@pytest.mark.parametrize("syntax", [made.PLAIN, made.RLE, made.JPEG_LS])
def test_each_frame_of_several_has_its_own_pixels_and_the_file_is_no_single_image(syntax: str) -> None:
    pixels = np.stack([made.colours(seed=seed) for seed in range(3)])
    data = made.dicom(pixels, syntax=syntax)
    with raises(DataError, "E_DATA_IMAGE_FRAMES", says="3 frames"):
        decode_bytes(data)
    head = open_head(io.BytesIO(data))
    encoded = list(frames_of(head)) or [None] * 3
    assert len(encoded) == 3
    for n, one in enumerate(encoded):
        assert np.array_equal(decode_frame(head, n, one)[0], pixels[n])


def test_fragments_are_put_together_to_frames_with_a_table_of_offsets_and_without() -> None:
    pixels = np.stack([made.colours(seed=seed) for seed in range(3)])
    jpegs = []
    for frame in pixels:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG")
        jpegs.append(buffer.getvalue() + b"\0" * (buffer.tell() % 2))
    for has_table in (True, False):
        value = pydicom.encaps.encapsulate(jpegs, fragments_per_frame=4, has_bot=has_table)
        head = open_head(io.BytesIO(made.saved(made.dataset(pixels, "YBR_FULL_422", PixelData=value), made.JPEG)))
        assert [one.rstrip(b"\0") for one in frames_of(head)] == [one.rstrip(b"\0") for one in jpegs]


def test_the_window_of_a_frame_comes_before_that_of_all_and_of_the_file() -> None:
    def group(centre: int, width: int) -> Any:
        window, outer = pydicom.Dataset(), pydicom.Dataset()
        window.WindowCenter, window.WindowWidth = centre, width
        outer.FrameVOILUTSequence = [window]
        return outer

    pixels = np.stack([made.gradient(top=4095, kind="u2")] * 2)
    shared = made.dataset(
        pixels, BitsStored=12, WindowCenter=9, WindowWidth=9, SharedFunctionalGroupsSequence=[group(1000, 500)]
    )
    head = open_head(io.BytesIO(made.saved(shared)))
    once = made.dicom(pixels[0], BitsStored=12, WindowCenter=1000, WindowWidth=500)
    assert np.array_equal(decode_frame(head, 1, None)[0], decode_bytes(once)[..., 0])
    shared.PerFrameFunctionalGroupsSequence = [group(1, 1), group(3000, 700)]
    head = open_head(io.BytesIO(made.saved(shared)))
    once = made.dicom(pixels[0], BitsStored=12, WindowCenter=3000, WindowWidth=700)
    assert np.array_equal(decode_frame(head, 1, None)[0], decode_bytes(once)[..., 0])
