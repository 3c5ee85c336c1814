"""The recipes for Yocto and Buildroot, read by the tools that read them: what they name is true."""

import fnmatch
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from weckd_edge import __version__
from weckd_edge.pipeline.steps.sdk import SDK_FOLDER, SOURCE, write_sdk

SUPPORT = Path(__file__).parents[1] / "support"
LINKED = {"jansson", "mbedtls"}
"""What CMakeLists.txt links, by the name that both systems give it."""


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources as a bundle carries them."""
    folder = tmp_path_factory.mktemp("carried")
    write_sdk(folder)
    return folder / SDK_FOLDER


def takes(source: Path, build: Path, options: list[str]) -> str:
    """Configure, and return what was said; an option that the build does not know fails."""
    done = subprocess.run(
        ["cmake", "-S", str(source), "-B", str(build), *options], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not used by the project" not in done.stderr, done.stderr
    return done.stdout


def test_what_the_recipes_link_is_what_the_build_looks_for() -> None:
    text = (SOURCE / "CMakeLists.txt").read_text(encoding="utf-8")
    looked_for = set(re.findall(r"pkg_check_modules\(\w+ REQUIRED IMPORTED_TARGET (\w+)", text))
    looked_for |= {name.replace("mbedcrypto", "mbedtls") for name in re.findall(r"find_library\(\w+ (\w+)\)", text)}
    assert looked_for == LINKED


def yocto(sdk: Path, work: Path, chosen: str | None = None) -> Any:
    if find_spec("bb") is None:
        pytest.skip("bitbake-setup is not installed")
    command = [sys.executable, str(SUPPORT / "firmware/bitbake.py"), str(sdk / "recipes/yocto"), str(work)]
    done = subprocess.run(
        [*command, *([chosen] if chosen is not None else [])], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_bitbake_reads_the_recipe_and_what_it_names_is_true(sdk: Path, tmp_path: Path) -> None:
    told = yocto(sdk, tmp_path)
    assert [told[name] for name in ("PN", "PV", "LICENSE")] == ["weckd-edge", __version__, "Apache-2.0"]
    assert any(fnmatch.fnmatch(told["recipe"], pattern) for pattern in told["BBFILES"])
    assert set(told["DEPENDS"].split()) == LINKED
    name, _, md5 = told["LIC_FILES_CHKSUM"].removeprefix("file://").partition(";md5=")
    assert hashlib.md5((sdk / name).read_bytes()).hexdigest() == md5  # what BitBake compares
    assert told["SYSTEMD_SERVICE"] == "weckd-camera.service"
    assert (sdk / "examples" / told["SYSTEMD_SERVICE"]).is_file()
    assert set(told["PACKAGECONFIG"].split()) <= set(told["choices"])


def test_bitbake_lays_out_sources_that_configure_with_every_choice(sdk: Path, firmware: ModuleType, tmp_path: Path) -> None:
    told = yocto(sdk, tmp_path / "yocto", "onnxruntime openvino update camera")
    options = told["options"]
    wheel = firmware.openvino_folder()
    if wheel is None:
        options = [option.replace("WECKD_OPENVINO=ON", "WECKD_OPENVINO=OFF") for option in options]
    else:
        options.append(f"-DOPENVINO_C_INCLUDE_DIR={wheel / 'include'}")
    said = takes(Path(told["S"]), tmp_path / "build", options)
    assert "onnxruntime" in said
    assert ("openvino" in said) == (wheel is not None)
    assert (tmp_path / "build/update/Makefile").is_file()
    assert (tmp_path / "build/examples/Makefile").is_file()
    carried = {path.relative_to(sdk) for path in sdk.rglob("*") if path.is_file()}
    laid_out = {path.relative_to(told["S"]) for path in Path(told["S"]).rglob("*") if path.is_file()}
    assert {path.parts[0] for path in carried - laid_out} <= {"python", "recipes"}


@pytest.fixture
def kconfig(sdk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Buildroot's options, below stand-ins for those of Buildroot that they name."""
    kconfiglib = pytest.importorskip("kconfiglib", reason="kconfiglib is not installed")
    bools = ("STATIC_LIBS", "TOOLCHAIN_HAS_THREADS", *(f"PACKAGE_{name.upper()}" for name in sorted(LINKED)))
    stand_ins = "".join(f'config BR2_{name}\n\tbool "{name}"\n' for name in bools)
    (tmp_path / "Config.in").write_text(stand_ins + 'source "$BR2_EXTERNAL_WECKD_PATH/Config.in"\n')
    monkeypatch.setenv("BR2_EXTERNAL_WECKD_PATH", str(sdk / "recipes/buildroot"))
    found = kconfiglib.Kconfig(str(tmp_path / "Config.in"), warn_to_stderr=False)
    assert found.warnings == []
    return found


def test_buildroots_options_are_read_and_bring_what_is_linked(kconfig: Any) -> None:
    chosen = kconfig.syms["BR2_PACKAGE_WECKD_EDGE"]
    chosen.set_value("y")
    assert chosen.str_value == "n"  # no threads yet
    kconfig.syms["BR2_TOOLCHAIN_HAS_THREADS"].set_value("y")
    assert chosen.str_value == "y"
    assert all(kconfig.syms[f"BR2_PACKAGE_{name.upper()}"].str_value == "y" for name in LINKED)
    kconfig.syms["BR2_STATIC_LIBS"].set_value("y")
    assert chosen.str_value == "n"
    undefined = [name for name, symbol in kconfig.syms.items() if not symbol.nodes and not symbol.is_constant]
    assert undefined == ["MODULES"]  # kconfiglib's own


MAKEFILE = """
qstrip = $(strip $(subst ",,$(1)))
define cmake-package
PACKAGES += weckd-edge by cmake
endef
{options}
include $(BR2_EXTERNAL_WECKD_PATH)/external.mk
show:
{shown}
"""
SHOWN = ("VERSION", "SITE", "SITE_METHOD", "LICENSE", "LICENSE_FILES", "DEPENDENCIES", "CONF_OPTS", "INSTALL_STAGING")


def buildroot(sdk: Path, folder: Path, options: dict[str, str]) -> dict[str, str]:
    """Let GNU make read the package with a set of options, and return its variables."""
    lines = "\n".join(f"{name} = {value}" for name, value in options.items())
    shown = "\n".join(f"\t@printf '%s\\n' 'WECKD_EDGE_{name}=$(WECKD_EDGE_{name})'" for name in SHOWN)
    text = MAKEFILE.replace("{options}", lines).replace("{shown}", shown + "\n\t@printf '%s\\n' 'PACKAGES=$(PACKAGES)'")
    (folder / "Makefile").write_text(text)
    done = subprocess.run(
        ["make", "--no-print-directory", "-rR", "--warn-undefined-variables", "-C", str(folder), "show"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "BR2_EXTERNAL_WECKD_PATH": str(sdk / "recipes/buildroot")},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    undefined = re.findall(r"Makefile.*undefined variable '(\w+)'|\.mk:.*undefined variable '(\w+)'", done.stderr)
    assert all(name.startswith("BR2_PACKAGE_WECKD_EDGE_") for names in undefined for name in names if name), done.stderr
    return dict(line.removeprefix("WECKD_EDGE_").split("=", 1) for line in done.stdout.splitlines())


def values(kconfig: Any) -> dict[str, str]:
    """Return the options as Buildroot hands them to make: what is off is not there, text is in quotes."""
    told = {}
    for name, symbol in kconfig.syms.items():
        if name.startswith("BR2_PACKAGE_WECKD_EDGE") and symbol.str_value not in ("n", ""):
            told[name] = symbol.str_value if symbol.str_value == "y" else f'"{symbol.str_value}"'
    return told


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_reads_buildroots_package_and_what_it_names_is_true(
    sdk: Path, firmware: ModuleType, kconfig: Any, tmp_path: Path
) -> None:
    kconfig.syms["BR2_TOOLCHAIN_HAS_THREADS"].set_value("y")
    kconfig.syms["BR2_PACKAGE_WECKD_EDGE"].set_value("y")
    told = buildroot(sdk, tmp_path, values(kconfig))
    assert told["PACKAGES"] == "weckd-edge by cmake"
    assert (told["VERSION"], told["SITE_METHOD"], told["LICENSE"]) == (__version__, "local", "Apache-2.0")
    assert Path(told["SITE"]).resolve() == sdk.resolve()
    assert (sdk / told["LICENSE_FILES"]).is_file()
    assert set(told["DEPENDENCIES"].split()) == LINKED | {"host-pkgconf"}
    description = (sdk / "recipes/buildroot/external.desc").read_text(encoding="utf-8")
    assert "name: WECKD\n" in description  # it names the variable of the path
    said = takes(Path(told["SITE"]), tmp_path / "build", told["CONF_OPTS"].split())
    assert "backends: onnxruntime\n" in said
    assert (tmp_path / "build/update/Makefile").is_file()
    wheel = firmware.openvino_folder()
    if wheel is not None:
        kconfig.syms["BR2_PACKAGE_WECKD_EDGE_OPENVINO_INCLUDE"].set_value(str(wheel / "include"))
        kconfig.syms["BR2_PACKAGE_WECKD_EDGE_OPENVINO_SONAME"].set_value("libopenvino_c.so.2541")
        kconfig.syms["BR2_PACKAGE_WECKD_EDGE_UPDATE"].set_value("n")
        told = buildroot(sdk, tmp_path, values(kconfig))
        said = takes(Path(told["SITE"]), tmp_path / "second", told["CONF_OPTS"].split())
        assert "openvino (libopenvino_c.so, libopenvino_c.so.2541), onnxruntime" in said
        assert not (tmp_path / "second/update").exists()
