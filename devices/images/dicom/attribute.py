"""What is read of a DICOM header beside its pixels: an attribute that a user names, whether there are several frames."""

from __future__ import annotations

import hashlib
import io
from typing import BinaryIO

from weckd_edge.core.errors import ConfigError, DataError, did_you_mean
from weckd_edge.core.optional_imports import require
from weckd_edge.core.store import sha256_bytes
from weckd_edge.devices.images.dicom.elements import Place, is_dicom, read_elements
from weckd_edge.devices.images.dicom.head import FRAMES, count_frames, read_place

_PART = 1 << 20
_USUAL = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber", "StudyID", "FrameOfReferenceUID")


def tag_of(keyword: str) -> int:
    """Return the number of an attribute, by its keyword in the standard, such as ``PatientID``.

    Raises:
        ConfigError: There is no attribute of this keyword.
        MissingDependency: pydicom is not installed.
    """
    tag: int | None = require("pydicom.datadict", "find an attribute of DICOM").tag_for_keyword(keyword)
    if tag is None:
        raise ConfigError(
            f"dicom_group = '{keyword}': expected the keyword of a DICOM attribute, such as {', '.join(_USUAL[:3])}"
            f"{did_you_mean(keyword, _USUAL)}",
            code="E_CONFIG_CHOICE",
        )
    return tag


def attribute_of(data: bytes, tag: int) -> bytes:
    """Return the value of an attribute as a file's header writes it; empty where it has none, and of other files.

    Args:
        data: Bytes of a file that was read as an image.
        tag: Number of the attribute.
    """
    if not is_dicom(data):
        return b""
    value = read_elements(io.BytesIO(data), (tag,)).elements.values.get(tag)
    return b"" if value is None else value.data.strip(b"\0 ")


def has_several_frames(file: BinaryIO) -> bool:
    """Tell whether a DICOM file holds several frames by its header; one that cannot be read holds none."""
    try:
        source = read_elements(file, (FRAMES,))
        return source.pixels is not None and count_frames(source) > 1
    except DataError:
        return False


def image_sha256(data: bytes) -> str:
    """Return the digest by which an image file is recorded; of a DICOM file, that of its pixels alone.

    With a digest of the whole file, who has the pixels could try names and dates of birth until it fits.

    Args:
        data: Bytes of a file that was read as an image.
    """
    return pixel_sha256(io.BytesIO(data)) if is_dicom(data) else sha256_bytes(data)


def pixel_sha256(file: BinaryIO) -> str:
    """Return the digest of a DICOM file's pixels as they are stored.

    Raises:
        DataError: The file is damaged; the message is a short reason.
    """
    found = read_elements(file, ())
    at, stop = found.pixels.place if found.pixels else (0, 0)
    digest = hashlib.sha256()
    while at < stop:
        digest.update(read_place(found.file, Place(at, min(stop, at + _PART))))
        at += _PART
    return digest.hexdigest()
