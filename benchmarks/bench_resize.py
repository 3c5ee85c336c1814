"""What resizing a frame by area costs, one core: ``python benchmarks/bench_resize.py RUNNER``.

The centred square of frames of 640x480 and of 1920x1080 is resized to 96, 128 and 224 pixels:

- in C, with each of the instructions that this processor has; RUNNER is the C library's test program ``area_resize``;
- in Python, with the compiled library, or by NumPy where it is missing;
- by Pillow (``reduce`` to a whole ratio or ``BOX``, on a copy of the square, which it cannot do without);
- by OpenCV (``INTER_AREA``), where it is installed.

Variants are taken by turns. Appends one line to results/resize.jsonl for each size, with the ratios to OpenCV or Pillow.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from record import append

from weckd_edge.core.optional_imports import require
from weckd_edge.devices.images.area_resize import resize_area
from weckd_edge.devices.native.library import pixels_library

FRAMES = ((480, 640), (1080, 1920))
SIDES = (96, 128, 224)
ROUNDS = 5
EACH = 60

Frame = NDArray[np.uint8]


def square(frame: Frame) -> Frame:
    """Return the centred square of a frame."""
    height, width = frame.shape[:2]
    return frame[:, (width - height) // 2 : (width + height) // 2]


def ours(side: int) -> dict[str, Callable[[Frame], object]]:
    """Return what this package does in Python."""
    return {"python" if pixels_library() is not None else "numpy": lambda frame: resize_area(square(frame), side, side)}


def usual(side: int) -> dict[str, Callable[[Frame], object]]:
    """Return the ways that a program has at hand."""

    def by_pillow(frame: Frame) -> object:
        image = Image.fromarray(square(frame))
        whole, rest = divmod(image.height, side)
        small = image.reduce(whole) if rest == 0 else image.resize((side, side), Image.Resampling.BOX)
        return np.asarray(small)

    ways: dict[str, Callable[[Frame], object]] = {"pillow": by_pillow}
    if find_spec("cv2") is not None:
        cv2 = require("cv2", "time OpenCV's resize")
        cv2.setNumThreads(1)
        ways["opencv"] = lambda frame: cv2.resize(square(frame), (side, side), interpolation=cv2.INTER_AREA)
    return ways


def in_c(runner: Path, height: int, side: int) -> dict[str, list[int]]:
    """Time the C form, nanoseconds of each resize by instructions."""
    command = [runner, "time", str(height), str(height), str(side), str(EACH)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {
        f"c {name}": [int(taken) for taken in times.split()] for name, _, times in (line.partition(" ") for line in lines)
    }


def main(runner: Path) -> None:
    """Time all variants at each size."""
    for height, width in FRAMES:
        frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        for side in SIDES:
            ways = ours(side) | usual(side)
            times: dict[str, list[int]] = {}
            for _ in range(ROUNDS):
                for name, found in in_c(runner, height, side).items():
                    times.setdefault(name, []).extend(found)
                for name, resize in ways.items():
                    resize(frame)
                    for _ in range(EACH):
                        start = time.perf_counter_ns()
                        resize(frame)
                        times.setdefault(name, []).append(time.perf_counter_ns() - start)
            reference = "opencv" if "opencv" in times else "pillow"
            base = statistics.median(times[reference])
            ratios = {name: round(statistics.median(taken) / base, 4) for name, taken in times.items()}
            print(f"{width}x{height} to {side}")
            libraries = ["numpy", "pillow"]
            append("resize", f"{width}x{height} to {side}", times, libraries, reference=reference, ratios=ratios)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
