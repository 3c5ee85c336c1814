"""Time and memory of reading a data set, by the number of its images: ``python benchmarks/bench_scale.py 10000 100000``.

Draws a set of so many tiny images (32 x 32 pixels, PNG), as this is about their number: five classes in nested folders,
every 50th image a copy of the one before, every other 50th a brighter one. Then each part runs in a process of its own, and
appends one line to results/scale.jsonl: wall and processor time, and the largest memory of that process. ``--parts`` names
the parts:

- ``check``: ``data check`` of images that were never read, with a cache.
- ``resumed``: the same again, with that cache.
- ``index``: the index that ``data split`` and a build make, with that cache, and its JSON written and read.
- ``audit``: ``data audit`` without a pretrained network, with the cache.
- ``epoch``: one epoch of training on a tenth of the images as labelled ones, MobileNetV2-0.35 at 32 pixels.
- ``alike``: ``data check`` of so many frames of one picture, each with noise of its own, as of a camera that nobody moved.
- ``verify``: figures of so many test images with drawn predictions: accuracies, intervals, parity, slices.
- ``report``: the report of so many test images: written, and opened in headless Chromium where there is one.
- ``shards``: ``data read`` of four shards, one after another, then ``data check`` with what they read, each in a process of
  its own; their processor time and largest memory over those of a plain check that runs between them.

``--folder`` keeps the drawn sets for a later call; a million images take 4 GB there, and 2.2 GB of cache. ``--page`` only
writes the table of docs/results/scale.md from the lines.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from record import append
from tables import PAGES, lines_of, markdown, with_tables

from weckd_edge.artifacts import DatasetIndex
from weckd_edge.config import BuildConfig, DataConfig, LinkConfig, TrainConfig
from weckd_edge.core.errors import StoreError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.serialization import from_json, to_json
from weckd_edge.core.store import Workspace
from weckd_edge.report import BundleContents

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # for what lies in tests/support

CLASSES, IN_FOLDER, SIDE = 5, 1000, 32
SHARDS = 4
DATA = DataConfig(labelled_fraction=0.1)
QUIET = SilentProgress()


def draw(folder: Path, images: int) -> None:
    """Draw a set of images, the same for the same number."""
    random = np.random.default_rng(0)
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    for n in range(images):
        place = folder / f"class{n // 2 % CLASSES}" / f"part{n // IN_FOLDER:04d}"
        if n % IN_FOLDER < 2 * CLASSES:
            place.mkdir(parents=True, exist_ok=True)
        if n % 50 == 49:
            pixels = pixels + (n % 100 == 99) * (pixels < 250).astype(np.uint8) * 5
        else:
            cells = Image.fromarray(random.integers(0, 240, (6, 6, 3), np.uint8))
            pixels = np.asarray(cells.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        Image.fromarray(pixels).save(place / f"{n:07d}.png", compress_level=1)


def check(folder: Path, work: Path) -> dict[str, Any]:
    from weckd_edge.train.data.check import check_data

    report = check_data(folder, DATA, QUIET, work / "cache")
    return {"groups": report.groups, "copies": report.exact_duplicates, "clusters": report.near_duplicate_groups}


def index(folder: Path, work: Path) -> dict[str, Any]:
    found = _index(folder, work / "cache")
    cpu_ns = time.process_time_ns()
    text = to_json(found)
    read = from_json(DatasetIndex, text, where="index", error=StoreError)
    json_s = (time.process_time_ns() - cpu_ns) / 1e9
    return {"read_again": read == found, "json_bytes": len(text), "json_cpu_s": round(json_s, 2)}


def audit(folder: Path, work: Path) -> dict[str, Any]:
    from weckd_edge.train.audit.run import audit_folder

    found = audit_folder(folder, BuildConfig(data=DATA), QUIET, work / "cache")
    return {"audited": found.images, "groups": found.groups}


def epoch(folder: Path, work: Path) -> dict[str, Any]:
    from weckd_edge.train.distill.chain import make_trainer, plan_chain
    from weckd_edge.train.distill.trainer import LinkJob

    train = TrainConfig(epochs=1, batch=64, accelerator="cpu", threads=1)
    link = LinkConfig(model="mobilenetv2_035", input_size=SIDE)  # a chain has two at least; the first is trained
    config = BuildConfig(link=(link, link), data=DATA, train=train)
    found = _index(folder, work / "cache")
    plan = plan_chain(found, config)[0]
    trainer = make_trainer(Workspace(work / "trained"), folder, found, [plan], QUIET)
    cpu_ns = time.process_time_ns()
    trainer.link(LinkJob(name="M1", plan=plan, labelled_subset=0, labelled_subsets=(0,), seed=0, train=train))
    labelled = sum(record.labelled_subset == 0 for record in found.images)
    return {"labelled": labelled, "training_cpu_s": _seconds(cpu_ns)}


def _index(folder: Path, cache: Path) -> DatasetIndex:
    from weckd_edge.train.data.index import build_index

    return build_index(folder, DATA, labelled_subsets=1, seed=0, skip_bad=False, progress=QUIET, cache=cache)


def _seconds(since_ns: int) -> float:
    return round((time.process_time_ns() - since_ns) / 1e9, 2)


def alike(folder: Path, work: Path) -> dict[str, Any]:
    from weckd_edge.train.data.check import check_data

    frames = work / "alike"
    draw_alike(frames, int(folder.name.removeprefix("images")))
    cpu_ns = time.process_time_ns()
    report = check_data(frames, DATA, QUIET)
    return {"groups": report.groups, "largest_group": report.largest_group, "check_cpu_s": _seconds(cpu_ns)}


def draw_alike(folder: Path, images: int) -> None:
    random = np.random.default_rng(0)
    cells = Image.fromarray(random.integers(30, 220, (6, 6, 3), np.uint8))
    still = np.asarray(cells.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(np.int16)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
    for n in range(images):
        pixels = np.clip(still + random.integers(-6, 7, still.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "ab"[n % 2] / f"{n:07d}.png", compress_level=1)


def verify(folder: Path, work: Path) -> dict[str, Any]:
    found = _verified(folder).verification
    return {"test_images": len(found.predictions), "correct": found.accuracy_compiled.correct}


def report(folder: Path, work: Path) -> dict[str, Any]:
    from weckd_edge.report import write_report

    contents = _verified(folder)
    cpu_ns = time.process_time_ns()
    work.mkdir(parents=True, exist_ok=True)
    page = work / "report.html"
    write_report(contents, page)
    written = _seconds(cpu_ns)
    return {"written_cpu_s": written, "html_bytes": page.stat().st_size, "opened_s": _opened_s(page)}


def _verified(folder: Path) -> BundleContents:
    from support.bundles.reports import small_contents  # a third of its images are test images

    return small_contents(count=3 * int(folder.name.removeprefix("images")))


def _opened_s(page: Path) -> float | None:
    """Return how long headless Chromium takes to load a page, s; None without Chromium."""
    from support.programs.browser import find_program, missing

    if missing() is not None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_program(), args=["--no-sandbox"], timeout=120_000)
        tab = browser.new_page()
        tab.goto(page.as_uri(), timeout=120_000)
        loaded_ms = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        browser.close()
    return round(float(loaded_ms) / 1000, 2)


def read_one(number: int, folder: Path, work: Path) -> dict[str, Any]:
    from weckd_edge.train.data.shards import Shard, read_shard

    return {"read": read_shard(folder, Shard(number=number, count=SHARDS), work / "cache", QUIET, DATA).images}


def shards(folder: Path, work: Path) -> dict[str, Any]:
    """Measure the shards and the run that joins them, beside a plain check."""
    read = [measure(f"shard{number + 1}", folder, work / "shards") for number in range(SHARDS)]
    plain = measure("check", folder, work / "plain")
    joined = measure("check", folder, work / "shards")

    def over_plain(key: str, *runs: dict[str, Any]) -> list[float]:
        return [round(run[key] / plain[key], 2) for run in runs]

    return {
        "wall_ns": sum(run["wall_ns"] for run in (*read, joined)),
        "cpu_ns": sum(run["cpu_ns"] for run in (*read, joined)),
        "peak_mb": max(run["peak_mb"] for run in (*read, joined)),
        "cache_mb": joined["cache_mb"],
        "figures": {
            "read": [run["figures"]["read"] for run in read],
            "shards_cpu_over_check": over_plain("cpu_ns", *read),
            "joined_cpu_over_check": over_plain("cpu_ns", joined)[0],
            "shards_peak_over_check": over_plain("peak_mb", *read),
            "joined_peak_over_check": over_plain("peak_mb", joined)[0],
            "same": joined["figures"] == plain["figures"],
        },
    }


PARTS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "check": check,
    "resumed": check,
    "index": index,
    "audit": audit,
    "epoch": epoch,
    "alike": alike,
    "verify": verify,
    "report": report,
}


SINGLE_SHARDS = {f"shard{n + 1}": partial(read_one, n + 1) for n in range(SHARDS)}
NAMES = (*PARTS, "shards")
FROM_CACHE = {"resumed", "index"}
"""Parts that measure what is left to do where every image was read before."""
DRAW_NOTHING = {"alike", "verify", "report"}
"""Parts that need no drawn set."""


def measure(part: str, folder: Path, work: Path) -> dict[str, Any]:
    """Run one part in a process of its own; return its times, ns, its largest memory and its cache, MB, and its figures."""
    if part == "shards":
        return shards(folder, work)
    if part in FROM_CACHE and not list(work.glob("cache/*.sqlite")):
        raise SystemExit(f"{part}: it reads what a check has kept; run it with check: --parts check,{part}")
    command = [sys.executable, __file__, "--here", part, str(folder), str(work)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    cache = [file.stat().st_size for file in work.glob("cache/*.sqlite")]
    return {**json.loads(done.stdout.splitlines()[-1]), "cache_mb": round(sum(cache) / 1e6, 1) if cache else None}


def run_here(part: str, folder: Path, work: Path) -> None:
    """Run one part in this process and print what it took."""
    wall_ns, cpu_ns = time.monotonic_ns(), time.process_time_ns()
    figures = {**PARTS, **SINGLE_SHARDS}[part](folder, work)
    wall_ns, cpu_ns = time.monotonic_ns() - wall_ns, time.process_time_ns() - cpu_ns
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"wall_ns": wall_ns, "cpu_ns": cpu_ns, "peak_mb": round(peak_mb, 1), "figures": figures}))


def write_page() -> None:
    """Write the table of docs/results/scale.md: the newest line of each part and number of images."""
    newest = {(line["what"], line["images"]): line for line in lines_of("scale")}
    ordered = sorted(newest.items(), key=lambda item: (NAMES.index(item[0][0]), item[0][1]))
    rows = [
        [
            part,
            f"{images:,}",
            f"{line['medians_ns']['processor'] / 1e9:,.1f}",
            f"{line['medians_ns']['processor'] / 1e6 / images:.2f}",
            f"{line['medians_ns']['wall'] / 1e9:,.0f}",
            f"{line['peak_mb']:,.0f}",
            "" if line["cache_mb"] is None else f"{line['cache_mb']:,.0f}",
            ", ".join(f"{key} {value}" for key, value in line["figures"].items()),
        ]
        for (part, images), line in ordered
    ]
    heads = ("part", "images", "processor, s", "ms an image", "wall, s", "peak memory, MB", "cache, MB", "figures")
    page = PAGES / "scale.md"
    table = {"scale": markdown(heads, rows)}
    page.write_text(with_tables(page.read_text(encoding="utf-8"), table, Path(__file__).name), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--parts", default="check,resumed,index", help=f"of {', '.join(NAMES)}; separated by commas")
    parser.add_argument("--folder", type=Path, help="folder that keeps the drawn sets")
    parser.add_argument("--note", default="", help="kept with the lines, such as that the machine was loaded")
    parser.add_argument("--page", action="store_true", help="only write the page from the lines")
    parser.add_argument("--here", nargs=3, metavar=("PART", "FOLDER", "WORK"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        run_here(given.here[0], Path(given.here[1]), Path(given.here[2]))
        return
    if given.page:
        write_page()
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = given.folder or Path(temporary)
        for images in given.images:
            folder, work = root / f"images{images}", Path(temporary) / f"work{images}"
            if not folder.is_dir() and not set(given.parts.split(",")) <= DRAW_NOTHING:
                draw(folder, images)
            for part in given.parts.split(","):
                found = measure(part, folder, work)
                append(
                    "scale",
                    part,
                    {"wall": [found["wall_ns"]], "processor": [found["cpu_ns"]]},
                    ("numpy", "pillow"),
                    images=images,
                    peak_mb=found["peak_mb"],
                    cache_mb=found["cache_mb"],
                    figures=found["figures"],
                    command=f"bench_scale.py {images} --parts {part}",
                    note=given.note,
                )


if __name__ == "__main__":
    main()
