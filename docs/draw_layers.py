"""Draw the import contracts of pyproject.toml into docs/architecture.md: ``python docs/draw_layers.py``.

A test holds that what stands there is what this would draw.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/architecture.md"
BEGIN = "<!-- drawn by docs/draw_layers.py from the contracts in pyproject.toml -->"
END = "<!-- end of what is drawn -->"


def layer_contracts() -> list[dict[str, Any]]:
    """Return the contracts of pyproject.toml that put packages in layers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [one for one in project["tool"]["importlinter"]["contracts"] if one["type"] == "layers"]


def modules_of(layer: str) -> list[str]:
    """Return the modules that stand in one layer."""
    return layer.replace("|", " ").replace(":", " ").split()


def draw(contract: dict[str, Any]) -> str:
    """Return one contract as a Mermaid picture: an arrow points at what may be imported."""
    modules = [name for layer in contract["layers"] for name in modules_of(layer)]
    parents = [name.rpartition(".")[0] for name in modules]
    within = min(parents, key=len) + "."
    lines = ["```mermaid", "flowchart TB"]
    for number, layer in enumerate(contract["layers"]):
        between = " : " if ":" in layer else " | "
        lines.append(f'    l{number}["{between.join(name.removeprefix(within) for name in modules_of(layer))}"]')
    lines.append("    " + " --> ".join(f"l{number}" for number in range(len(contract["layers"]))))
    return "\n".join([f"**{contract['name']}.**", "", *lines, "```"])


def page() -> str:
    """Return docs/architecture.md with every contract drawn anew."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n\n".join([before + BEGIN, *map(draw, layer_contracts()), END]) + after


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
