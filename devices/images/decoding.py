"""Decode image files of any format and bit depth to uint8 RGB, upright, within a limit of memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from weckd_edge.artifacts import DataNote
from weckd_edge.core.errors import DataError, MissingDependency
from weckd_edge.core.files import read_bounded, through_stored_links
from weckd_edge.core.optional_imports import is_installed, require
from weckd_edge.devices.images.avif_headers import check_coded_size
from weckd_edge.devices.images.budget import Budget
from weckd_edge.devices.images.dicom.elements import is_dicom
from weckd_edge.devices.images.dicom.image import DicomImage, open_dicom
from weckd_edge.devices.images.file_kinds import HEAD_BYTES, describe_file, picture_kind_of
from weckd_edge.devices.images.headers import Claims, black_is_zero, check_file, check_tags
from weckd_edge.devices.images.notes import make_pixel_counter
from weckd_edge.devices.images.pixels import STORED, Pixels, to_rgb
from weckd_edge.devices.images.silence import silenced

MAX_SIDE = 8192
"""Longest side of an image, pixels, as in the C library (``WECKD_MAX_SIDE``); larger images are never decoded."""

MAX_FILE_BYTES = 256 << 20
"""Largest image file, bytes; the largest image, 3 bytes a pixel, takes 192 MiB where nothing is compressed."""

MAX_DECODING_BYTES = 12 * MAX_SIDE * MAX_SIDE
"""Memory that all threads together may take to decode images, bytes: the largest image of most formats."""

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF")
"""Pillow's names of the formats that are tried: pictures only, as Pillow would also start a PostScript interpreter."""

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".avif", ".heic", ".heif", ".hif", ".dcm", ".dicom"),
)
"""Suffixes of files in these formats and of DICOM, lower case."""

_STRIP_PIXELS = 1 << 20

_BYTES_A_PIXEL = 12
"""Most memory for a pixel while it is decoded, bytes, Pillow's copy and our own included, as it was measured."""

_MORE_BYTES_A_PIXEL = {"JPEG2000": 24, "WEBP": 16, "AVIF": 24, "HEIF": 22, "DICOM": 32}
"""Most memory for a pixel in formats whose decoders take more, bytes."""

_ORIENTATION = 0x0112
_memory_budget = Budget(MAX_DECODING_BYTES)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecodedImage:
    """An image after it was decoded.

    Attributes:
        pixels: uint8 ``[H, W, 3]``, as ``decode`` returns them.
        notes: Remarks on the image, such as that it is nearly of one colour.
    """

    pixels: Pixels
    notes: tuple[DataNote, ...]


def decode(path: Path) -> Pixels:
    """Read an image file.

    Args:
        path: JPEG, PNG, TIFF, BMP, WebP, GIF, PPM, JPEG 2000, AVIF, HEIC or DICOM; the first of several pages or frames is
            taken, and a DICOM of several frames is refused.

    Returns:
        uint8 ``[H, W, 3]``, RGB, with the EXIF orientation applied. Transparent parts lie on black; 16 bits a channel
        are scaled to 8, and fewer where a TIFF or PGM says that there are fewer.

    Raises:
        DataError: The file cannot be read as an image; the message is the path and a short reason.
    """
    try:
        return decode_bytes(read_image_file(path))
    except DataError as err:
        raise DataError(f"{path}: {err}", code=err.code) from err


def read_image_file(path: Path) -> bytes:
    """Return an image file's bytes.

    Raises:
        DataError: The file is not regular, is larger than ``MAX_FILE_BYTES``, or cannot be read; the message is a short
            reason that does not name the path.
    """
    return read_bounded(through_stored_links(path), at_most=MAX_FILE_BYTES, error=DataError)


def decode_bytes(data: bytes) -> Pixels:
    """Decode an image file's bytes to uint8 ``[H, W, 3]``, as ``decode`` does.

    Raises:
        DataError: The bytes cannot be read as an image; the message is a short reason.
    """
    with decoded_image(data) as found:
        return found.pixels


@contextmanager
def decoded_image(data: bytes) -> Iterator[DecodedImage]:
    """Decode an image file's bytes for a block of code, with remarks on the image.

    All threads together take no more than ``MAX_DECODING_BYTES`` at one time: the others wait. So no block may decode a
    second image.

    Raises:
        DataError: The bytes cannot be read as an image, or the block finds too little memory; the message is a short reason.
    """
    try:
        claims = _claims(data)
        image = _open(data, claims)
        with _memory_budget.reserved(_memory_of(image.format or "", *image.size)):
            found = _decode(image, claims)
            del image  # its own pixels are not needed any more
            yield found
    except MemoryError as err:
        raise DataError("needs more memory than there is", code="E_DATA_IMAGE_LIMIT") from err


def open_image(data: bytes) -> Image.Image:
    """Read an image file's head and leave its pixels undecoded.

    Raises:
        DataError: The bytes are no image, or claim more than an image may have; the message is a short reason.
    """
    return _open(data, _claims(data))


def _claims(data: bytes) -> Claims:
    if not data:
        raise DataError("empty file (0 bytes)", code="E_DATA_IMAGE_DAMAGED")
    return Claims() if is_dicom(data) else check_file(data)  # what comes before a DICOM may begin as a TIFF does


def _open(data: bytes, claims: Claims) -> Image.Image:
    image = open_dicom(data) if is_dicom(data) else _open_by_pillow(data, claims)
    check_size(image.format or "", image.width, image.height)
    if image.format == "AVIF":
        check_coded_size(data, *image.size)
    return image


def check_size(format_name: str, width: int, height: int) -> None:
    """Refuse a picture that is larger than an image may be, or whose decoding takes more memory than all images may.

    Args:
        format_name: Pillow's name of its format.
        width: Width by its head, pixels.
        height: Height by its head, pixels.

    Raises:
        DataError: The picture is too large; the message is a short reason.
    """
    if max(width, height) > MAX_SIDE:
        raise DataError(f"{width} x {height} pixels; a side may have {MAX_SIDE}, save it smaller", code="E_DATA_IMAGE_LIMIT")
    if _memory_of(format_name, width, height) > MAX_DECODING_BYTES:
        sides = f"{width} x {height} pixels of {format_name}"
        raise DataError(
            f"{sides} take more than {MAX_DECODING_BYTES >> 20} MiB; save it smaller, or as PNG", code="E_DATA_IMAGE_LIMIT"
        )


def _open_by_pillow(data: bytes, claims: Claims) -> Image.Image:
    head = data[:HEAD_BYTES]
    with silenced():
        Image.init()  # a Pillow may be built without one of them
    known = _decoders(head)
    try:
        with silenced():
            image: Image.Image = Image.open(io.BytesIO(black_is_zero(data) if claims.white_is_zero else data), formats=known)
    except UnidentifiedImageError as err:
        raise DataError(describe_file(head, claims), code="E_DATA_IMAGE_FORMAT") from err
    except Image.DecompressionBombError as err:
        raise DataError(
            f"too large; an image may have {MAX_SIDE} pixels a side, save it smaller", code="E_DATA_IMAGE_LIMIT"
        ) from err
    except MemoryError:
        raise
    except Exception as err:  # a decoder may raise anything on damaged bytes
        raise DataError(f"damaged header ({_brief(err)})", code="E_DATA_IMAGE_DAMAGED") from err
    return image


def _decoders(head: bytes) -> list[str]:
    """Return the formats to try; HEIC's decoder is another library, which is loaded where it is needed.

    Raises:
        DataError: The file is a picture whose format cannot be read here.
    """
    if head[4:8] == b"ftyp":
        kind = picture_kind_of(head)
        if kind == "AVIF":
            if "AVIF" not in Image.OPEN or not features.check("avif"):
                raise DataError(
                    "AVIF is not read here, as this Pillow is older than 11.3 or built without it; pip install -U pillow, "
                    "or convert it to JPEG or PNG",
                    code="E_DATA_IMAGE_UNSUPPORTED",
                )
            return ["AVIF"]
        if kind == "HEIC":
            _learn_heic()
            return ["HEIF"]
    if head.startswith(b"II*\0\x10\0\0\0CR"):  # a TIFF too, of which a decoder would take the small picture
        raise DataError(describe_file(head), code="E_DATA_IMAGE_FORMAT")
    return [name for name in FORMATS if name in Image.OPEN and name not in ("AVIF", "HEIF")]


def _learn_heic() -> None:
    advice = "pip install 'weckd-edge[heic]', or convert it to JPEG or PNG"
    if not is_installed("pillow_heif"):
        raise DataError(f"HEIC is not read here; {advice}", code="E_DATA_IMAGE_UNSUPPORTED")
    try:
        heif = require("pillow_heif", "read HEIC")
    except MissingDependency as err:
        raise DataError(
            f"HEIC is not read here, as pillow_heif is broken; {advice}", code="E_DATA_IMAGE_UNSUPPORTED"
        ) from err
    with silenced():
        if "HEIF" not in Image.OPEN:
            heif.register_heif_opener()


def _memory_of(format_name: str, width: int, height: int) -> int:
    """Return the most memory that a picture takes while it is decoded, bytes."""
    return width * height * _MORE_BYTES_A_PIXEL.get(format_name, _BYTES_A_PIXEL)


def _decode(image: Image.Image, claims: Claims) -> DecodedImage:
    """Return an image's upright pixels, made a strip of rows at a time, so that no second copy of all of them is held."""
    try:
        claimed = image.width * image.height
        several = claims.several or (image.format != "TIFF" and bool(getattr(image, "is_animated", False)))
        image.load()
        width, height = image.size
        if width * height > claimed:  # memory was asked for by what the head had said
            raise DataError(
                f"{width} x {height} pixels are more than its head claims: damaged or crafted", code="E_DATA_IMAGE_DAMAGED"
            )
        orientation = _orientation(image)
        upright = np.empty((width, height, 3) if orientation >= 5 else (height, width, 3), np.uint8)
        stored = STORED[orientation](upright)
        rows = max(1, _STRIP_PIXELS // width)
        counter = make_pixel_counter(width, height)
        for top in range(0, height, rows):
            strip = image.crop((0, top, width, min(top + rows, height)))
            stored[top : top + rows] = to_rgb(strip, image.format or "", claims, counter)
        own = image.notes if isinstance(image, DicomImage) else ()
        return DecodedImage(pixels=upright, notes=(*own, *counter.notes(several=several)))
    except (DataError, MemoryError):
        raise
    except Exception as err:
        raise DataError(f"damaged or cut short ({_brief(err)})", code="E_DATA_IMAGE_DAMAGED") from err


def _brief(err: Exception) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0][:80] or type(err).__name__


def _orientation(image: Image.Image) -> int:
    """Return an image's EXIF orientation, 1 to 8; 1 where there is none, or none that can be read.

    Raises:
        DataError: The image claims more EXIF data than it may have.
    """
    try:
        profile = image.info.pop("Raw profile type exif", None)  # how some programs keep it in a PNG: hexadecimal
        if profile is not None and "exif" not in image.info:
            image.info["exif"] = bytes.fromhex("".join(profile.split("\n")[3:]))
        check_tags(image.info.get("exif", b"").removeprefix(b"Exif\0\0"))
        with silenced():
            found = image.getexif().get(_ORIENTATION, 1)
    except (DataError, MemoryError):
        raise
    except Exception:  # damaged EXIF data beside whole pixels
        return 1
    return found if found in STORED else 1
