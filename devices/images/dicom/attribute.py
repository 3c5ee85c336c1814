"""One attribute of a DICOM header that a user asks for by name, and what of a file may be told by a digest."""

from __future__ import annotations

import io

from weckd_edge.core.errors import ConfigError, did_you_mean
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.images.dicom.elements import Place, is_dicom, read_elements
from weckd_edge.devices.images.dicom.head import read_place

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


def bytes_to_name(data: bytes) -> bytes:
    """Return the bytes of an image file that a digest may stand for: of a DICOM file, its pixels alone.

    With a digest of the whole file, who has the pixels could try names and dates of birth until it fits.

    Args:
        data: Bytes of a file that was read as an image.
    """
    if not is_dicom(data):
        return data
    found = read_elements(io.BytesIO(data), ())
    return read_place(found.file, found.pixels.place if found.pixels else Place(0, 0))
