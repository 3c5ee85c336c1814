"""Small videos, made by PyAV: an ear that a camera moves over, as far as drawn noise can be one."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

av: Any = pytest.importorskip("av", reason="videos are read by weckd-edge[video]")

CODEC = "libx264" if "libx264" in av.codecs_available else "mpeg4"
"""What videos are encoded with here."""


def scene(height: int, width: int, *, frames: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Return frames ``[height, width, 3]`` of a view that moves over smooth colours."""
    drawn = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    large = np.asarray(Image.fromarray(drawn).resize((width + frames, height + frames), Image.Resampling.BICUBIC))
    return [np.ascontiguousarray(large[at : at + height, at : at + width]) for at in range(frames)]


def write_video(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    times_ms: Sequence[int] | None = None,
    pixel_format: str = "yuv420p",
    codec: str = CODEC,
    key_frame_every: int = 10,
    **options: str,
) -> Path:
    """Write a video of RGB frames; its container is that of the suffix.

    Args:
        path: The file.
        frames: The frames.
        times_ms: Presentation times, milliseconds; None: 25 frames a second.
        pixel_format: What the frames are stored as.
        codec: FFmpeg's name of the encoder.
        key_frame_every: Frames from one that stands for itself to the next.
        options: The muxer's options.
    """
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.gop_size = key_frame_every
        base = stream.codec_context.time_base = Fraction(1, 25 if times_ms is None else 1000)
        for number, pixels in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(pixels, "rgb24")
            picture.pts = number if times_ms is None else times_ms[number]
            picture.time_base = base
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def rotate(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Give an MP4 a display matrix: where its columns and its rows go, as -1, 0 and 1."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version and flags, times, identity, duration, layer, volume
    right, down, right_of_down, down_of_down = matrix
    values = (right << 16, down << 16, 0, right_of_down << 16, down_of_down << 16, 0, 0, 0, 1 << 30)
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    path.write_bytes(data)


def write_sound(path: Path) -> Path:
    """Write a file with a second of silence and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        samples.sample_rate = 8000
        container.mux(stream.encode(samples))
        container.mux(stream.encode())
    return path
