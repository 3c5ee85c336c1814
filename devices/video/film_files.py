"""Search for videos among files: by their names, and by their first bytes where the names do not say it."""

from __future__ import annotations

from pathlib import Path

from weckd_edge.core.errors import DataError
from weckd_edge.core.files import read_start
from weckd_edge.devices.images import decoding
from weckd_edge.devices.images.file_kinds import HEAD_BYTES, begins_as_picture, file_kind_of
from weckd_edge.devices.video.pyav_backend import SUFFIXES

_OF_PICTURES = (".mjpeg", ".mjpg")
"""Suffixes of videos that begin as a picture does."""


def is_film(path: Path) -> bool:
    """Return whether a file is to be read as a video; whatever is called or begins as an image is none."""
    suffix = path.suffix.lower()
    if path.is_dir() or suffix in decoding.SUFFIXES:
        return False
    try:
        head = read_start(path, HEAD_BYTES, error=DataError)
    except DataError:
        return suffix in SUFFIXES  # reading it says what is wrong
    if begins_as_picture(head):
        return suffix in _OF_PICTURES
    return suffix in SUFFIXES or "film" in (file_kind_of(head) or "")
