"""Groups of images by an attribute of their DICOM headers, such as the patient: numbered, so that no value is kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from weckd_edge.artifacts import DataNote
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.images.dicom.attribute import attribute_of, tag_of
from weckd_edge.train.data.listing.notes import counted, note
from weckd_edge.train.data.scan import ScannedImage


@dataclass(frozen=True, kw_only=True, slots=True)
class HeaderGroups:
    """Reader of the attribute that groups images.

    Attributes:
        keyword: Keyword of the attribute, such as ``PatientID``.
        tag: Number of the attribute.
        key: Key of the digests that stand for its values while the images are read; it is forgotten with this object.
    """

    keyword: str
    tag: int
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def read(self, data: bytes) -> str:
        """Return a digest of the value in a file's header, by this object's key; empty where there is none.

        Args:
            data: Bytes of a file that was read as an image.
        """
        value = attribute_of(data, self.tag)
        return hashlib.blake2b(value, key=self.key).hexdigest() if value else ""


def make_header_groups(keyword: str) -> HeaderGroups:
    """Return the reader of an attribute, by its keyword.

    Raises:
        ConfigError: There is no attribute of this keyword.
        MissingDependency: pydicom is not installed.
    """
    return HeaderGroups(keyword=keyword, tag=tag_of(keyword))


def number_groups(
    path: Path, images: Sequence[ScannedImage], keyword: str
) -> tuple[tuple[ScannedImage, ...], list[DataNote]]:
    """Name the groups of images by numbers, in the order of their first images; a group that the CSV names stays.

    Args:
        path: The data set, for messages.
        images: Images, sorted by path.
        keyword: Keyword of the attribute that was read.

    Returns:
        The images with their groups, and notes.

    Raises:
        ConfigError: No image has the attribute.
    """
    numbers: dict[str, str] = {}
    for image in images:
        if image.header_group:
            numbers.setdefault(image.header_group, f"{keyword} {len(numbers) + 1}")
    if not numbers:
        raise ConfigError(
            f"{path}: no image has {keyword} in a DICOM header; leave dicom_group (--dicom-group) out",
            code="E_CONFIG_OPTION_UNUSED",
        )
    grouped = [image for image in images if image.header_group]
    text = f"{keyword} in the DICOM headers of {counted(len(grouped), 'image')} makes {counted(len(numbers), 'group')}"
    notes = [note("I_DICOM_GROUPS", f"{text}, which are numbered; its values are kept nowhere")]
    if len(grouped) < len(images):
        without = counted(len(images) - len(grouped), "image has", "images have")
        notes.append(
            note(
                "W_NO_DICOM_GROUP", f"{without} no {keyword} in a DICOM header: nothing tells which of them belong together"
            )
        )
    return tuple(_in_group(image, numbers.get(image.header_group)) for image in images), notes


def _in_group(image: ScannedImage, group: str | None) -> ScannedImage:
    listed = image.listed if image.listed.group or group is None else replace(image.listed, group=group)
    return replace(image, listed=listed, header_group="")
