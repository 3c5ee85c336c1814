"""Camera frames that must be refused, with the code of each language: one table for the tests of both."""

from __future__ import annotations

from dataclasses import dataclass, field

from support.frames.formats import BGR, GREY, NV12, RGB, YUYV

C_STATUS = {"WECKD_ERR_ARGUMENT": -1, "WECKD_ERR_GEOMETRY": -16}
"""Statuses of C by name."""

CONTRACT, NETWORK = (27, 35), (8, 8)
"""Height and width of the bundle's frame and of its network's input, for which these frames are bad."""


@dataclass(frozen=True, kw_only=True)
class BadFrame:
    """A frame of RGB of the contract's size, but for what is said here.

    Attributes:
        name: What is bad.
        c: Name of C's status; None: C's caller cannot say it.
        python: Python's code; None: Python's caller cannot say it.
        layout: Format, by number.
        height: Height of the frame, pixels.
        width: Width of the frame, pixels.
        region: Top, left, height and width of the region; None: the whole frame.
        more: Other fields of ``weckd_frame``.
    """

    name: str
    c: str | None = "WECKD_ERR_GEOMETRY"
    python: str | None = "E_MODEL_FRAME_GEOMETRY"
    layout: int = RGB
    height: int = CONTRACT[0]
    width: int = CONTRACT[1]
    region: tuple[int, int, int, int] | None = None
    more: dict[str, int] = field(default_factory=dict)


BAD_FRAMES = (
    BadFrame(name="no row", height=0),
    BadFrame(name="no column", width=0),
    BadFrame(name="a side over the limit", width=8193),
    BadFrame(name="fewer rows than the network's input", height=7),
    BadFrame(name="fewer columns than the network's input", width=7),
    BadFrame(name="grey of fewer rows than the network's input", layout=GREY, height=7, width=40),
    BadFrame(name="NV12 of an odd height", layout=NV12, height=27, width=36),
    BadFrame(name="NV12 of an odd width", layout=NV12, height=28, width=35),
    BadFrame(name="YUYV of an odd width", layout=YUYV, width=35),
    BadFrame(name="a region that begins on an odd row of NV12", layout=NV12, height=40, width=40, region=(1, 0, 20, 20)),
    BadFrame(name="a region that begins on an odd column of NV12", layout=NV12, height=40, width=40, region=(0, 1, 20, 20)),
    BadFrame(name="a region of an odd height of NV12", layout=NV12, height=40, width=40, region=(0, 0, 19, 20)),
    BadFrame(name="a region of an odd width of NV12", layout=NV12, height=40, width=40, region=(0, 0, 20, 19)),
    BadFrame(name="a region that begins on an odd column of YUYV", layout=YUYV, height=40, width=40, region=(0, 1, 20, 20)),
    BadFrame(name="a region of an odd width of YUYV", layout=YUYV, height=40, width=40, region=(0, 0, 20, 19)),
    BadFrame(name="a region beyond the right", layout=BGR, region=(0, 20, 16, 16)),
    BadFrame(name="a region beyond the bottom", layout=BGR, region=(20, 0, 16, 16)),
    BadFrame(name="a region without rows", region=(2, 2, 0, 16)),
    BadFrame(name="a region without columns", region=(2, 2, 16, 0)),
    BadFrame(name="a region of fewer rows than the network's input", region=(2, 2, 7, 16)),
    BadFrame(name="a region of fewer columns than the network's input", region=(2, 2, 16, 7)),
    BadFrame(name="an unknown format", c="WECKD_ERR_ARGUMENT", python="E_CONFIG_CHOICE", layout=5),
    BadFrame(name="an unknown matrix", c="WECKD_ERR_ARGUMENT", python="E_CONFIG_CHOICE", more={"matrix": 4}),
    BadFrame(name="a stride shorter than a row", python=None, more={"stride_bytes": 104}),
    BadFrame(
        name="a chroma stride shorter than a row",
        python=None,
        layout=NV12,
        height=28,
        width=36,
        more={"chroma_stride_bytes": 35},
    ),
    BadFrame(name="a larger frame than was planned for", python=None, height=300, width=300),
)
