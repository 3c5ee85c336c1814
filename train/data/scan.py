"""Open every listed file once: digests, size, and the thumbnails that near-duplicate search compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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
from weckd_edge.train.data.duplicates.thumbnails import COLOUR_SIDE, GREY_SIDE, Thumbnails, perceptual_hash
from weckd_edge.train.data.listing import ListedImage, stamp, utf8_path
from weckd_edge.train.data.scan_database import FileStamp, ReadImage
from weckd_edge.train.data.scan_store import ScanStore

ReadGroup = Callable[[bytes], str]

_BATCH = 512
_THREADS = 4


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScannedImage:
    """Image after it was decoded.

    Attributes:
        listed: Path and label.
        sha256: Digest of the file; of a DICOM file, of its pixels as they are stored.
        pixels_sha256: Digest of size and RGB pixels.
        width: Width, pixels.
        height: Height, pixels.
        picture_hash: Perceptual hash, 64 bits.
        thumbnail: Number of its thumbnails in the store of read images; -1 where no store was given.
        two_levels: Whether it has one or two grey levels, as a mask has.
        notes: Remarks on the picture.
        header_group: What stands for the attribute of its header that groups images, in this run; empty without one.
    """

    listed: ListedImage
    sha256: str
    pixels_sha256: str
    width: int
    height: int
    picture_hash: int
    thumbnail: int = -1
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
    root: Path,
    listed: Sequence[ListedImage],
    progress: Progress,
    read_group: ReadGroup | None = None,
    store: ScanStore | None = None,
) -> Scan:
    """Decode every image in a few threads; a file that cannot be read is recorded, not raised.

    Args:
        root: Folder that paths are relative to.
        listed: Images.
        progress: Receiver of the progress.
        read_group: Returns what stands for the group that a file's header names; None where headers name none.
        store: Store of read images; those that it has, unchanged, are not decoded again, and the others are kept in it.

    Raises:
        StoreError: The store cannot be written.
    """
    images: list[ScannedImage] = []
    bad: list[BadFile] = []
    ordered = sorted(listed, key=lambda item: item.path)
    with ThreadPoolExecutor(_THREADS) as pool, progress.task("read images", len(listed)) as task:
        reader = _Reader(root, store, read_group, pool)
        for start in range(0, len(ordered), _BATCH):
            batch = ordered[start : start + _BATCH]
            for found in reader.read(batch):
                if isinstance(found, BadFile):
                    bad.append(found)
                else:
                    images.append(found)
            task.advance(len(batch))
    if store is not None:
        store.keep_only(root, [image.thumbnail for image in images])
    return Scan(images=tuple(images), bad_files=tuple(bad))


def picture_notes(images: Sequence[ScannedImage]) -> tuple[DataNote, ...]:
    """Return remarks on pictures, one note for each kind."""
    return summarize_notes({utf8_path(image.listed.path): image.notes for image in images})


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Decoded:
    """Image that was decoded just now.

    Attributes:
        image: What is kept of it; its perceptual hash is not known yet.
        grey: Grey thumbnail, uint8 ``[32, 32]``.
        colour: Thumbnail in colour, uint8 ``[16, 16, 3]``.
        header_group: What stands for the group that its header names.
    """

    image: ReadImage
    grey: NDArray[np.uint8]
    colour: NDArray[np.uint8]
    header_group: str


def _stamp(root: Path, path: str) -> FileStamp:
    name, size, time_ns = stamp(root, path)
    return FileStamp(path=name, size=size, time_ns=time_ns)


class _Reader:
    """Reads batches of images, from the store or from their files."""

    def __init__(self, root: Path, store: ScanStore | None, read_group: ReadGroup | None, pool: ThreadPoolExecutor) -> None:
        self._root, self._store, self._read_group, self._pool = root, store, read_group, pool

    def read(self, batch: Sequence[ListedImage]) -> list[ScannedImage | BadFile]:
        """Return the images of a batch, sorted by path, in its order."""
        # Before the files are read: one that changes meanwhile is read again by the next run.
        stamps = {one.path: _stamp(self._root, one.path) for one in batch} if self._store else {}
        known = (
            self._store.find(self._root, [one for path, one in stamps.items() if path == one.path]) if self._store else {}
        )
        unknown = [one for one in batch if one.path not in known]
        decoded = dict(zip((one.path for one in unknown), self._pool.map(self._decode, unknown), strict=True))
        new = {path: found for path, found in decoded.items() if isinstance(found, _Decoded)}
        known |= self._keep(new, stamps)
        groups: dict[str, str | BadFile] = {}
        if self._read_group is not None:
            old = [path for path in known if path not in new]
            groups |= zip(old, self._pool.map(self._group_of, old), strict=True)
        return [self._finished(one, decoded.get(one.path) or groups.get(one.path, ""), known) for one in batch]

    def _finished(
        self, listed: ListedImage, found: _Decoded | BadFile | str, known: Mapping[str, tuple[int, ReadImage]]
    ) -> ScannedImage | BadFile:
        if isinstance(found, BadFile):
            return found
        number, image = known[listed.path]
        return ScannedImage(
            listed=listed,
            sha256=image.sha256,
            pixels_sha256=image.pixels_sha256,
            width=image.width,
            height=image.height,
            picture_hash=image.picture_hash,
            thumbnail=number,
            two_levels=image.two_levels,
            notes=image.notes,
            header_group=found if isinstance(found, str) else found.header_group,
        )

    def _decode(self, listed: ListedImage) -> _Decoded | BadFile:
        name = utf8_path(listed.path)
        if name != listed.path:
            return BadFile(path=name, reason="its name is not UTF-8; rename it")
        try:
            data = read_image_file(self._root / listed.path)
            with decoded_image(data) as found:
                pixels = found.pixels
                image = Image.fromarray(pixels)
                whole = image.convert("L")
                return _Decoded(
                    image=ReadImage(
                        sha256=image_sha256(data),
                        pixels_sha256=pixels_sha256(pixels),
                        width=pixels.shape[1],
                        height=pixels.shape[0],
                        two_levels=is_two_levels(whole.histogram()),
                        picture_hash=0,
                        notes=found.notes,
                    ),
                    grey=np.array(whole.resize((GREY_SIDE, GREY_SIDE), Image.Resampling.BOX), dtype=np.uint8),
                    colour=np.array(image.resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX), dtype=np.uint8),
                    header_group=self._read_group(data) if self._read_group else "",
                )
        except DataError as err:
            return BadFile(path=name, reason=str(err))

    def _group_of(self, path: str) -> str | BadFile:
        """Return what stands for the group in the header of a file whose pixels are known: it is kept nowhere."""
        try:
            return self._read_group(read_image_file(self._root / path)) if self._read_group else ""
        except DataError as err:
            return BadFile(path=path, reason=str(err))

    def _keep(self, new: Mapping[str, _Decoded], stamps: Mapping[str, FileStamp]) -> dict[str, tuple[int, ReadImage]]:
        """Keep images that were decoded; return each with its number."""
        if not new:
            return {}
        pictures = Thumbnails(
            grey=np.stack([found.grey for found in new.values()]), colour=np.stack([found.colour for found in new.values()])
        )
        hashes = perceptual_hash(pictures.grey).tolist()
        images = {
            path: replace(found.image, picture_hash=one) for (path, found), one in zip(new.items(), hashes, strict=True)
        }
        if self._store is None:
            return {path: (-1, image) for path, image in images.items()}
        numbers = self._store.add(self._root, {stamps[path]: image for path, image in images.items()}, pictures)
        return dict(zip(images, zip(numbers, images.values(), strict=True), strict=True))
