"""What the guides say about building the C library holds when it is typed: from a bundle, across, installed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.firmware import abi
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.core.errors import BundleError
from weckd_edge.pipeline.steps.sdk import SOURCE, sdk_files, write_sdk

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / "docs/how-to"
pytestmark = pytest.mark.usefixtures("firmware")
HEADER = (SOURCE / "include/weckd_edge.h").read_text(encoding="utf-8")
PROJECT = """
cmake_minimum_required(VERSION 3.18)
project(user LANGUAGES C)
find_package(weckd_edge 0.1 REQUIRED)
add_executable(user user.c)
target_link_libraries(user PRIVATE weckd_edge::weckd_edge)
"""
USER = "#include <weckd_edge.h>\nint main(void) { return weckd_api_version() == WECKD_API_VERSION ? 0 : 1; }\n"


def run(*command: object, **more: Any) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fails(*command: object, **more: Any) -> str:
    """Return what a command that must fail says, on one line."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False, **more)
    assert done.returncode != 0, done.stdout
    return " ".join(done.stderr.split())


def shown_commands(page: str, heading: str) -> list[str]:
    """Return the indented command lines below a heading, without their comments; what changes the system is left out."""
    text = (GUIDES / page).read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    lines = [line[4:].split("    #")[0].strip() for line in section.splitlines() if line.startswith("    ")]
    return [line for line in lines if line.startswith("cmake ")]


@pytest.fixture(scope="module")
def carrying(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sealed bundle that carries its sources, under the name that the guides give it."""
    folder = tmp_path_factory.mktemp("home") / "ear-bundle"
    folder.mkdir()
    write_sdk(folder)
    toy.write_bundle(folder)
    return folder.parent


@pytest.fixture(scope="module")
def installed(carrying: Path, firmware: ModuleType) -> Path:
    """The prefix that the commands of both guides install to, as they are written but for two paths."""
    wheel = firmware.openvino_folder()
    prefix = carrying / "prefix"
    commands = shown_commands("firmware.md", "Build") + shown_commands("updates.md", "On the device: `weckd-update`")
    assert sum("cmake -S ear-bundle/sdk -B weckd-build" in line for line in commands) == 2
    for line in commands:
        line = line.replace("/usr/local", str(prefix))
        line = (
            line.replace(".../openvino/cmake", str(wheel / "cmake")) if wheel else re.sub(r" -DOpenVINO_DIR=\S+", "", line)
        )
        run("sh", "-e", "-c", line, cwd=carrying, env={**os.environ, "CMAKE_BUILD_PARALLEL_LEVEL": "2"})
    return prefix


def test_what_the_guides_build_from_a_bundle_leaves_the_bundle_whole(installed: Path, carrying: Path) -> None:
    open_bundle(carrying / "ear-bundle")
    assert (installed / "bin/weckd-update").is_file()


def test_an_installed_program_finds_its_library_also_where_the_tree_was_moved(installed: Path, tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
    shutil.copytree(installed, tmp_path / "moved", symlinks=True)
    for prefix in (installed, tmp_path / "moved"):
        assert "usage: weckd-update" in run(prefix / "bin/weckd-update", "--help", env=env)
        told = run("ldd", prefix / "bin/camera_exam", env=env)
        assert f"{prefix}/" in re.search(r"libweckd_edge\S* => (\S+)", told)[1]  # type: ignore[index]


def test_every_program_that_a_unit_starts_is_installed(installed: Path) -> None:
    units = [path for path in (installed / "lib/systemd/system").rglob("*") if path.is_file()]
    assert {path.name for path in units} == {
        "weckd-camera.service",
        "update.conf",
        "weckd-confirm.service",
        "weckd-confirm.timer",
    }
    started = {
        word.lstrip("+-!@:")
        for path in units
        for word in re.findall(r"^Exec\w+=(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert started == {f"{installed}/bin/camera_exam", f"{installed}/bin/weckd-update"}
    assert all(os.access(path, os.X_OK) for path in started)
    assert (installed / "share/weckd_edge/update.conf").is_file()  # what the units read from /etc/weckd


def test_the_package_and_pkg_config_find_what_was_installed(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(PROJECT)
    (tmp_path / "user.c").write_text(USER)
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={installed}")
    run("cmake", "--build", tmp_path / "build")
    run(tmp_path / "build/user")
    env = {**os.environ, "PKG_CONFIG_PATH": str(next(installed.rglob("weckd_edge.pc")).parent)}
    flags = run("pkg-config", "--cflags", "--libs", "weckd_edge", env=env).split()
    run("cc", tmp_path / "user.c", *flags, "-o", tmp_path / "user")
    run(tmp_path / "user", env={**os.environ, "LD_LIBRARY_PATH": str(installed / "lib")})


def test_the_licence_is_with_the_sources_and_with_what_is_installed(installed: Path, carrying: Path) -> None:
    licence = (ROOT / "LICENSE").read_bytes()
    assert (carrying / "ear-bundle/sdk/LICENSE").read_bytes() == licence
    assert (installed / "share/licenses/weckd_edge/LICENSE").read_bytes() == licence


@pytest.mark.parametrize("where", ["build", "sdk", "sdk/build"])
def test_a_build_folder_in_a_sealed_bundle_is_refused(carrying: Path, tmp_path: Path, where: str) -> None:
    bundle = tmp_path / "ear-bundle"
    shutil.copytree(carrying / "ear-bundle", bundle)
    said = fails("cmake", "-S", "sdk", "-B", where, cwd=bundle)
    assert f"The build folder {bundle}/{where} lies in the sealed bundle {bundle}" in said
    with pytest.raises(BundleError):
        open_bundle(bundle)
    (bundle / where / "CMakeCache.txt").unlink()  # what it says to remove
    shutil.rmtree(bundle / where / "CMakeFiles")
    open_bundle(bundle)


@pytest.mark.parametrize("part", ["TESTS", "FUZZ"])
def test_an_option_whose_folder_a_bundle_leaves_out_says_so(carrying: Path, tmp_path: Path, part: str) -> None:
    said = fails("cmake", "-S", carrying / "ear-bundle/sdk", "-B", tmp_path / "build", f"-DWECKD_{part}=ON")
    assert f"WECKD_{part}=ON needs the folder {part.lower()}/" in said


def test_every_file_that_the_build_names_is_carried() -> None:
    carried = {str(path) for path in sdk_files()}
    for path in carried:
        if Path(path).name != "CMakeLists.txt":
            continue
        folder = Path(path).parent
        text = (SOURCE / path).read_text(encoding="utf-8").split("if(WECKD_TESTS)\n  #")[0]
        for name in re.findall(r"[\w./-]+\.(?:c|cpp|h|hpp|in|cmake|service|timer|conf)\b", text):
            if (SOURCE / folder / name).is_file():
                assert os.path.normpath(folder / name) in carried
    assert not [path for path in carried if "/tests/" in path or "__pycache__" in path]


def test_every_option_is_in_the_guide() -> None:
    text = (SOURCE / "CMakeLists.txt").read_text(encoding="utf-8")
    options = re.findall(r"^(?:option|set)\((\w+) .*(?:ON|OFF|CACHE)\b.*\)", text, re.MULTILINE)
    assert {"WECKD_UPDATE", "WECKD_OPENVINO_SONAME", "WECKD_WERROR", "BUILD_SHARED_LIBS"} <= set(options)
    table = re.findall(r"^\| (`[^|]+) \|", (GUIDES / "firmware.md").read_text(encoding="utf-8"), re.MULTILINE)
    told = {name for row in table for name in re.findall(r"`(\w+)`", row)}
    assert set(options) <= told
    assert {"OPENVINO_C_INCLUDE_DIR", "OpenVINO_DIR"} <= told


def configure(tmp_path: Path, *options: object) -> tuple[str, dict[str, str]]:
    """Configure without OpenVINO on any default path, and return what was said and the cache."""
    done = subprocess.run(
        ["cmake", "-S", SOURCE, "-B", tmp_path / "build", *map(str, options)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cache = (tmp_path / "build/CMakeCache.txt").read_text(encoding="utf-8")
    return " ".join((done.stdout + done.stderr).split()), dict(re.findall(r"^(\w+):\w+=(.*)$", cache, re.MULTILINE))


def openvino_of_the_host(folder: Path) -> Path:
    """Draw a wheel: a header and a library under its version's name; return the folder to give as ``OpenVINO_DIR``."""
    for name in ("include/openvino/c/openvino.h", "libs/libopenvino_c.so.9999", "cmake/OpenVINOConfig.cmake"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder / "cmake"


def test_without_openvino_the_build_goes_on_and_says_what_it_lacks(tmp_path: Path) -> None:
    said, cache = configure(tmp_path)
    if not cache["OPENVINO_C_INCLUDE_DIR"].endswith("NOTFOUND"):
        pytest.skip("OpenVINO's headers are installed in the system")
    assert "This build runs no model with OpenVINO" in said
    assert "-DOpenVINO_DIR=" in said
    assert "backends: onnxruntime" in said
    said = fails("cmake", "-S", SOURCE, "-B", tmp_path / "asked", "-DWECKD_OPENVINO=ON")
    assert "-DOPENVINO_C_INCLUDE_DIR=" in said
    said = fails("cmake", "-S", SOURCE, "-B", tmp_path / "wrong", "-DOpenVINO_DIR=/nosuch")
    assert "OpenVINO_DIR=/nosuch: expected the folder cmake" in said


def test_a_native_build_takes_the_name_of_the_library_beside_the_headers(tmp_path: Path) -> None:
    said, _ = configure(tmp_path, f"-DOpenVINO_DIR={openvino_of_the_host(tmp_path / 'openvino')}")
    assert "openvino (libopenvino_c.so, libopenvino_c.so.9999)" in said


@pytest.mark.skipif(shutil.which("aarch64-linux-gnu-gcc") is None, reason="aarch64-linux-gnu-gcc is not installed")
def test_a_build_for_another_processor_takes_headers_and_no_name_from_the_host(tmp_path: Path) -> None:
    """The root holds what Debian's arm64 packages would, with empty libraries; ``make arm64-test`` has the real ones."""
    root, place = tmp_path / "root", tmp_path / "root/usr/lib/aarch64-linux-gnu"
    (place / "pkgconfig").mkdir(parents=True)
    (root / "usr/include/mbedtls").mkdir(parents=True)
    (root / "usr/include/mbedtls/pk.h").touch()
    for name in ("jansson", "mbedcrypto"):
        run("aarch64-linux-gnu-gcc", "-shared", "-o", place / f"lib{name}.so", "-x", "c", os.devnull)
    (place / "pkgconfig/jansson.pc").write_text(
        "Name: jansson\nDescription: JSON\nVersion: 2.14\nCflags: -I/usr/include\n"
        "Libs: -L/usr/lib/aarch64-linux-gnu -ljansson\n"
    )
    openvino = openvino_of_the_host(tmp_path / "openvino")
    toolchain = (f"-DCMAKE_TOOLCHAIN_FILE={SOURCE}/cmake/aarch64-linux-gnu.cmake", f"-DWECKD_ROOT={root}")
    said, cache = configure(tmp_path, *toolchain, f"-DOpenVINO_DIR={openvino}")
    assert "openvino (libopenvino_c.so, libopenvino_c.so)" in said
    assert "9999" not in (tmp_path / "build/CMakeFiles/weckd_objects.dir/flags.make").read_text(encoding="utf-8")
    assert Path(cache["OPENVINO_C_INCLUDE_DIR"]).resolve() == tmp_path / "openvino/include"
    assert cache["MBEDCRYPTO_LIBRARY"] == f"{place}/libmbedcrypto.so"
    assert cache["MBEDTLS_INCLUDE_DIR"] == f"{root}/usr/include"
    assert cache["pkgcfg_lib_JANSSON_jansson"] == f"{place}/libjansson.so"
    said, _ = configure(tmp_path, *toolchain, "-DWECKD_OPENVINO_SONAME=libopenvino_c.so.2541")
    assert "openvino (libopenvino_c.so, libopenvino_c.so.2541)" in said


def test_no_cpp_compiler_is_needed_and_warnings_are_no_errors(tmp_path: Path) -> None:
    """``/nosuch`` as a C++ compiler would end a project that asks for one."""
    options = ("-DCMAKE_CXX_COMPILER=/nosuch", "-DWECKD_EXAMPLES=ON", "-DWECKD_UPDATE=ON")
    said, cache = configure(tmp_path, *options, "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
    assert "CMAKE_CXX_FLAGS" not in cache
    assert "The example in C++ is left out" in said
    assert "-Werror" not in (tmp_path / "build/compile_commands.json").read_text(encoding="utf-8")
    assert "weckd_edge 0.1.0" in said


def test_mbed_tls_4_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "mbedtls").mkdir()
    (tmp_path / "mbedtls/pk.h").touch()
    (tmp_path / "mbedtls/build_info.h").write_text("#define MBEDTLS_VERSION_MAJOR         4\n")
    said = fails("cmake", "-S", SOURCE, "-B", tmp_path / "build", f"-DMBEDTLS_INCLUDE_DIR={tmp_path}")
    assert f"Mbed TLS 2.28 or 3 is needed, {tmp_path} has 4" in said


def test_a_built_program_can_rely_on_what_the_api_version_promised() -> None:
    if sys.maxsize < 2**32:
        pytest.skip("the promise is kept for 64-bit processors")
    kept, told = abi.KEPT.read_text(encoding="utf-8"), abi.describe()
    assert not abi.taken_away(kept, told), (
        "raise WECKD_API_VERSION in weckd_edge.h, then python tests/support/firmware/abi.py"
    )
    assert kept == told, "python tests/support/firmware/abi.py writes what was added"


def test_a_changed_struct_under_the_same_api_version_is_seen(tmp_path: Path) -> None:
    kept = abi.describe()

    def told(old: str, new: str) -> list[str]:
        assert old in HEADER
        (tmp_path / "changed.h").write_text(HEADER.replace(old, new, 1), encoding="utf-8")
        found: list[str] = abi.taken_away(kept, abi.describe(tmp_path / "changed.h"))
        return found

    assert told("uint64_t reserved[4];", "uint64_t reserved[5];") == ["struct weckd_options 136 bytes"]
    assert told("uint64_t reserved[4];", "uint32_t priority; uint32_t more; uint64_t reserved[3];") == []
    assert any("min_abs" in line or "max_abs" in line for line in told("double max_abs;", "float max_abs;"))
    assert told("WECKD_ERR_IO = -2,", "WECKD_ERR_IO = -200,") == ["WECKD_ERR_IO -2"]
    assert told("weckd_library_version(void)", "weckd_library_version(int)") == ["const char *weckd_library_version(void)"]


def test_the_library_is_numbered_by_its_api_and_exports_what_its_header_declares(installed: Path, library: Any) -> None:
    for path in (installed / "lib/libweckd_edge.so", library.folder / "libweckd_edge.so"):
        (soname,) = re.findall(r"SONAME.*\[(.+)\]", run("readelf", "-d", path))
        assert soname == f"libweckd_edge.so.{abi.version(abi.describe())}"
        symbols = {line.split()[-1] for line in run("nm", "-D", "--defined-only", path).splitlines()}
        assert symbols == abi.function_names(HEADER)
