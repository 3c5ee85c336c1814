"""Take the pictures of README again: ``python docs/tools/take_pictures.py REPORT.html``.

``docs/assets/report.png`` is the first screen of a real report, photographed by headless Chromium.
``docs/assets/terminal.svg`` shows the block of commands in docs/get-started/quick-start.md with what they printed, drawn by
rich; it names no font that a reader would have to fetch. Without REPORT.html only the second is made.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

sys.path.insert(0, str(Path(__file__).parent))
from run_tutorials import ROOT, blocks_of

ASSETS = ROOT / "docs/assets"
PAGE = ROOT / "docs/get-started/quick-start.md"
TERMINAL = ASSETS / "terminal.svg"
WIDTH, HEIGHT = 1120, 1120
COLUMNS = 110
HEADLINES = (
    "Deployed",
    "Passed",
    "Failed",
    "Inconclusive",
    "Test accuracy",
    "Lowest",
    "End-to-end",
    "Why",
    "Did",
    "Bundle",
    "Report",
)
"""How lines begin that a long output is shortened to, behind its first table."""


def photograph(report: Path, picture: Path) -> None:
    """Save the first screen of a report as a PNG of few colours."""
    from PIL import Image

    chromium = next((name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), "chromium")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        command = [chromium, "--headless", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1.5"]
        command += [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}", report.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True)
        image = Image.open(shot).convert("RGB").quantize(128, dither=Image.Dither.NONE)
        image.save(picture, optimize=True)


def shortened(output: str) -> str:
    """Return an output as it is, or, where it is long, its first table and its headlines."""
    lines = output.splitlines()
    if len(lines) <= 15:
        return output
    first = next((number for number, line in enumerate(lines) if line.startswith("└")), 10) + 1
    return "\n".join([*lines[:first], "[...]", *(line for line in lines[first:] if line.startswith(HEADLINES))]) + "\n"


def draw_terminal() -> str:
    """Return the quick start's commands and their output as SVG."""
    (block,) = [one for one in blocks_of(PAGE.read_text(encoding="utf-8")) if one.mark == "kept"]
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for command, output in block.commands:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        text = Text(shortened(output).rstrip("\n"))
        text.highlight_regex(r"(?m)\bpassed\b|^Passed.*$", "green")
        if text:
            console.print(text, no_wrap=True, overflow="ellipsis", crop=True)
    drawn = console.export_svg(title="weckd-edge", theme=MONOKAI, unique_id="terminal")
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    return drawn.replace("Fira Code, monospace", "'DejaVu Sans Mono', ui-monospace, monospace")


if __name__ == "__main__":
    TERMINAL.write_text(draw_terminal(), encoding="utf-8")
    if len(sys.argv) > 1:
        photograph(Path(sys.argv[1]), ASSETS / "report.png")
