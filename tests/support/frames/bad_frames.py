"""Frames that both languages refuse: by which code in Python, and by which status in C."""

from dataclasses import dataclass

RGB, BGR, GREY, NV12, YUYV = range(5)
"""``weckd_format`` of the C library."""

FORMATS = ("rgb", "bgr", "grey", "nv12", "yuyv")
CHOICE, GEOMETRY = "E_CONFIG_CHOICE", "E_MODEL_FRAME_GEOMETRY"
STATUSES = {CHOICE: "WECKD_ERR_ARGUMENT", GEOMETRY: "WECKD_ERR_GEOMETRY"}


@dataclass(frozen=True, kw_only=True)
class BadFrame:
    """A frame that is wrong in one way.

    Attributes:
        name: What is wrong with it.
        code: Python's code of the error; ``STATUSES`` has C's.
        format: Order of its values, as C counts it; 99 is none.
        width: Pixels of a row.
        height: Rows.
        region: Part that is used, ``left, top, width, height``; None: all of it.
        matrix: Matrix, as C counts it; 99 is none.
    """

    name: str
    code: str
    format: int = RGB
    width: int = 64
    height: int = 48
    region: tuple[int, int, int, int] | None = None
    matrix: int = 0


BAD_FRAMES = (
    BadFrame(name="unknown format", code=CHOICE, format=99),
    BadFrame(name="unknown matrix", code=CHOICE, format=NV12, matrix=99),
    BadFrame(name="too wide", code=GEOMETRY, width=8194, height=2),
    BadFrame(name="too high", code=GEOMETRY, width=2, height=8194),
    BadFrame(name="NV12 of odd width", code=GEOMETRY, format=NV12, width=63),
    BadFrame(name="NV12 of odd height", code=GEOMETRY, format=NV12, height=47),
    BadFrame(name="YUYV of odd width", code=GEOMETRY, format=YUYV, width=63),
    BadFrame(name="region right of the frame", code=GEOMETRY, region=(40, 0, 25, 48)),
    BadFrame(name="region below the frame", code=GEOMETRY, region=(0, 40, 64, 9)),
    BadFrame(name="region that begins outside", code=GEOMETRY, region=(64, 48, 2, 2)),
    BadFrame(name="region without width", code=GEOMETRY, region=(0, 0, 0, 8)),
    BadFrame(name="region without height", code=GEOMETRY, region=(0, 0, 8, 0)),
    BadFrame(name="NV12 region that begins at an odd column", code=GEOMETRY, format=NV12, region=(1, 0, 8, 8)),
    BadFrame(name="NV12 region that begins at an odd row", code=GEOMETRY, format=NV12, region=(0, 1, 8, 8)),
    BadFrame(name="NV12 region of odd width", code=GEOMETRY, format=NV12, region=(0, 0, 7, 8)),
    BadFrame(name="NV12 region of odd height", code=GEOMETRY, format=NV12, region=(0, 0, 8, 7)),
    BadFrame(name="YUYV region that begins at an odd column", code=GEOMETRY, format=YUYV, region=(1, 0, 8, 8)),
    BadFrame(name="YUYV region of odd width", code=GEOMETRY, format=YUYV, region=(0, 0, 7, 8)),
)
