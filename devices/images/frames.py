"""Image files as camera frames: whatever the file holds, out comes uint8 RGB, upright, rows first."""

from __future__ import annotations

import hashlib
import io
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features

from weckd_edge.artifacts import DataNote, FrameSpec
from weckd_edge.core.errors import DataError, MissingDependency
from weckd_edge.core.files import read_bounded, through_stored_links
from weckd_edge.core.optional_imports import is_installed, require
from weckd_edge.devices.images.avif_headers import check_coded_size
from weckd_edge.devices.images.budget import Budget
from weckd_edge.devices.images.file_kinds import HEAD_BYTES, file_kind_of, picture_kind_of
from weckd_edge.devices.images.headers import Claims, black_is_zero, check_file, check_tags
from weckd_edge.devices.images.notes import PixelCounter, make_pixel_counter

MAX_SIDE = 8192
"""Pixels that a side of an image may have, as in the C library (``WECKD_MAX_SIDE``); larger ones are never decoded."""

MAX_FILE_BYTES = 256 << 20
"""Larger files are refused unread; the largest image, 3 bytes a pixel, takes 192 MiB where nothing is compressed."""

MAX_DECODING_BYTES = 12 * MAX_SIDE * MAX_SIDE
"""Memory that images may take while they are decoded, all threads together: the largest one of most formats."""

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF")
"""Formats that are tried: pictures only (Pillow would also start a PostScript interpreter)."""

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".avif", ".heic", ".heif", ".hif"),
)
"""How files of these formats are called, lower case."""

Pixels = NDArray[np.uint8]

_STRIP_PIXELS = 1 << 20
_BYTES_A_PIXEL = 12
_MORE_BYTES_A_PIXEL = {"JPEG2000": 24, "WEBP": 16, "AVIF": 24, "HEIF": 22}
"""What decoders take for a pixel at most, Pillow's and our own copy included, as it was measured."""
_ORIENTATION = 0x0112
_BEGINNINGS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"RIFF", "WebP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
)

_STORED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: upright.transpose(1, 0, 2)[::-1],
    7: lambda upright: upright.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda upright: upright.transpose(1, 0, 2)[:, ::-1],
}
"""An upright picture seen in the rows and columns that the file stores it in, by EXIF orientation."""

_NO_CLAIMS = Claims()
_opening = threading.Lock()
_memory_budget = Budget(MAX_DECODING_BYTES)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecodedImage:
    """An image after it was decoded.

    Attributes:
        pixels: uint8 ``[H, W, 3]``, as ``decode`` returns them.
        notes: What is worth saying of it.
    """

    pixels: Pixels
    notes: tuple[DataNote, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Framed:
    """An image as a camera frame.

    Attributes:
        frame: uint8 ``[1, height, width, 3]``, contiguous.
        notes: What is worth saying of the image.
    """

    frame: Pixels
    notes: tuple[DataNote, ...]


def decode(path: Path) -> Pixels:
    """Read an image file.

    Args:
        path: JPEG, PNG, TIFF, BMP, WebP, GIF, PPM, JPEG 2000, AVIF or HEIC; of several pages or frames the first is taken.

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
        DataError: It is no regular file, it has more than ``MAX_FILE_BYTES``, or it cannot be read; a short reason that
            does not name the path.
    """
    return read_bounded(through_stored_links(path), at_most=MAX_FILE_BYTES, error=DataError)


def decode_bytes(data: bytes) -> Pixels:
    """Decode an image file's bytes to uint8 ``[H, W, 3]``, as ``decode`` does.

    Raises:
        DataError: With a short reason.
    """
    with decoded_image(data) as found:
        return found.pixels


@contextmanager
def decoded_image(data: bytes) -> Iterator[DecodedImage]:
    """Decode an image file's bytes for a block of code, as ``decode`` does, and look at what comes out.

    All threads together take no more than ``MAX_DECODING_BYTES`` at one time: the others wait. So no block decodes a
    second image.

    Raises:
        DataError: With a short reason; also where the block finds too little memory.
    """
    try:
        claims = _claims(data)
        image = _open(data, claims)
        with _memory_budget.reserved(_memory_of(image)):
            found = _decode(image, claims)
            del image  # its own pixels are not needed any more
            yield found
    except MemoryError as err:
        raise DataError("needs more memory than there is", code="E_DATA_IMAGE_LIMIT") from err


def open_image(data: bytes) -> Image.Image:
    """Read an image file's head and leave its pixels undecoded.

    Raises:
        DataError: With a short reason: it is no image, or it claims more than an image may have.
    """
    return _open(data, _claims(data))


def _claims(data: bytes) -> Claims:
    if not data:
        raise DataError("empty file (0 bytes)", code="E_DATA_IMAGE_DAMAGED")
    return check_file(data)


def _open(data: bytes, claims: Claims) -> Image.Image:
    head = data[:HEAD_BYTES]
    with _no_warnings():
        Image.init()  # a Pillow may be built without one of them
    known = _decoders(head)
    try:
        with _no_warnings():
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
    if max(image.size) > MAX_SIDE:
        raise DataError(
            f"{image.width} x {image.height} pixels; a side may have {MAX_SIDE}, save it smaller", code="E_DATA_IMAGE_LIMIT"
        )
    if image.format == "AVIF":
        check_coded_size(data, *image.size)
    if _memory_of(image) > MAX_DECODING_BYTES:
        sides = f"{image.width} x {image.height} pixels of {image.format}"
        raise DataError(
            f"{sides} take more than {MAX_DECODING_BYTES >> 20} MiB; save it smaller, or as PNG", code="E_DATA_IMAGE_LIMIT"
        )
    return image


def _decoders(head: bytes) -> list[str]:
    """Return the formats to try; the decoder of HEIC is another library, which is asked for where it is needed.

    Raises:
        DataError: It is a picture whose format cannot be read here.
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
    with _opening:
        if "HEIF" not in Image.OPEN:
            heif.register_heif_opener()


def begins_as_picture(head: bytes) -> bool:
    """Tell whether a file's first bytes are those of a picture, also of one that cannot be read here."""
    return _beginning(head) is not None or picture_kind_of(head) not in (None, "TGA")  # a TGA has no mark of its own


def describe_file(head: bytes, claims: Claims = _NO_CLAIMS) -> str:
    """Say what a file is that no decoder takes.

    Args:
        head: Its first ``HEAD_BYTES``, or all of it.
        claims: What its head says of its values.
    """
    begins = _beginning(head)
    if begins == "TIFF" and (claims.bits not in (1, 8) or claims.numbers):
        numbers = f"{claims.numbers} " if claims.numbers else ""
        return f"a TIFF of {numbers}values of {claims.bits} bits in this form is not read; save it as PNG of 8 or 16 bits"
    picture = picture_kind_of(head)
    if picture is not None:
        return f"{picture} is not read; convert it to {'PNG' if picture == 'DICOM' else 'JPEG or PNG'}"
    kind = file_kind_of(head) if begins in ("WebP", "BMP", None) else None
    if kind is not None:
        return f"not an image but {kind}"
    return f"damaged header (it begins as {begins} does)" if begins else "not an image (unknown format)"


def _beginning(head: bytes) -> str | None:
    return next((name for beginning, name in _BEGINNINGS if head.startswith(beginning)), None)


def _memory_of(image: Image.Image) -> int:
    """Return the bytes that an image takes while it is decoded, at most."""
    return image.width * image.height * _MORE_BYTES_A_PIXEL.get(image.format or "", _BYTES_A_PIXEL)


def _decode(image: Image.Image, claims: Claims) -> DecodedImage:
    """Return an image's upright pixels, made a strip of rows at a time, so that no second form of all of them is held."""
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
        stored = _STORED[orientation](upright)
        rows = max(1, _STRIP_PIXELS // width)
        counter = make_pixel_counter(width, height)
        for top in range(0, height, rows):
            strip = image.crop((0, top, width, min(top + rows, height)))
            stored[top : top + rows] = _to_rgb(strip, image.format or "", claims, counter)
        return DecodedImage(pixels=upright, notes=counter.notes(several=several))
    except (DataError, MemoryError):
        raise
    except Exception as err:
        raise DataError(f"damaged or cut short ({_brief(err)})", code="E_DATA_IMAGE_DAMAGED") from err


@contextmanager
def _no_warnings() -> Iterator[None]:
    # Filters belong to the whole process, hence the lock; headers are quick, pixels are decoded outside of it.
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _brief(err: Exception) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0][:80] or type(err).__name__


def _orientation(image: Image.Image) -> int:
    """Return what EXIF says of how an image was held, 1 to 8; 1 where it says nothing, or nothing that can be read.

    Raises:
        DataError: It claims more than EXIF data may.
    """
    try:
        profile = image.info.pop("Raw profile type exif", None)  # how some programs keep it in a PNG: hexadecimal
        if profile is not None and "exif" not in image.info:
            image.info["exif"] = bytes.fromhex("".join(profile.split("\n")[3:]))
        check_tags(image.info.get("exif", b"").removeprefix(b"Exif\0\0"))
        with _no_warnings():
            found = image.getexif().get(_ORIENTATION, 1)
    except (DataError, MemoryError):
        raise
    except Exception:  # damaged EXIF data beside whole pixels
        return 1
    return found if found in _STORED else 1


def _to_rgb(image: Image.Image, format_name: str, claims: Claims, counter: PixelCounter) -> Pixels:
    if image.mode.startswith("I;16") or (image.mode == "I" and format_name in ("PNG", "PPM")):
        is_short = format_name == "TIFF" and 8 < claims.bits < 16  # such as 12 bits, packed
        top = (1 << claims.bits) - 1 if is_short else 65535
        values = np.asarray(image).astype(np.int32).clip(0, top)
        grey = ((2 * 255 * (top - values if claims.white_is_zero else values) + top) // (2 * top)).astype(np.uint8)
        counter.add(grey, largest=None if is_short else int(values.max()))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        numbers = claims.numbers or ("floating-point" if image.mode == "F" else "32-bit")
        raise DataError(
            f"{numbers} values, whose black and white nobody says; scale them to 8 or 16 bits a channel",
            code="E_DATA_IMAGE_UNSUPPORTED",
        )
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        counter.add_transparent(np.asarray(image))
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    pixels = np.asarray(image.convert("RGB"))
    if claims.white_is_zero:
        pixels = 255 - pixels
    # Of 16 bits in colour, the higher byte alone is read.
    counter.add(pixels, largest=int(pixels.max()) * 256 + 255 if claims.bits == 16 else None)
    return pixels


def pixels_sha256(image: Pixels) -> str:
    """Return the digest of an image's size and pixels: equal for copies, whatever the file around them.

    Args:
        image: uint8 ``[H, W, 3]``.
    """
    digest = hashlib.sha256(f"{image.shape[0]}x{image.shape[1]}:".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def fit_to_frame(image: Pixels, height: int, width: int) -> Pixels:
    """Bring an image to a frame's size: scaled to cover it, then the centre kept.

    Args:
        image: uint8 ``[H, W, 3]``, at most ``MAX_SIDE`` pixels a side.
        height: Pixels.
        width: Pixels.

    Returns:
        uint8 ``[height, width, 3]``; the very same array where the size is right already.

    Raises:
        DataError: The image or the frame has a longer side.
    """
    rows, columns = image.shape[:2]
    if max(rows, columns, height, width) > MAX_SIDE:
        raise DataError(
            f"{columns} x {rows} pixels for {width} x {height}; a side may have {MAX_SIDE}", code="E_DATA_IMAGE_LIMIT"
        )
    if (rows, columns) == (height, width):
        return image
    scale = max(height / rows, width / columns)
    wide, high = width / scale, height / scale
    left, top = (columns - wide) / 2, (rows - high) / 2
    box = (max(0.0, left), max(0.0, top), min(float(columns), left + wide), min(float(rows), top + high))
    # Along the rows first, then along the columns: which of them Pillow takes first in one call depends on its version and
    # on the shape, and a grey level here and there depends on that. Rows that no pixel of the frame is made from are left
    # black above and left out below; they are not cut off above, as the weights of the others depend on their numbers.
    reach = max(1.0, (box[3] - box[1]) / height) + 1
    first, last = max(0, math.floor(box[1] - reach)), min(rows, math.ceil(box[3] + reach))
    used = Image.fromarray(image[first:last])
    narrow = Image.new("RGB", (width, last))
    narrow.paste(
        used.resize((width, last - first), Image.Resampling.BILINEAR, box=(box[0], 0, box[2], last - first)), (0, first)
    )
    scaled = narrow.resize((width, height), Image.Resampling.BILINEAR, box=(0, box[1], width, box[3]))
    return np.array(scaled, dtype=np.uint8)


def frame_from_file(path: Path, spec: FrameSpec) -> Pixels:
    """Read an image file as the camera frame a model expects.

    Returns:
        uint8 ``[1, height, width, 3]``, contiguous, as every runner takes it.

    Raises:
        DataError: The file cannot be read as an image.
    """
    try:
        return frame_of(read_image_file(path), spec).frame
    except DataError as err:
        raise DataError(f"{path}: {err}", code=err.code) from err


def frame_of(data: bytes, spec: FrameSpec) -> Framed:
    """Decode an image file's bytes to the camera frame a model expects, and look at the whole image.

    Raises:
        DataError: With a short reason that does not name the file.
    """
    with decoded_image(data) as found:
        return Framed(frame=frame_from_pixels(found.pixels, spec), notes=found.notes)


def frame_from_pixels(image: Pixels, spec: FrameSpec) -> Pixels:
    """Bring decoded pixels to the camera frame a model expects.

    Args:
        image: uint8 ``[H, W, 3]``, RGB, at most ``MAX_SIDE`` pixels a side.
        spec: Size of the camera frame.

    Returns:
        uint8 ``[1, height, width, 3]``, contiguous.

    Raises:
        DataError: A side has more than ``MAX_SIDE`` pixels.
    """
    return np.ascontiguousarray(fit_to_frame(image, spec.height, spec.width)[None])
