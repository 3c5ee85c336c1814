"""Video files, network streams and cameras, opened by PyAV (FFmpeg).

A file is opened only as one of the formats that hold their own pictures, and nothing but itself is read: FFmpeg would also
follow a playlist to other files and to the network.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from weckd_edge.core.errors import DataError, DeviceError
from weckd_edge.core.files import read_start
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.images.file_kinds import HEAD_BYTES, file_kind_of
from weckd_edge.devices.video.base import silence
from weckd_edge.devices.video.pyav_source import MAX_PIXELS, READ_LIMIT_S, PyavSource, check_size, words_of

OPEN_LIMIT_S = 10.0
"""Longest time until a stream or a camera must have replied, seconds."""

FORMATS = (
    *("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "mpegvideo", "asf", "flv", "ogg", "mxf", "dv"),
    *("ivf", "h264", "hevc", "obu", "m4v", "mjpeg", "nut"),
)
"""Formats of files, by FFmpeg's names: none of them leads to other files."""

SUFFIXES = (
    *(
        ".mp4",
        ".m4v",
        ".mov",
        ".3gp",
        ".mkv",
        ".webm",
        ".avi",
        ".ts",
        ".mts",
        ".m2ts",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".asf",
        ".flv",
    ),
    *(".ogv", ".mxf", ".dv", ".ivf", ".h264", ".264", ".hevc", ".265", ".mjpeg", ".mjpg", ".nut"),
)
"""Suffixes of files in these formats, lower case."""


def open_video(path: Path) -> PyavSource:
    """Open a video file.

    Raises:
        DataError: The file is no video, has no video stream, is damaged, or needs a codec that this FFmpeg has not.
        MissingDependency: PyAV is not installed.
    """
    av = require("av", "read videos")
    try:
        head = read_start(path, HEAD_BYTES, error=DataError)
    except DataError as err:
        raise DataError(f"{path}: {err}", code=err.code) from err
    options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    try:
        container = av.open(f"file:{path}", options=options, metadata_errors="replace")
    except av.error.FFmpegError as err:
        kind = file_kind_of(head) or "a file of no known kind"
        text = f"expected a video, found {kind}"
        if "film" in kind:
            text += " that cannot be opened: damaged, or cut short before the recording was ended"
        raise DataError(f"{path}: {text}", code="E_DATA_VIDEO") from err
    return _source_of(av, str(path), container, is_live=False)


def open_stream(address: str) -> PyavSource:
    """Open a network stream, ``rtsp://`` or ``rtsps://``.

    Raises:
        DeviceError: The stream cannot be reached, refuses, or does not reply in time.
        DataError: The stream has no video, or needs a codec that this FFmpeg has not.
        MissingDependency: PyAV is not installed.
    """
    av, name, start_s = require("av", "read network streams"), hide_password(address), time.monotonic()
    options = {"rtsp_transport": "tcp", "protocol_whitelist": "rtsp,rtsps,rtp,tcp,tls,crypto"}
    try:
        container = av.open(address, format="rtsp", options=options, timeout=(OPEN_LIMIT_S, READ_LIMIT_S))
    except av.error.FFmpegError as err:
        why = silence(OPEN_LIMIT_S) if time.monotonic() - start_s >= OPEN_LIMIT_S else words_of(err)
        raise DeviceError(f"{name}: expected a stream, found none: {why}", code="E_DEVICE_STREAM") from err
    return _source_of(av, name, container, is_live=True)


def open_camera(path: Path, *, width: int, height: int) -> PyavSource:
    """Open a V4L2 camera.

    Args:
        path: The camera's device, such as ``/dev/video0``.
        width: Width that the camera is asked for, pixels; it may give another one.
        height: Height that it is asked for, pixels.

    Raises:
        DeviceError: The camera is in use, may not be read, or refuses.
        MissingDependency: PyAV is not installed.
    """
    av = require("av", "read cameras")
    options, limits = {"video_size": f"{width}x{height}"}, (OPEN_LIMIT_S, READ_LIMIT_S)
    try:
        container = av.open(str(path), format="video4linux2", options=options, timeout=limits)
    except av.error.PermissionError as err:
        text = "you may not read it; add yourself to the group 'video', and log in again"
        raise DeviceError(f"{path}: expected a camera: {text}", code="E_DEVICE_CAMERA") from err
    except av.error.FFmpegError as err:
        text = "another program uses it" if getattr(err, "errno", None) == 16 else words_of(err)
        raise DeviceError(f"{path}: expected a camera that can be opened: {text}", code="E_DEVICE_CAMERA") from err
    return _source_of(av, str(path), container, is_live=True)


def _source_of(av: Any, name: str, container: Any, *, is_live: bool) -> PyavSource:
    try:
        return PyavSource(name, container, _video_stream(name, container), av.error, is_live=is_live)
    except BaseException:
        container.close()
        raise


def _video_stream(name: str, container: Any) -> Any:
    """Return the container's first stream of moving pictures, with its decoder set up.

    Raises:
        DataError: There is none, its codec is missing, or its pictures are too large.
    """
    found = [one for one in container.streams.video if not one.disposition & one.disposition.__class__.attached_pic]
    if not found:
        kinds = ", ".join(sorted({stream.type or "data" for stream in container.streams})) or "nothing"
        raise DataError(f"{name}: expected a stream of video, found {kinds}", code="E_DATA_VIDEO")
    codec = found[0].codec_context
    if codec is None:
        raise DataError(
            f"{name}: expected a video that can be decoded, found a codec that this FFmpeg has not; convert it to H.264",
            code="E_DATA_VIDEO_CODEC",
        )
    check_size(name, codec.width, codec.height)
    codec.thread_count = 1  # one processor decodes, the others predict
    codec.options = {"max_pixels": str(MAX_PIXELS)}
    if codec.name != "mjpeg":  # whose cameras often end a whole picture some bits too early
        codec.options |= {"err_detect": "explode"}
    return found[0]


def hide_password(address: str) -> str:
    """Return a stream's address without the user's name and password that it may hold."""
    return re.sub(r"//[^/@]*@", "//", address, count=1)
