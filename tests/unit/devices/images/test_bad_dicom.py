"""DICOM files that hold no picture, or claim more than they hold: one line each, which names nobody."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support import crafted_dicom as made
from support.errors import raises
from weckd_edge.core import optional_imports
from weckd_edge.core.errors import DataError
from weckd_edge.devices.images import silence
from weckd_edge.devices.images.decoding import decode_bytes, decoded_image
from weckd_edge.devices.images.dicom import elements
from weckd_edge.devices.images.dicom.elements import MAX_HEADERS, MAX_INFLATED_BYTES
from weckd_edge.devices.images.dicom.image import open_head

pydicom = pytest.importorskip("pydicom")

HEADER = bytes(128) + b"DICM"


@pytest.fixture(autouse=True)
def _names_nobody(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No line and no log of any test here names the person in the files."""
    caplog.set_level(logging.DEBUG)
    yield
    printed = capfd.readouterr()
    for secret in (made.NAME, made.PATIENT, made.BORN):
        assert secret not in printed.out + printed.err + caplog.text
    assert not [record for record in caplog.records if record.name.startswith("pydicom") and record.levelno > logging.INFO]


def meta(syntax: str, body: bytes = b"") -> bytes:
    """Return a file whose first group names a transfer syntax alone, and what follows."""
    padded = syntax.encode() + b"\0" * (len(syntax) % 2)
    return HEADER + struct.pack("<HH2sH", 2, 0x10, b"UI", len(padded)) + padded + body


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    long = vr in (b"OB", b"OW", b"SQ", b"UN")
    head = (
        struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, len(value))
        if long
        else struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value))
    )
    return head + value


def shipped(name: str) -> bytes:
    """Return a file that lies in pydicom's own wheel."""
    path: Any = pydicom.data.get_testdata_file(name, download=False)
    return Path(path).read_bytes()


NO_PICTURES = {
    "a report": (shipped("test-SR.dcm"), "report"),
    "a plan": (shipped("rtplan.dcm"), "without pixels"),
    "a curve": (shipped("waveform_ecg.dcm"), "without pixels"),
    "an index of a disc": (shipped("DICOMDIR"), "DICOMDIR"),
    "a PDF": (
        made.dicom(None, SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1", EncapsulatedDocument=b"%PDF-1.7"),
        "PDF",
    ),
    "an image without pixels": (made.dicom(None), "without pixels"),
    "an image with none of them": (made.dicom(made.gradient(), PixelData=b""), "without pixels"),
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_dicom_that_is_no_picture_is_called_by_what_it_is(name: str) -> None:
    data, word = NO_PICTURES[name]
    with raises(DataError, "E_DATA_IMAGE_FORMAT", says=word):
        decode_bytes(data)


def floats() -> bytes:
    held = made.dataset(made.gradient(), BitsAllocated=32, BitsStored=32)
    del held.PixelData
    held.FloatPixelData = made.gradient().astype("<f4").tobytes()
    return made.saved(held)


UNREAD = {
    "1 bit": (shipped("liver_1frame.dcm"), "1 bit"),
    "32 bits": (shipped("SC_rgb_rle_32bit.dcm"), "32 bits"),
    "64 bits": (made.dicom(made.gradient(kind="u8")), "64 bits"),
    "floating point": (floats(), "floating-point"),
    "lossless JPEG": (shipped("SC_rgb_jpeg_gdcm.dcm"), "dcmdjpeg"),
    "JPEG of 12 bits": (shipped("JPGExtended.dcm"), "12 bits"),
    "a film": (made.saved(made.dataset(made.colours(), PixelData=made.encapsulated([b"\0\0\1\xba"])), made.MPEG), "film"),
    "a compression that nobody knows": (
        made.dicom(made.colours(), syntax=made.RLE).replace(made.RLE.encode() + b"\0", b"1.2.840.10008.9.9.9\0"),
        "compressed",
    ),
    "four values a pixel": (made.dicom(made.colours(), SamplesPerPixel=4), "4 values"),
    "unusual colours": (made.dicom(made.colours(), "HSV"), "unusual"),
    "a name in place of colours": (made.dicom(made.colours(), made.PATIENT), "unusual"),
    "values that begin at a higher bit": (made.dicom(made.gradient(kind="u2"), BitsStored=12, HighBit=15), "lowest bit"),
    "a palette in segments": (
        made.dicom(made.gradient(), "PALETTE COLOR", SegmentedRedPaletteColorLookupTableData=b"\0\0\0\0"),
        "segments",
    ),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_read_is_called_by_its_kind(name: str) -> None:
    data, words = UNREAD[name]
    with raises(DataError, "E_DATA_IMAGE_UNSUPPORTED", says=words):
        decode_bytes(data)


WHOLE = made.dicom(made.colours())


def jpeg(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, "JPEG")
    return buffer.getvalue()


def compressed(frame: bytes, syntax: str, pixels: Any = None, **options: Any) -> bytes:
    """Return a file whose one frame holds these bytes."""
    held = made.colours() if pixels is None else pixels
    return made.saved(made.dataset(held, PixelData=made.encapsulated([frame]), **options), syntax)


SIZE_OF_GIGABYTES = b"\xff\x4f\xff\x51" + struct.pack(">HH8IH", 47, 0, 60000, 60000, 0, 0, 60000, 60000, 0, 0, 3) + bytes(9)
RUNS = struct.pack("<16I", 1, 64, *[0] * 14)

DAMAGED = {
    "cut in its pixels": WHOLE[:-100],
    "cut in its header": WHOLE[:300],
    "a shorter length": made.dicom(made.colours(), PixelData=bytes(100)),
    "a longer length": made.dicom(made.colours(), PixelData=bytes(200_000)),
    "no transfer syntax": HEADER + element(0x00080060, b"CS", b"OT"),
    "no size": made.dicom(made.gradient(), Rows=0),
    "more bits stored than there are": made.dicom(made.gradient(), BitsStored=12, HighBit=11),
    "more frames than there are": made.dicom(made.gradient(), NumberOfFrames=1000),
    "no frames": made.dicom(made.gradient(), NumberOfFrames=0),
    "more frames than fragments": compressed(b"\xff\xd8", made.JPEG, NumberOfFrames=9),
    "compressed in name alone": made.dicom(made.colours()).replace(made.PLAIN.encode() + b"\0", b"1.2.840.10008.1.2.5\0"),
    "no JPEG": compressed(b"nothing ", made.JPEG),
    "a JPEG of another size": compressed(jpeg(4000), made.JPEG),
    "half a JPEG": compressed(jpeg(64)[:200], made.JPEG, Rows=64, Columns=64),
    "a JPEG 2000 of gigabytes": compressed(SIZE_OF_GIGABYTES, made.JPEG_2000),
    "run lengths of another number of planes": compressed(RUNS + b"\x81\0" * 99, made.RLE),
    "run lengths of megabytes": compressed(RUNS + b"\x81\0" * 100_000, made.RLE, made.gradient()),
    "run lengths that end too soon": compressed(RUNS + b"\x81\0", made.RLE, made.gradient()),
    "a palette that is missing": made.dicom(made.gradient(), "PALETTE COLOR"),
    "a rescale slope of 0": made.dicom(made.gradient(), RescaleSlope=0, RescaleIntercept=0),
    "deflated nonsense": meta(elements.DEFLATED, b"\xff" * 40),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_one_line(name: str) -> None:
    with raises(DataError, "E_DATA_IMAGE_DAMAGED") as caught:
        decode_bytes(DAMAGED[name])
    assert "\n" not in str(caught.value)


def deflated(body: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return meta(elements.DEFLATED, packer.compress(body) + packer.flush())


LARGE = {
    "deflated gigabytes": deflated(bytes(MAX_INFLATED_BYTES + 1000)),
    "a thousand million frames": made.dicom(made.gradient(), NumberOfFrames=10**9),
    "elements without end": meta(made.PLAIN, element(0x00090010, b"LO", b"") * (MAX_HEADERS + 1)),
    "one endless value": meta(made.PLAIN, element(0x00281201, b"OW", bytes((1 << 20) + 2))),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_claims_too_much_is_refused(name: str) -> None:
    with raises(DataError, "E_DATA_IMAGE_LIMIT"):
        decode_bytes(LARGE[name])


def test_sequences_in_sequences_without_end_are_damage() -> None:
    opened = struct.pack("<HH2sHI", 9, 1, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    with raises(DataError, "E_DATA_IMAGE_DAMAGED", says="sequences"):
        decode_bytes(meta(made.PLAIN, opened * 5000))


def test_numbers_of_the_header_never_reach_a_decoder_as_text() -> None:
    """Each text that describes pixels may hold a name; no message repeats it."""
    for tag, vr in (
        *((0x00280008, b"IS"), (0x00281050, b"DS"), (0x00281051, b"DS"), (0x00281052, b"DS"), (0x00281053, b"DS")),
        *((0x00281056, b"CS"), (0x00280004, b"CS")),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            held = made.dataset(made.gradient())
            value = made.NAME.encode()
            held[tag] = pydicom.dataelem.RawDataElement(pydicom.tag.Tag(tag), vr.decode(), len(value), value, 0, False, True)
            data = made.saved(held)
        try:
            with decoded_image(data) as found:
                said = " ".join(note.text for note in found.notes)
        except DataError as err:
            said = f"{err} {err.__cause__} {err.__context__ if not err.__suppress_context__ else ''}"
        assert made.NAME not in said


def test_without_the_library_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str, _package: str | None = None) -> Any:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    data = made.dicom(made.colours(), syntax=made.JPEG_LS)
    assert decode_bytes(data).shape == (64, 80, 3)
    with monkeypatch.context() as patched:
        patched.setattr(optional_imports.importlib, "import_module", absent)
        with raises(DataError, "E_DATA_IMAGE_UNSUPPORTED", says="pip install 'weckd-edge[dicom]'"):
            decode_bytes(data)
    monkeypatch.setattr("weckd_edge.devices.images.dicom.image.is_installed", lambda _module: False)
    with raises(DataError, "E_DATA_IMAGE_UNSUPPORTED", says="pip install 'weckd-edge[dicom]'"):
        decode_bytes(data)


def test_warnings_and_logs_of_a_decoder_stay_inside(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("pydicom.pixels")
    with silence.silenced("pydicom"):
        warnings.warn("a name", stacklevel=1)
        logger.error("a name")
    assert caplog.records == []
    logger.error("heard")
    assert [record.message for record in caplog.records] == ["heard"]
    caplog.clear()


def test_a_file_of_a_few_thousand_mutations_decodes_or_is_refused() -> None:
    """A few of them here; thousands were run once."""
    random = np.random.default_rng(7)
    for data in (made.dicom(made.gradient(8, 8)), made.dicom(made.gradient(8, 8), syntax=made.RLE)):
        for _ in range(150):
            changed = bytearray(data)
            for place in random.integers(132, len(data), random.integers(1, 6)):
                changed[place] = random.integers(256)
            with contextlib.suppress(DataError):
                assert decode_bytes(bytes(changed)).dtype == np.uint8


def test_a_head_that_stands_before_a_picture_of_another_kind_changes_nothing() -> None:
    """A DICOM may be a TIFF too, by the bytes before it."""
    both = b"II*\0" + struct.pack("<I", 8) + bytes(120) + WHOLE[128:]
    assert np.array_equal(decode_bytes(both), made.colours())
    assert open_head(io.BytesIO(both)).frames == 1
