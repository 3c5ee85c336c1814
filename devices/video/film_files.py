"""Files that are examinations by themselves: videos, and DICOM of several frames; what each is opened by."""

from __future__ import annotations

from pathlib import Path

from weckd_edge.core.errors import DataError
from weckd_edge.core.files import read_start
from weckd_edge.core.store import sha256_file
from weckd_edge.devices.images import decoding
from weckd_edge.devices.images.dicom.attribute import has_several_frames, pixel_sha256
from weckd_edge.devices.images.dicom.elements import is_dicom
from weckd_edge.devices.images.file_kinds import HEAD_BYTES, begins_as_picture, file_kind_of
from weckd_edge.devices.video.base import FrameSource
from weckd_edge.devices.video.dicom_frames import DicomFrames
from weckd_edge.devices.video.pyav_backend import SUFFIXES, open_video

_OF_PICTURES = (".mjpeg", ".mjpg")
"""Suffixes of videos that begin as a picture does."""

_OF_DICOM = (".dcm", ".dicom")


def is_film(path: Path) -> bool:
    """Return whether a file is an examination: a video, or DICOM of several frames.

    Whatever else is called or begins as an image is none.
    """
    suffix = path.suffix.lower()
    if path.is_dir() or (suffix in decoding.SUFFIXES and suffix not in _OF_DICOM):
        return False
    try:
        head = read_start(path, HEAD_BYTES, error=DataError)
    except DataError:
        return suffix in SUFFIXES  # reading it says what is wrong
    if is_dicom(head):
        with path.open("rb") as file:
            return has_several_frames(file)
    if begins_as_picture(head):
        return suffix in _OF_PICTURES
    return suffix in SUFFIXES or "film" in (file_kind_of(head) or "")


def open_film(path: Path) -> FrameSource:
    """Open a video or a DICOM file as the frames of one examination.

    Raises:
        DataError: The file is neither, is damaged, or needs a decoder that is not here.
        MissingDependency: PyAV is not installed, and the file is a video.
    """
    return DicomFrames(path) if _is_dicom(path) else open_video(path)


def film_sha256(path: Path) -> str:
    """Return the digest that names a video; of DICOM, that of its pixels alone, so that no guess of a name can be tried.

    Raises:
        DataError: The file is a damaged DICOM.
    """
    if not _is_dicom(path):
        return sha256_file(path)
    with path.open("rb") as file:
        try:
            return pixel_sha256(file)
        except DataError as err:
            raise DataError(f"{path}: {err}", code=err.code) from err


def _is_dicom(path: Path) -> bool:
    try:
        return is_dicom(read_start(path, HEAD_BYTES, error=DataError))
    except DataError:
        return False  # reading it says what is wrong
