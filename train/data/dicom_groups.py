"""Groups of images by an attribute of their DICOM headers, such as the patient: numbered, so that no value is kept."""

from __future__ import annotations

import hashlib
import itertools
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
    """Join the groups that the CSV names by the values in the headers.

    All images of one value come into one group, and with them all of the groups that the CSV puts them in. A group is named
    as the CSV names it; where the CSV names none, or examinations alone, by a number, in the order of the first images.

    Args:
        path: The data set, for messages.
        images: Images, sorted by path.
        keyword: Keyword of the attribute that was read.

    Returns:
        The images with their groups, and notes.

    Raises:
        ConfigError: No image has the attribute.
    """
    grouped = [image for image in images if image.header_group]
    if not grouped:
        raise ConfigError(
            f"{path}: no image has {keyword} in a DICOM header; leave dicom_group (--dicom-group) out",
            code="E_CONFIG_OPTION_UNUSED",
        )
    joined = _join(images)
    given = dict[str, int]()
    for image, number in zip(images, joined, strict=True):
        if image.listed.group is not None and image.listed.group != image.listed.exam:
            given.setdefault(image.listed.group, number)
    names = {number: name for name, number in reversed(given.items())}
    valued = dict.fromkeys(number for image, number in zip(images, joined, strict=True) if image.header_group)
    text = f"{keyword} in the DICOM headers of {counted(len(grouped), 'image')} makes {counted(len(valued), 'group')}"
    joining = f"; it joins {len(given)} groups of the CSV to {len(names)}" if len(names) < len(given) else ""
    notes = [note("I_DICOM_GROUPS", f"{text}, numbered where the CSV names none; its values are kept nowhere{joining}")]
    taken = {image.listed.group for image in images}
    free = (name for count in itertools.count(1) if (name := f"{keyword} {count}") not in taken)
    names |= {number: next(free) for number in valued if number not in names}
    if len(grouped) < len(images):
        without = counted(len(images) - len(grouped), "image has", "images have")
        notes.append(
            note(
                "W_NO_DICOM_GROUP", f"{without} no {keyword} in a DICOM header: nothing tells which of them belong together"
            )
        )
    return tuple(
        replace(image, listed=replace(image.listed, group=names.get(number, image.listed.group)), header_group="")
        for image, number in zip(images, joined, strict=True)
    ), notes


def _join(images: Sequence[ScannedImage]) -> list[int]:
    """Return the number of each image's set: images of one group of the CSV, or of one value, are in the same."""
    above = list(range(len(images)))

    def top(at: int) -> int:
        while above[at] != at:
            above[at] = above[above[at]]
            at = above[at]
        return at

    first: dict[tuple[str, str], int] = {}
    for at, image in enumerate(images):
        for kind, name in (("group", image.listed.group), ("value", image.header_group)):
            if name:
                above[top(at)] = top(first.setdefault((kind, name), at))
    return [top(at) for at in range(len(images))]
