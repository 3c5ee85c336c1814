"""What the C library takes of a device: code, data, stack and heap in bytes, and the documentation's table of them."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[3] / "docs/results/firmware.md"
MAX_SHARED_OBJECT_BYTES = 200_000
MARGIN, MARGIN_BYTES = 0.1, 2048
"""A figure may be apart from the table's by a tenth or 2 KiB, whichever is more: compilers differ."""

FIGURES = {
    "text": "code and constants (`size`: text)",
    "data": "initialised data (data)",
    "bss": "zeroed data (bss)",
    "stripped": "the shared object, stripped",
    "check_stack": "stack: `weckd_check`",
    "open_stack": "stack: `weckd_open`",
    "selftest_stack": "stack: `weckd_selftest`",
    "classify_stack": "stack: `weckd_classify`",
    "exam_add_stack": "stack: `weckd_exam_add`",
    "exam_decide_stack": "stack: `weckd_exam_decide`",
    "open_heap": "heap: most at once while opening",
    "open_kept": "heap: kept while open, the block",
    "classify_heap": "heap: taken by a prediction",
    "exam_add_heap": "heap: taken by a frame of an examination",
}
ROW = re.compile(r"^\| (?P<title>[^|]+?) \| (?P<first>[\d,]+) \| (?P<second>[\d,]+) \|$", re.MULTILINE)
ARCHITECTURES = ("x86-64", "arm64")


@dataclass(frozen=True)
class SignedToy:
    """A signed toy bundle.

    Attributes:
        folder: The bundle.
        public_key: PEM of its owner's key.
    """

    folder: Path
    public_key: Path


def write_signed_toy(toy: Any, folder: Path) -> SignedToy:
    """Write a toy bundle and sign it with a new P-256 key."""
    from support.bundles.signing_keys import write_pair
    from weckd_edge.bundle.signing import sign

    bundle: Path = toy.write_bundle(folder / "bundle", **toy.IN_C).folder
    private, public = write_pair(folder)
    sign(bundle, private)
    return SignedToy(folder=bundle, public_key=public)


def measure(build: Path, toy: SignedToy, *, tools: str = "", emulator: Sequence[object] = ()) -> dict[str, int]:
    """Return every figure in bytes.

    Args:
        build: A build folder with the test programs and the stand-in for a model.
        toy: What is opened.
        tools: Prefix of binutils, such as ``aarch64-linux-gnu-``.
        emulator: What runs a program of that architecture.
    """
    library, stripped = build / "libweckd_edge.so", build / "stripped.so"
    _run(f"{tools}strip", "-o", stripped, library)
    text, data, bss = _run(f"{tools}size", library).splitlines()[1].split()[:3]
    found = {"text": int(text), "data": int(data), "bss": int(bss), "stripped": stripped.stat().st_size}
    told = _run(*emulator, build / "tests/footprint", toy.folder, "echo", "-", toy.public_key)
    for name, stack, heap, kept in re.findall(r"^(\w+) stack (\d+) heap (\d+) kept (-?\d+)$", told, re.MULTILINE):
        found |= {f"{name}_stack": int(stack), f"{name}_heap": int(heap), f"{name}_kept": int(kept)}
    return {name: found[name] for name in FIGURES}


def write_table(measured: Mapping[str, Mapping[str, int]], path: Path = DOCS) -> None:
    """Put measured figures into the documentation's table, whose rows are there already."""
    named = {title: name for name, title in FIGURES.items()}

    def row(found: re.Match[str]) -> str:
        name = named.get(found["title"])
        if name is None:
            return found[0]
        return f"| {found['title']} | " + " | ".join(f"{measured[which][name]:,}" for which in ARCHITECTURES) + " |"

    path.write_text(ROW.sub(row, path.read_text(encoding="utf-8")), encoding="utf-8")


def read_table(path: Path = DOCS) -> dict[str, dict[str, int]]:
    """Return the documentation's figures by architecture."""
    rows = {found["title"]: found for found in ROW.finditer(path.read_text(encoding="utf-8"))}
    columns = zip(ARCHITECTURES, ("first", "second"), strict=True)
    return {
        which: {name: int(rows[title][column].replace(",", "")) for name, title in FIGURES.items()}
        for which, column in columns
    }


def what_is_apart(measured: Mapping[str, int], told: Mapping[str, int]) -> list[str]:
    """Name the figures that are further from the table's than the margin, and a library that is too large."""
    wrong = [
        f"{FIGURES[name]}: measured {value:,}, docs/results/firmware.md says {told[name]:,}"
        for name, value in measured.items()
        if abs(value - told[name]) > max(MARGIN * told[name], MARGIN_BYTES)
    ]
    for name, what in (("classify_heap", "a prediction"), ("exam_add_heap", "a frame of an examination")):
        if measured[name] != 0:
            wrong.append(f"{what} takes {measured[name]} bytes of the heap")
    if measured["stripped"] > MAX_SHARED_OBJECT_BYTES:
        wrong.append(
            f"the shared object has {measured['stripped']:,} bytes, at most {MAX_SHARED_OBJECT_BYTES:,} are allowed"
        )
    return wrong


def _run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
