"""Examinations as the command line names them: videos, network streams, cameras, folders of frames and patterns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from weckd_edge.cli.parsing.image_patterns import expand_pattern
from weckd_edge.core.errors import ConfigError

if TYPE_CHECKING:
    from weckd_edge.artifacts import FrameSpec
    from weckd_edge.devices.runtime.predict import SkippedFile
    from weckd_edge.devices.video.base import FrameSource

_STREAMS = ("rtsp://", "rtsps://")


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedExam:
    """An examination that is to be read.

    Attributes:
        name: The source as the user named it.
        open: Opens the source, for a bundle's camera frame.
    """

    name: str
    open: Callable[[FrameSpec], FrameSource]


class NamedSources(NamedTuple):
    """What a command line names.

    Attributes:
        exams: Examinations, in the order in which they were named.
        images: Other paths: images and folders of images.
        skipped: Files in folders of frames that are neither frames nor videos.
    """

    exams: list[NamedExam]
    images: list[Path]
    skipped: list[SkippedFile]


def find_sources(named: Sequence[str], *, camera: str | None, together: bool) -> NamedSources:
    """Tell examinations from images.

    Args:
        named: Paths, patterns and addresses of streams.
        camera: Number, path or name of a camera; None: there is none.
        together: Whether the images of a folder, those that a pattern matches, and those named one by one are the frames of
            one examination each.

    Raises:
        ConfigError: An address is none of a stream.
        DataError: A pattern matches nothing, a path does not exist, or a folder holds no frames.
        DeviceError: The camera is not there.
    """
    found = NamedSources([], [], [])
    loose: list[Path] = []
    for text in named:
        if "://" in text:
            found.exams.append(_stream(text))
            continue
        paths = expand_pattern(Path(text))
        films = [path for path in paths if _is_film(path)]
        found.exams.extend(map(_video, films))
        images = [path for path in paths if path not in films]
        if not together:
            found.images.extend(images)
            continue
        for folder in (path for path in images if path.is_dir()):
            _add_folders(folder, found)
        files = [path for path in images if not path.is_dir()]
        if paths == [Path(text)]:
            loose += files
        elif files:
            found.exams.append(_frames(text, files))
    if loose:
        found.exams.append(_frames(str(loose[0].parent), loose))
    if camera is not None:
        found.exams.append(_camera(camera))
    return found


def _is_film(path: Path) -> bool:
    from weckd_edge.devices.video.film_files import is_film

    return is_film(path)


def _add_folders(folder: Path, found: NamedSources) -> None:
    """Add each folder that holds frames, from here downwards, and each video in it."""
    from weckd_edge.devices.runtime.predict import SkippedFile, find_files

    files = find_files(folder)
    frames: dict[Path, list[Path]] = {}
    films = [file for file in (*files.images, *(Path(one.file) for one in files.skipped)) if _is_film(file)]
    for file in files.images:
        if file not in films:
            frames.setdefault(file.parent, []).append(file)
    found.exams.extend(_frames(str(place), inside) for place, inside in frames.items())
    found.exams.extend(map(_video, films))
    found.skipped.extend(
        SkippedFile(file=one.file, reason=one.reason) for one in files.skipped if Path(one.file) not in films
    )


def _video(path: Path) -> NamedExam:
    from weckd_edge.devices.video.film_files import open_film
    from weckd_edge.devices.video.reading_thread import ThreadSource

    return NamedExam(name=str(path), open=lambda spec: ThreadSource(lambda: open_film(path), str(path)))


def _frames(name: str, files: Sequence[Path]) -> NamedExam:
    from weckd_edge.devices.video.image_files import ImageFiles, in_order_of_time
    from weckd_edge.devices.video.reading_thread import ThreadSource

    ordered = in_order_of_time(files)
    return NamedExam(name=name, open=lambda spec: ThreadSource(lambda: ImageFiles(name, ordered), name))


def _stream(address: str) -> NamedExam:
    from weckd_edge.devices.video.pyav_backend import hide_password, open_stream
    from weckd_edge.devices.video.reading_thread import LIVE_LIMIT_S, ThreadSource

    name = hide_password(address)
    if not address.startswith(_STREAMS):
        raise ConfigError(f"{name}: expected a path, or a stream, {' or '.join(_STREAMS)}...", code="E_CONFIG_VALUE")
    return NamedExam(name=name, open=lambda spec: ThreadSource(lambda: open_stream(address), name, limit_s=LIVE_LIMIT_S))


def _camera(named: str) -> NamedExam:
    from weckd_edge.devices.video.cameras import find_camera
    from weckd_edge.devices.video.pyav_backend import open_camera
    from weckd_edge.devices.video.reading_thread import LIVE_LIMIT_S, ThreadSource

    path = find_camera(named)

    def read(spec: FrameSpec) -> FrameSource:
        return ThreadSource(lambda: open_camera(path, width=spec.width, height=spec.height), str(path), limit_s=LIVE_LIMIT_S)

    return NamedExam(name=str(path), open=read)
