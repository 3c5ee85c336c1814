"""Draw the import contracts of pyproject.toml for docs/design/import-rules.md: ``python docs/tools/draw_layers.py``.

It writes one SVG for each contract beside the page, and the part of the page that shows them. A test holds that what
stands there is what this would draw.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from svg import arrow, box, picture

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/design/import-rules.md"
BEGIN = "<!-- drawn by docs/tools/draw_layers.py from the contracts in pyproject.toml -->"
END = "<!-- end of what is drawn -->"
HEIGHT, GAP = 30, 22


def layer_contracts() -> list[dict[str, Any]]:
    """Return the contracts of pyproject.toml that put packages in layers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [one for one in project["tool"]["importlinter"]["contracts"] if one["type"] == "layers"]


def modules_of(layer: str) -> list[str]:
    """Return the modules that stand in one layer."""
    return layer.replace("|", " ").replace(":", " ").split()


def within(contract: dict[str, Any]) -> str:
    """Return the package that a contract's modules lie in."""
    return min((modules_of(layer)[0].rpartition(".")[0] for layer in contract["layers"]), key=len)


def layer_texts(contract: dict[str, Any]) -> list[str]:
    """Return each layer as it is drawn: its modules by their names within the package."""
    start = within(contract) + "."
    return [
        (" : " if ":" in layer else " | ").join(name.removeprefix(start) for name in modules_of(layer))
        for layer in contract["layers"]
    ]


def draw(contract: dict[str, Any]) -> str:
    """Return one contract as SVG: an arrow points at what may be imported."""
    texts = layer_texts(contract)
    width = max(7.6 * max(map(len, texts)) + 30, 160)
    parts = []
    for number, text in enumerate(texts):
        top = 5 + number * (HEIGHT + GAP)
        parts.append(box(5, top, width, HEIGHT, text))
        if number:
            parts.append(arrow((5 + width / 2, top - GAP), (5 + width / 2, top - 1)))
    return picture(width + 10, len(texts) * (HEIGHT + GAP) - GAP + 10, contract["name"], parts)


def pictures() -> dict[Path, str]:
    """Return every picture by its file."""
    return {PAGE.with_name(f"layers-{within(one).rpartition('.')[2]}.svg"): draw(one) for one in layer_contracts()}


def page() -> str:
    """Return the page with every contract shown anew."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    shown = []
    for contract, file in zip(layer_contracts(), pictures(), strict=True):
        text = "; ".join(layer_texts(contract))
        shown.append(f"**{contract['name']}.**\n\n![From top to bottom: {text}]({file.name})")
    return "\n\n".join([before + BEGIN, *shown, END]) + after


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    for file, drawn in pictures().items():
        file.write_text(drawn, encoding="utf-8")
