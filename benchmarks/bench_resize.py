"""What making the network's pixels by area costs, one core: ``python benchmarks/bench_resize.py FOLDER``.

The centred square of frames of 640x480 and of 1920x1080 is resized to 96, 128 and 224 pixels:

- in C, the resize alone, with each of the instructions that this processor has; FOLDER holds the C library's test programs
  ``area_resize`` and ``front_end``;
- in C, the whole front end of a contract of 640x480: a larger frame is first fitted to that, and the guard reads its rows in
  passing; its time is not counted;
- in Python: by the compiled library, where it was built, and by NumPy;
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
from weckd_edge.devices.images.area_resize import resize_area, resize_by_numpy
from weckd_edge.devices.native import library

FRAMES = ((480, 640), (1080, 1920))
SIDES = (96, 128, 224)
ROUNDS = 5
EACH = 60

Frame = NDArray[np.uint8]


def in_python(side: int) -> dict[str, Callable[[Frame], object]]:
    """Return the resize of this project, by the compiled library and by NumPy."""

    def square(frame: Frame) -> Frame:
        height, width = frame.shape[:2]
        return frame[:, (width - height) // 2 : (width + height) // 2]

    ways: dict[str, Callable[[Frame], object]] = {"numpy": lambda frame: resize_by_numpy(square(frame), side, side)}
    if library.pixels_library() is not None:
        ways["compiled"] = lambda frame: resize_area(square(frame), side, side)
    return ways


def usual(side: int) -> dict[str, Callable[[Frame], object]]:
    """Return the ways that a program has at hand."""

    def square(frame: Frame) -> Frame:
        height, width = frame.shape[:2]
        return frame[:, (width - height) // 2 : (width + height) // 2]

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


def in_c(folder: Path, height: int, width: int, side: int) -> dict[str, list[int]]:
    """Time the C forms, nanoseconds of each by instructions, and of the front end."""
    numbers = [str(number) for number in (height, height, side, EACH)]
    found = {f"c {name}": times for name, times in times_of([folder / "area_resize", "time", *numbers]).items()}
    rgb, contract = "0", ["640", "480"]
    words = [folder / "front_end", "time", rgb, str(width), str(height), *contract, str(side), str(EACH)]
    return found | {"c front end": times_of(words)["front_end"]}


def times_of(command: list[str | Path]) -> dict[str, list[int]]:
    """Run a program that prints lines of a name and of nanoseconds."""
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: [int(taken) for taken in times.split()] for name, _, times in (line.partition(" ") for line in lines)}


def main(folder: Path) -> None:
    """Time all variants at each size."""
    for height, width in FRAMES:
        frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        for side in SIDES:
            ways = in_python(side) | usual(side)
            times: dict[str, list[int]] = {}
            for _ in range(ROUNDS):
                for name, found in in_c(folder, height, width, side).items():
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
