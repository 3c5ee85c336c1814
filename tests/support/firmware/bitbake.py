"""Read the Yocto recipe with BitBake's own parser, and lay its sources out with its fetcher.

``python tests/support/firmware/bitbake.py LAYER WORK "PACKAGECONFIG"`` prints one JSON object; BitBake changes its process,
so that tests run this in one of its own. The classes that the recipe inherits are OpenEmbedded's and are not here: they
are empty, and what they do with PACKAGECONFIG is done below as base.bbclass does it.
"""

from __future__ import annotations

import json
import logging
import sys
import types
from pathlib import Path
from typing import Any

CLASSES = ("base", "cmake", "pkgconfig", "systemd")
CONFIGURATION = """
THISDIR = "${@os.path.dirname(d.getVar('FILE'))}"
PN = "${@bb.parse.vars_from_file(d.getVar('FILE', False), d)[0]}"
PV = "${@bb.parse.vars_from_file(d.getVar('FILE', False), d)[1]}"
FILESPATH = "${FILESEXTRAPATHS}"
FILESEXTRAPATHS ?= ""
systemd_system_unitdir = "/usr/lib/systemd/system"
datadir = "/usr/share"
WORKDIR = "${TOPDIR}/work"
DL_DIR = "${TOPDIR}/downloads"
PERSISTENT_DIR = "${TOPDIR}/cache"
"""
WANTED = (
    "PN",
    "PV",
    "SUMMARY",
    "LICENSE",
    "LIC_FILES_CHKSUM",
    "DEPENDS",
    "SRC_URI",
    "S",
    "EXTRA_OECMAKE",
    "FILES:weckd-edge",
)


def read(layer: Path, work: Path, chosen: str | None) -> dict[str, Any]:
    # BitBake's package leaves its hash server out, which only a build asks.
    for name in ("hashserv", "hashserv.client"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["hashserv"].client = sys.modules["hashserv.client"]  # type: ignore[attr-defined]
    import bb.data
    import bb.fetch2
    import bb.parse
    import bb.siggen

    logging.getLogger("BitBake").setLevel(logging.WARNING)
    (work / "classes").mkdir(parents=True)
    for name in CLASSES:
        (work / f"classes/{name}.bbclass").touch()
    (work / "conf").mkdir()
    (work / "conf/bitbake.conf").write_text(CONFIGURATION)
    data = bb.data.init()
    bb.parse.siggen = bb.siggen.init(data)
    for name, value in {
        "__bbclasstype": "recipe",
        "TOPDIR": str(work),
        "BBPATH": str(work),
        "BBFILES": "",
        "LAYERDIR": str(layer),
    }.items():
        data.setVar(name, value)
    data = bb.parse.handle(str(work / "conf/bitbake.conf"), data, True)
    data = bb.parse.handle(str(layer / "conf/layer.conf"), data, True)
    (recipe,) = layer.glob("recipes-*/*/*.bb")
    data.setVar("FILE", str(recipe))
    data = bb.parse.handle(str(recipe), data)[""]
    if chosen is not None:
        data.setVar("PACKAGECONFIG", chosen)
    told: dict[str, Any] = {name: data.getVar(name) for name in WANTED}
    told["PACKAGECONFIG"] = data.getVar("PACKAGECONFIG")
    told["SYSTEMD_SERVICE"] = data.getVar(f"SYSTEMD_SERVICE:{told['PN']}")
    flags = {name: words.split(",") for name, words in data.getVarFlags("PACKAGECONFIG").items()}
    on = told["PACKAGECONFIG"].split()
    told["choices"] = flags
    told["options"] = told["EXTRA_OECMAKE"].split() + [words[0 if name in on else 1] for name, words in flags.items()]
    told["BBFILES"] = data.getVar("BBFILES").split()
    told["recipe"] = str(recipe)
    fetch = bb.fetch2.Fetch(told["SRC_URI"].split(), data)
    fetch.download()
    fetch.unpack(data.getVar("WORKDIR"))
    return told


if __name__ == "__main__":
    found = read(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
    sys.stdout.write(json.dumps(found) + "\n")
