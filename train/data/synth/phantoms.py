"""Write a data set of synthetic eardrums, to try the whole path on where no patient's picture may go.

Nothing here is medical data and no figure measured on it says anything about real ears.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image

from weckd_edge.artifacts import SCHEMA_VERSION
from weckd_edge.core.errors import ConfigError, DataError
from weckd_edge.core.progress import Progress
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import atomic_folder, explain_os_errors, write_atomic
from weckd_edge.train.data.synth.draw import draw_frame
from weckd_edge.train.data.synth.ear import CLASSES, make_ear

MARKER = "PHANTOM.json"
"""Name of the file that marks a folder of drawn images; its data are called synthetic everywhere."""


def is_phantom(root: Path) -> bool:
    """Tell whether a data set's folder is marked as drawn."""
    return (root / MARKER).is_file()


def write_phantoms(
    out: Path, progress: Progress, *, images: int = 600, seed: int = 0, height: int = 192, width: int = 256
) -> int:
    """Draw a synthetic data set of five classes: ``<label>/synthetic_<ear>_<frame>.jpg``.

    Two to four jittered frames of one "ear" share a group; ``groups.csv`` (path, label, group) names it. Equal
    arguments give equal bytes.

    Args:
        out: A new folder, an empty one, or an earlier phantom set, which is replaced.
        progress: Receiver of the progress.
        images: Number of frames, at least 20 (so that no class stays empty).
        seed: Seed of everything drawn.
        height: Height, 32 to 2048 pixels.
        width: Width, 32 to 2048 pixels.

    Returns:
        Number of ears.

    Raises:
        ConfigError: A number is out of range.
        DataError: The folder holds something else.
    """
    _check_request(images, seed, height, width)
    with explain_os_errors(out):
        _check_folder(out)
    with atomic_folder(out) as folder, progress.task("draw synthetic frames", images) as task:
        rows: list[tuple[str, str, str]] = []
        counts = dict.fromkeys(CLASSES, 0)
        for label in CLASSES:
            (folder / label).mkdir()
        ear_number = 0
        while len(rows) < images:
            label = min(CLASSES, key=lambda name: (counts[name], CLASSES.index(name)))
            rng = np.random.default_rng([seed, ear_number])
            frames = min(int(rng.integers(2, 5)), images - len(rows))
            ear = make_ear(label, rng)
            name = f"ear{ear_number:04d}"
            for frame in range(frames):
                path = f"{label}/synthetic_{name}_{frame}.jpg"
                _write_jpeg(folder / path, draw_frame(ear, height, width, np.random.default_rng([seed, ear_number, frame])))
                rows.append((path, label, name))
                counts[label] += 1
                task.advance()
            ear_number += 1
        write_atomic(folder / "groups.csv", _csv(rows))
        marker = {
            "schema_version": SCHEMA_VERSION,
            "synthetic": True,
            "what": "drawn eardrums, not medical images",
            "images": images,
            "ears": ear_number,
            "seed": seed,
            "size": [height, width],
        }
        write_atomic(folder / MARKER, to_json(marker))
    return ear_number


def _check_request(images: int, seed: int, height: int, width: int) -> None:
    if not 20 <= images <= 100_000:
        raise ConfigError(f"images = {images}: expected 20 to 100000", code="E_CONFIG_RANGE")
    if not (32 <= height <= 2048 and 32 <= width <= 2048):
        raise ConfigError(f"size = {height}x{width}: expected 32 to 2048 pixels in height and width", code="E_CONFIG_RANGE")
    if seed < 0:
        raise ConfigError(f"seed = {seed}: expected 0 or more", code="E_CONFIG_RANGE")


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(
            f"{out}: expected a folder to write to, found a file; choose another name", code="E_DATA_OUT_OCCUPIED"
        )
    if out.is_dir() and any(out.iterdir()) and not is_phantom(out):
        raise DataError(
            f"{out}: holds something other than a synthetic set; choose a new or empty folder", code="E_DATA_OUT_OCCUPIED"
        )


def _write_jpeg(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    Image.fromarray(pixels).save(path, quality=92, subsampling=0, comment="synthetic")


def _csv(rows: list[tuple[str, str, str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label", "group"))
    writer.writerows(sorted(rows))
    return text.getvalue()
