"""Open every listed file once: digests, size, and the small pictures that near-duplicate search compares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weckd_edge.artifacts import BadFile, DataNote, ImageRecord, Split
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import Progress
from weckd_edge.devices.images.decoding import decoded_image, read_image_file
from weckd_edge.devices.images.dicom.attribute import image_sha256
from weckd_edge.devices.images.notes import summarize_notes
from weckd_edge.devices.images.pixels import pixels_sha256
from weckd_edge.train.data.content import is_two_levels
from weckd_edge.train.data.listing import ListedImage, utf8_path

GREY_SIDE = 32
COLOUR_SIDE = 16


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScannedImage:
    """Image after it was decoded.

    Attributes:
        listed: Path and label.
        sha256: Digest of the file; of a DICOM file, of its pixels as they are stored.
        pixels_sha256: Digest of size and RGB pixels.
        width: Width, pixels.
        height: Height, pixels.
        grey: Whole image in grey, squeezed by area averaging, uint8 ``[32, 32]``.
        colour: Whole image in colour, squeezed by area averaging, uint8 ``[16, 16, 3]``.
        two_levels: Whether it has one or two grey levels, as a mask has.
        notes: Remarks on the picture.
        header_group: What stands for the attribute of its header that groups images, in this run; empty without one.
    """

    listed: ListedImage
    sha256: str
    pixels_sha256: str
    width: int
    height: int
    grey: NDArray[np.uint8]
    colour: NDArray[np.uint8]
    two_levels: bool = False
    notes: tuple[DataNote, ...] = ()
    header_group: str = ""

    def record(self, *, label: int, group: str, split: Split, subset: int | None = None) -> ImageRecord:
        """Return the image as the index keeps it.

        Args:
            label: Class, as a place in the index's labels.
            group: Group, which a split must never cut.
            split: Part of the split that the image is used in.
            subset: Index of the labelled subset that it belongs to; None where its label is not used in training.
        """
        return ImageRecord(
            path=self.listed.path,
            label=label,
            group=group,
            split=split,
            labelled_subset=subset,
            sha256=self.sha256,
            pixels_sha256=self.pixels_sha256,
            width=self.width,
            height=self.height,
            published_split=self.listed.published_split,
            exam=self.listed.exam,
            time_s=self.listed.time_s,
            attributes=self.listed.attributes,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """Data set after it was decoded.

    Attributes:
        images: Readable images, sorted by path.
        bad_files: Files that cannot be read, sorted by path.
    """

    images: tuple[ScannedImage, ...]
    bad_files: tuple[BadFile, ...]


def scan(
    root: Path, listed: Sequence[ListedImage], progress: Progress, read_group: Callable[[bytes], str] | None = None
) -> Scan:
    """Decode every image in a few threads; a file that cannot be read is recorded, not raised.

    Args:
        root: Folder that paths are relative to.
        listed: Images.
        progress: Receiver of the progress.
        read_group: Returns what stands for the group that a file's header names; None where headers name none.
    """
    images: list[ScannedImage] = []
    bad: list[BadFile] = []
    with ThreadPoolExecutor(4) as pool, progress.task("read images", len(listed)) as task:
        for found in pool.map(lambda item: _scan_one(root, item, read_group), sorted(listed, key=lambda item: item.path)):
            if isinstance(found, BadFile):
                bad.append(found)
            else:
                images.append(found)
            task.advance()
    return Scan(images=tuple(images), bad_files=tuple(bad))


def picture_notes(images: Sequence[ScannedImage]) -> tuple[DataNote, ...]:
    """Return remarks on pictures, one note for each kind."""
    return summarize_notes({utf8_path(image.listed.path): image.notes for image in images})


def _scan_one(root: Path, listed: ListedImage, read_group: Callable[[bytes], str] | None) -> ScannedImage | BadFile:
    name = utf8_path(listed.path)
    if name != listed.path:
        return BadFile(path=name, reason="its name is not UTF-8; rename it")
    try:
        data = read_image_file(root / listed.path)
        with decoded_image(data) as found:
            pixels = found.pixels
            image = Image.fromarray(pixels)
            whole = image.convert("L")
            grey = whole.resize((GREY_SIDE, GREY_SIDE), Image.Resampling.BOX)
            colour = image.resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX)
            return ScannedImage(
                listed=listed,
                sha256=image_sha256(data),
                pixels_sha256=pixels_sha256(pixels),
                width=pixels.shape[1],
                height=pixels.shape[0],
                grey=np.array(grey, dtype=np.uint8),
                colour=np.array(colour, dtype=np.uint8),
                two_levels=is_two_levels(whole.histogram()),
                notes=found.notes,
                header_group=read_group(data) if read_group else "",
            )
    except DataError as err:
        return BadFile(path=name, reason=str(err))
