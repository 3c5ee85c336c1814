"""What an embedder does: build against the library, call it from C, C++ and Python."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

USER = "#include <weckd_edge.h>\nint main(void) { return weckd_api_version() == WECKD_API_VERSION ? 0 : 1; }\n"


def run(*command: object, **more: Any) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def flags_of(prefix: Path, *more: str) -> list[str]:
    folder = next(prefix.rglob("weckd_edge.pc")).parent
    env = {**os.environ, "PKG_CONFIG_PATH": str(folder)}
    return run("pkg-config", "--cflags", "--libs", *more, "weckd_edge", env=env).split()


def test_a_static_library_links(firmware: ModuleType, tmp_path: Path) -> None:
    build, prefix = tmp_path / "build", tmp_path / "prefix"
    run("cmake", "-S", firmware.SOURCE, "-B", build, "-DBUILD_SHARED_LIBS=OFF", "-DWECKD_OPENVINO=OFF")
    run("cmake", "--build", build, "--parallel", "2")
    run("cmake", "--install", build, "--prefix", prefix)
    symbols = {
        line.split()[-1] for line in run("nm", "-g", "--defined-only", next(prefix.rglob("*.a"))).splitlines() if " " in line
    }
    assert not [name for name in symbols if not name.startswith("weckd_")]  # a program's own names stay free
    (tmp_path / "user.c").write_text(USER.replace("weckd_api_version()", "(weckd_close(NULL), weckd_api_version())"))
    run("cc", tmp_path / "user.c", *flags_of(prefix, "--static"), "-o", tmp_path / "user")
    run(tmp_path / "user")


def test_c_and_cpp_examples_classify_a_golden_frame(library: Any, bundle: Path, toy: ModuleType, tmp_path: Path) -> None:
    if library.openvino is None:
        pytest.skip("OpenVINO's wheel is not installed")
    frame = np.load(bundle / "selftest/frames.npy")[0]
    expected = np.load(bundle / "selftest/expected.npy")[0]
    (tmp_path / "frame.rgb").write_bytes(frame.tobytes())
    label = toy.LABELS[int(expected.argmax())]
    examples = library.folder / "examples"
    out = run(examples / "classify_frame", bundle, tmp_path / "frame.rgb", "--library", library.openvino)
    assert out.startswith(f"{label} ({expected.max():.3f}) in ")
    assert run(examples / "classify_cpp", bundle, tmp_path / "frame.rgb", library.openvino) == f"{label}\n"


def test_the_python_binding_classifies_and_tells_memory(
    binding: ModuleType, library: Any, bundle: Path, toy: ModuleType
) -> None:
    path = str(library.folder / "libweckd_edge.so")
    sizes = {f"{part}_{side}": toy.SIDE for part in ("frame", "input") for side in ("width", "height")}
    sizes |= {"classes": 3, "model_bytes": 2000}
    small = binding.memory_bytes(path, **sizes)
    assert 8192 < small < binding.memory_bytes(path, **sizes, max_source_width=640, max_source_height=480)
    opened = binding.Bundle(path, str(bundle), backend=b"echo", precision=b"fp32")
    model = opened.model
    assert (model.backend, model.backend_version, model.precision) == (b"echo", b"1", b"fp32")
    assert (model.tolerance, model.chosen_here, model.takes_frame) == (toy.TOLERANCE, 0, 1)
    assert (opened.contract.frame_width, opened.contract.classes, opened.labels) == (toy.SIDE, 3, list(toy.LABELS))
    frame = toy.frames()[0]
    sums = np.array([frame.reshape(-1)[k::3].sum() for k in range(3)], np.float32)
    prediction = opened.classify(frame.tobytes())
    assert list(prediction.probabilities.values()) == pytest.approx(list(sums / sums.sum()), abs=1e-6)
    with pytest.raises(binding.WeckdCError, match="expected a region"):
        opened.classify(bytes(3 * 10 * 10), width=10, height=10)
    with pytest.raises(binding.WeckdCError, match="with echo in fp32 a probability differs"):
        opened.selftest()
    opened.close()
    with pytest.raises(binding.WeckdCError, match="expected a bundle, found none"):
        binding.Bundle(path, str(bundle / "model"))


def test_the_python_binding_reads_nothing_behind_a_frame(
    binding: ModuleType, library: Any, bundle: Path, toy: ModuleType
) -> None:
    import ctypes

    opened = binding.Bundle(str(library.folder / "libweckd_edge.so"), str(bundle), backend=b"echo")
    side = toy.SIDE
    rgb = 3 * side * side
    nv12 = {"format": 3, "fit": 1}
    luma = (ctypes.c_uint8 * (side * side))()
    chroma = (ctypes.c_uint8 * (side * side // 2))()
    for need, fields in (
        (rgb, {}),
        (rgb + 8 * (side - 1), {"stride_bytes": 3 * side + 8}),
        (side * side, {"format": 2}),
        (side * side * 2, {"format": 4}),
        (side * side * 3 // 2, nv12),
        (side * side + 32 * (side // 2 - 1) + side, {**nv12, "chroma_stride_bytes": 32}),
        (side * side, {**nv12, "chroma": ctypes.addressof(chroma)}),
    ):
        opened.classify(bytes(need), **fields)
        for frame in (bytes(need - 1), (ctypes.c_uint8 * (need - 1))(), b""):
            with pytest.raises(binding.WeckdCError) as caught:
                opened.classify(frame, **fields)
            assert caught.value.status == -16
            assert f"expected {need} bytes, got {len(frame)}" in str(caught.value)
    opened.classify(luma, **nv12, chroma=ctypes.addressof(chroma))
    opened.classify(opened.frame_buffer())
    opened.begin_exam()
    with pytest.raises(binding.WeckdCError) as caught:
        opened.add_to_exam(b"")
    assert caught.value.status == -16
    opened.close()


def test_what_the_python_binding_tells_of_a_bundle_outlives_it(binding: ModuleType, library: Any, bundle: Path) -> None:
    import ctypes

    block = (ctypes.c_uint8 * (1 << 20))()
    start = -(-ctypes.addressof(block) // 64) * 64
    room = {"memory": start, "memory_bytes": len(block) - 64}
    opened = binding.Bundle(str(library.folder / "libweckd_edge.so"), str(bundle), backend=b"echo", **room)
    told = (opened.contract.name, opened.contract.id, opened.model.backend_version, opened.model.precision)
    opened.close()
    ctypes.memset(block, 0x55, len(block))
    assert (opened.contract.name, opened.contract.id, opened.model.backend_version, opened.model.precision) == told


IN_A_CALL = """
#include <weckd_edge.hpp>
#include <cstdio>
static weckd::Bundle *opened;
static std::uint64_t now(void *asks) {
    if (*static_cast<bool *>(asks)) {
        *static_cast<bool *>(asks) = false;
        try { opened->begin_exam(); } catch (const weckd::Error &error) { std::printf("%s", error.what()); }
    }
    return 0;
}
int main(int, char **argv) {
    bool asks = false;
    weckd_options options{};
    options.backend = "echo";
    options.clock_ns = now;
    options.clock_context = &asks;
    weckd::Bundle bundle(argv[1], options);
    opened = &bundle;
    weckd_frame frame{};
    try { bundle.classify(frame); } catch (const weckd::Error &) {} // it leaves a message
    frame.pixels = bundle.frame_buffer();
    frame.width = bundle.contract().frame_width;
    frame.height = bundle.contract().frame_height;
    asks = true;
    bundle.classify(frame);
}
"""


def test_a_call_while_another_is_under_way_has_no_message_of_the_other(
    firmware: ModuleType, binding: ModuleType, library: Any, bundle: Path, toy: ModuleType, tmp_path: Path
) -> None:
    import ctypes

    said: list[str] = []

    @ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)
    def now(_: object) -> int:
        try:
            opened.begin_exam()
        except binding.WeckdCError as err:
            said.append(str(err))
        return 0

    clock = ctypes.cast(now, ctypes.c_void_p)
    opened = binding.Bundle(str(library.folder / "libweckd_edge.so"), str(bundle), backend=b"echo", clock_ns=clock)
    with pytest.raises(binding.WeckdCError, match="region"):
        opened.classify(bytes(3 * 10 * 10), width=10, height=10)
    said.clear()
    opened.classify(toy.frames()[0].tobytes())
    opened.close()
    busy = "another thread is using this bundle"
    assert set(said) == {busy}
    (tmp_path / "busy.cpp").write_text(IN_A_CALL)
    flags = ["-std=c++17", f"-I{firmware.SOURCE}/include", f"-L{library.folder}", f"-Wl,-rpath,{library.folder}"]
    run("c++", *flags, tmp_path / "busy.cpp", "-lweckd_edge", "-o", tmp_path / "busy")
    assert run(tmp_path / "busy", bundle) == busy


def test_a_block_of_the_callers_must_be_large_enough(
    binding: ModuleType, library: Any, bundle: Path, toy: ModuleType
) -> None:
    import ctypes

    path = str(library.folder / "libweckd_edge.so")
    model = (bundle / "model/model.onnx").stat().st_size
    sizes = {f"{part}_{side}": toy.SIDE for part in ("frame", "input") for side in ("width", "height")}
    need = binding.memory_bytes(path, **sizes, classes=3, model_bytes=model)
    block = (ctypes.c_uint8 * (need + 128))()
    start = -(-ctypes.addressof(block) // 64) * 64
    with pytest.raises(binding.WeckdCError, match=f"expected a block of {need} bytes, got {need - 1}"):
        binding.Bundle(path, str(bundle), backend=b"echo", memory=start, memory_bytes=need - 1)
    with pytest.raises(binding.WeckdCError, match="not aligned"):
        binding.Bundle(path, str(bundle), backend=b"echo", memory=start + 1, memory_bytes=need)
    opened = binding.Bundle(path, str(bundle), backend=b"echo", memory=start, memory_bytes=need)
    opened.classify(toy.frames()[0].tobytes())
    opened.close()
    assert bytes(block)[start - ctypes.addressof(block) + need :].strip(b"\0") == b""  # nothing was written behind it


@pytest.mark.skipif(shutil.which("clang") is None, reason="clang is not installed")
def test_clang_takes_it_too(firmware: ModuleType, tmp_path: Path) -> None:
    firmware.build(tmp_path / "build", compiler=("clang", "clang++"))


BEFORE = """
#include <weckd_edge.h>
#include <stdio.h>
static const char KEY[] = "";
int next_frame(weckd_frame *frame);
int use(const uint8_t *nv12, uint64_t lowest_version_accepted);
int use(const uint8_t *nv12, uint64_t lowest_version_accepted) {
"""
BEFORE_README = """
#include <weckd_edge.h>
static const char KEY[] = "";
void use(weckd_frame frame, float *probabilities, uint32_t classes, uint64_t lowest_version_accepted);
void use(weckd_frame frame, float *probabilities, uint32_t classes, uint64_t lowest_version_accepted) {
"""


@pytest.mark.parametrize(
    ("page", "before", "after"),
    [("docs/how-to/firmware.md", BEFORE, "return 0;\n}\n"), ("README.md", BEFORE_README, "}\n")],
)
def test_what_the_guides_show_compiles(firmware: ModuleType, tmp_path: Path, page: str, before: str, after: str) -> None:
    text = (firmware.SOURCE.parents[1] / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```c\n(.*?)```", text, re.DOTALL)
    assert blocks
    (tmp_path / "shown.c").write_text(before + "".join(blocks) + after)
    run("cc", "-std=c11", "-Wall", "-Wextra", "-I", firmware.SOURCE / "include", "-fsyntax-only", tmp_path / "shown.c")


def test_the_watchdog_is_reported(firmware: ModuleType, tmp_path: Path) -> None:
    import ctypes
    import socket

    library = tmp_path / "watchdog.so"
    run("cc", "-shared", "-fPIC", "-o", library, firmware.SOURCE / "examples/watchdog.c")
    tell = ctypes.CDLL(str(library)).watchdog_tell
    for address in (str(tmp_path / "notify"), f"\0weckd-{os.getpid()}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.settimeout(5)
            systemd.bind(address)
            tell(address.replace("\0", "@").encode(), b"WATCHDOG=1")
            assert systemd.recv(64) == b"WATCHDOG=1"
    tell(None, b"READY=1")  # no systemd: nothing happens
