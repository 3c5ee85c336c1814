"""Run the commands that the tutorials show, and compare or write what they print: ``python docs/tools/run_tutorials.py``.

A page shows commands in blocks that begin with three backquotes and ``console``: a line ``$ command`` (continued behind a
backslash), then what it printed. Comments of Markdown in the line before a block say what is done with it:

- nothing: the block is run and its output is compared, but for what differs between machines and runs (times, sizes,
  digests, versions, the width of tables);
- ``<!-- varies -->``: the block is run and must succeed; its output depends on the machine and is not compared;
- ``<!-- kept: when, where, how long -->``: the block took too long, or needs what is not here. It was run by hand once.

``<!-- setup: command -->`` on a line of its own is run without being shown; ``<!-- setup kept: command -->`` is run before
the kept blocks. Every page starts in an empty folder in which
``docs`` and ``tests`` are those of this checkout. ``--update`` writes what was printed into the pages, and ``--kept`` runs
the kept blocks as well.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs/get-started/quick-start.md", *sorted((ROOT / "docs/tutorials").glob("*.md"))]
BLOCK = re.compile(
    r"^<!-- (?P<hidden>setup|setup kept): (?P<setup>.*?) -->$|"
    r"(?:^<!-- (?P<mark>varies|kept: [^\n]*?) -->\n)?^```console\n(?P<shown>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
WIDTH = 110
DIFFERS = (
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "DIGEST"),
    (re.compile(r"\d[\d.,]*\s?(?:ns|µs|us|ms|s|min|GB|GiB|MiB|MB|kB|bytes|mJ)\b"), "AMOUNT"),
    (re.compile(r"\b\d+\.\d+\.\d+(?:\.\d+)?\b"), "VERSION"),
    (re.compile(r"/\S*/(?=tutorial-)tutorial-\w+"), "FOLDER"),
    (re.compile(r"[─━═│┃┏┓┗┛┡┩┳┻╇┼├┤┬┴┌┐└┘ ]+"), " "),
)
"""What is not compared, each with what stands for it."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block of a page, or one command that is not shown.

    Attributes:
        mark: ``setup``, ``setup kept``, ``compare``, ``varies`` or ``kept``.
        commands: What is run, in order, each with what the page shows as its output.
        start: Place of the block's text in the page; with ``end``, what an update replaces.
        end: First place behind it.
    """

    mark: str
    commands: tuple[tuple[str, str], ...]
    start: int
    end: int


def blocks_of(page: str) -> Iterator[Block]:
    """Yield the blocks of a page."""
    for found in BLOCK.finditer(page):
        if found["setup"]:
            yield Block(mark=found["hidden"], commands=((found["setup"], ""),), start=0, end=0)
        else:
            mark = (found["mark"] or "compare").partition(":")[0]
            yield Block(
                mark=mark, commands=tuple(commands_of(found["shown"])), start=found.start("shown"), end=found.end("shown")
            )


def commands_of(shown: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a block with the output that it shows of each."""
    for part in re.split(r"^\$ ", shown, flags=re.MULTILINE)[1:]:
        match = re.match(r"((?:[^\n]*\\\n)*[^\n]*)\n(.*)", part, re.DOTALL)
        if match is None:
            raise ValueError(f"expected a command and its output, got {part!r}")
        yield match[1], match[2]


def same(shown: str, printed: str) -> bool:
    """Tell whether two outputs are the same but for what differs between machines and runs."""
    return normal(shown) == normal(printed)


def normal(output: str) -> list[str]:
    """Return an output's lines, without what differs between machines and runs."""
    for pattern, word in DIFFERS:
        output = pattern.sub(word, output)
    return [line.strip() for line in output.splitlines() if line.strip()]


def run(command: str, folder: Path) -> str:
    """Run a command in a folder and return what it printed.

    Raises:
        RuntimeError: It failed.
    """
    binaries = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join((binaries, os.environ["PATH"])),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": str(WIDTH),
        "LINES": "50",
        "NO_COLOR": "1",
        "LC_ALL": "C.UTF-8",
    }
    environment.pop("FORCE_COLOR", None)
    # Line by line, or a warning would stand in the middle of a character that grep has written one half of.
    done = subprocess.run(
        ["stdbuf", "-oL", "bash", "-c", f"set -o pipefail\n{command}"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"$ {command}\n{done.stdout}\nended with {done.returncode}")
    printed = done.stdout.replace(f"{folder.resolve()}/", "")  # a page shows no path of the machine it was made on
    return "".join(line.rstrip() + "\n" for line in printed.splitlines())


def run_page(page: Path, *, update: bool = False, kept: bool = False, folder: Path | None = None) -> list[str]:
    """Run the commands of a page.

    Args:
        page: The Markdown file.
        update: Write what the commands printed into it.
        kept: Run the kept blocks as well.
        folder: Where to run; it must be empty. None: a folder that is removed afterwards.

    Returns:
        Differences between what the page shows and what was printed, as lines of a diff; none where it was updated.

    Raises:
        RuntimeError: A command failed.
    """
    text = page.read_text(encoding="utf-8")
    wrong: list[str] = []
    changes: list[tuple[Block, str]] = []
    with tempfile.TemporaryDirectory(prefix="tutorial-") as scratch:
        folder = folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("docs", "tests"):
            (folder / name).symlink_to(ROOT / name)
        for block in blocks_of(text):
            if block.mark.endswith("kept") and not kept:
                continue
            printed = [(command, run(command, folder)) for command, _ in block.commands]
            changes.append((block, "".join(f"$ {command}\n{output}" for command, output in printed)))
            if block.mark != "compare" or update:
                continue
            for (command, shown), (_, output) in zip(block.commands, printed, strict=True):
                if not same(shown, output):
                    wrong += [
                        f"$ {command}",
                        *difflib.unified_diff(normal(shown), normal(output), "shown", "printed", lineterm=""),
                    ]
    if update:
        for block, output in reversed(changes):
            if not block.mark.startswith("setup"):
                text = text[: block.start] + output + text[block.end :]
        page.write_text(text, encoding="utf-8")
    return wrong


def main() -> int:
    """Run the pages that are named, or all."""
    asked = argparse.ArgumentParser(description="Run the commands of the tutorials.")
    asked.add_argument("pages", nargs="*", type=Path, help="pages to run; all of docs/tutorials")
    asked.add_argument("--update", action="store_true", help="write what the commands print into the pages")
    asked.add_argument("--folder", type=Path, help="with one page: an empty folder to run in, which is kept")
    asked.add_argument("--kept", action="store_true", help="run the kept blocks as well")
    given = asked.parse_args()
    wrong = [
        line
        for page in given.pages or PAGES
        for line in run_page(page, update=given.update, kept=given.kept, folder=given.folder)
    ]
    print("\n".join(wrong) or "the pages show what their commands print")  # noqa: T201
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
