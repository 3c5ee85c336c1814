"""The C library: what it refuses, and that it refuses as the Python reader does."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.bundles.signing_keys import write_pair
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.bundle.signing import sign
from weckd_edge.bundle.writer import seal
from weckd_edge.core.errors import BundleError

FILES = ("manifest.json", "model/model.onnx", "selftest/frames.npy", "selftest/expected.npy")


def refused(library: Any, folder: Path, status: int, *options: object) -> str:
    out = library.run("runner", folder, *options, "check", expect=1)
    assert out.startswith(f"status {status}:"), out
    return str(out)


def reseal(folder: Path, **changes: Any) -> None:
    manifest = open_bundle(folder).manifest
    seal(folder, replace(manifest, **changes))


def test_what_needs_no_bundle(library: Any) -> None:
    assert re.search(r"^\d{2,} checks, 0 failed$", library.run("test_core"), re.MULTILINE)


def test_memory_and_undefined_behaviour_are_sound(sanitized: Any, bundle: Path, keys: dict[str, Path]) -> None:
    sign(bundle, keys["p256"])
    sanitized.run("test_core")
    key = ("--key", keys["p256.pub"])
    assert "signature 2" in sanitized.run("runner", bundle, *key, "check")
    sanitized.run("runner", bundle, *key, "selftest", expect=1)  # the stand-in has no tolerance; everything else ran


@pytest.mark.parametrize("is_signed", [False, True])
def test_a_thousand_flipped_bits_and_every_cut_are_refused(
    sanitized: Any, bundle: Path, keys: dict[str, Path], is_signed: bool
) -> None:
    """Of the manifest every length is tried, or every eighth where a signature refuses it unread; all under the sanitizers.

    Of other files the ends and drawn places are tried.
    """
    if is_signed:
        sign(bundle, keys["p256"])
    files = (*FILES, "signature") if is_signed else FILES
    out = sanitized.run("flips", bundle, 1000, 1, keys["p256.pub"] if is_signed else "-", *files)
    flips, flips_accepted, cuts, cuts_accepted = map(int, re.findall(r"\d+", out))
    assert (flips, flips_accepted, cuts_accepted) == (1000, 0, 0), out
    others = sum(2 * 16 for name in files[1:])
    assert cuts >= (bundle / "manifest.json").stat().st_size // (8 if is_signed else 1) + others
    open_bundle(bundle)  # the files were put back


@pytest.mark.parametrize("curve", ["p256", "p384", "p521"])
def test_signatures_of_every_curve_are_checked(library: Any, bundle: Path, keys: dict[str, Path], curve: str) -> None:
    public = keys[f"{curve}.pub"]
    assert "signature 0" in library.run("runner", bundle, "check")
    refused(library, bundle, -8, "--key", public)  # unsigned, and a key is configured
    sign(bundle, keys[curve])
    assert "signature 1" in library.run("runner", bundle, "check")
    assert "signature 2" in library.run("runner", bundle, "--key", public, "check")
    assert "another key" in refused(library, bundle, -9, "--key", keys["other.pub"])
    reseal(bundle, name="another")  # removes the signature
    shutil.copy(bundle / "manifest.json", bundle.parent / "kept")
    sign(bundle, keys[curve])
    (bundle / "manifest.json").write_bytes((bundle.parent / "kept").read_bytes().replace(b"another", b"anothes"))
    assert "manifest.json is not what was signed" in refused(library, bundle, -9, "--key", public)


def test_a_key_that_is_none_is_distinguished_from_a_bad_signature(library: Any, bundle: Path, keys: dict[str, Path]) -> None:
    sign(bundle, keys["p256"])
    text = bundle.parent / "key.txt"
    text.write_text("not a key")
    refused(library, bundle, -10, "--key", text)


@pytest.mark.parametrize("curve", ["SECP256K1", "BrainpoolP256R1", "BrainpoolP384R1"])
def test_a_key_on_a_curve_that_signs_no_bundle_is_refused(
    library: Any, bundle: Path, keys: dict[str, Path], curve: str
) -> None:
    """They have the sizes of P-256 and P-384: the curve itself must be looked at."""
    sign(bundle, keys["p256"])
    _, public = write_pair(bundle.parent, "curve", curve)
    assert "on no curve that signs bundles" in refused(library, bundle, -10, "--key", public)


def test_an_older_version_than_the_caller_takes_is_refused(library: Any, bundle: Path) -> None:
    reseal(bundle, version=7)
    assert "version 7" in library.run("runner", bundle, "--min-version", 7, "check")
    assert "expected version 8 or newer, found 7" in refused(library, bundle, -11, "--min-version", 8)


def edit(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """Return what changes the manifest and gives it a right digest again."""

    def run(folder: Path) -> None:
        import hashlib

        path = folder / "manifest.json"
        data = json.loads(path.read_bytes())
        change(data)
        data["manifest_sha256"] = "0" * 64
        text = json.dumps(data, indent=1, sort_keys=True) + "\n"
        path.write_text(text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest()))

    return run


def listed(path: str) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["files"].append({"path": path, "sha256": "0" * 63 + "1", "bytes": 0})


def link(folder: Path) -> None:
    (folder / "model/link").symlink_to("model.onnx")


def link_for_file(folder: Path) -> None:
    (folder / "model/model.onnx").rename(folder.parent / "moved")
    (folder / "model/model.onnx").symlink_to(folder.parent / "moved")


def link_for_folder(folder: Path) -> None:
    (folder / "model").rename(folder.parent / "moved")
    (folder / "model").symlink_to(folder.parent / "moved")


def twice(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"passed": true', '"passed": true, "passed": true'))


def deep(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"gates": []', '"gates": ' + "[" * 50000 + "]" * 50000))


BAD: dict[str, tuple[int, Callable[[Path], object]]] = {
    "no manifest": (-3, lambda folder: (folder / "manifest.json").unlink()),
    "a key twice": (-3, twice),
    "deep nesting": (-3, deep),
    "an unknown key": (-3, edit(lambda data: data.update(new=1))),
    "a missing key": (-3, edit(lambda data: data.pop("labels"))),
    **{
        f"no {key}": (-3, edit(lambda data, key=key: data.pop(key)))
        for key in ("target", "device", "network_input_name", "gates", "versions", "passed", "selftest", "models", "input")
    },
    "a target that is none": (-3, edit(lambda data: data.update(target="phone"))),
    "an input size in words": (-3, edit(lambda data: data["input"]["network"].update(height="8"))),
    "a newer format": (-4, edit(lambda data: data.update(schema_version=2))),
    "format 0": (-3, edit(lambda data: data.update(schema_version=0))),
    "a link": (-7, link),
    "a link in place of a file": (-7, link_for_file),
    "a link in place of a folder": (-7, link_for_folder),
    "a pipe": (-7, lambda folder: os.mkfifo(folder / "pipe")),
    "a file too many": (-6, lambda folder: (folder / "more").write_text("")),
    "a file too few": (-6, lambda folder: (folder / "model/model.onnx").unlink()),
    "a way out": (-6, edit(listed("../passwd"))),
    "an absolute path": (-6, edit(listed("/etc/passwd"))),
    "a dot": (-6, edit(listed("model/./model.onnx"))),
    "an empty part": (-6, edit(listed("model//model.onnx"))),
    "a backslash": (-6, edit(listed("model\\model.onnx"))),
    "a line break": (-6, edit(listed("model\nmodel.onnx"))),
    "a path of the device": (-6, edit(listed("device/engine"))),
    "the manifest listed": (-6, edit(listed("manifest.json"))),
    "a file listed twice": (-6, edit(lambda data: data["files"].append(data["files"][0]))),
    "a path too long": (-6, edit(listed("a/" * 300 + "a"))),
    "a negative size": (-3, edit(lambda data: data["files"][0].update(bytes=-1))),
    "a size beyond 64 bits": (-3, edit(lambda data: data["files"][0].update(bytes=1 << 64))),
    "a larger size": (-6, edit(lambda data: data["files"][0].update(bytes=1 << 40))),
    "an unlisted use": (-6, edit(lambda data: data["onnx"].update(path="model/other.onnx"))),
    "a huge frame": (-13, edit(lambda data: data["input"]["frame"].update(width=1 << 20))),
    "no labels": (-3, edit(lambda data: data.update(labels=[]))),
    "labels by the thousand": (-13, edit(lambda data: data.update(labels=["a"] * 2000))),
    "a label without an end": (-13, edit(lambda data: data.update(labels=["a" * 500]))),
    "files by the thousand": (-13, edit(lambda data: data.update(files=data["files"] * 2000))),
    "a version below 0": (-3, edit(lambda data: data.update(version=-1))),
}


@pytest.mark.parametrize("what", BAD)
def test_a_crafted_bundle_is_refused(library: Any, bundle: Path, what: str) -> None:
    status, change = BAD[what]
    change(bundle)
    refused(library, bundle, status)


@pytest.mark.parametrize("what", [what for what, (status, _) in BAD.items() if status != -13])
def test_python_refuses_it_too(bundle: Path, what: str) -> None:
    BAD[what][1](bundle)
    with pytest.raises(BundleError):
        open_bundle(bundle)


def test_sizes_that_wrap_around_are_no_small_model(library: Any, bundle: Path) -> None:
    """Together these are 0 modulo 2**64: a sum that wrapped would take a small block, and a model be read far behind it."""
    sizes = (2**63 - 1, 2**63 - 1, 2)
    files = [{"path": f"model/{i}", "sha256": "1" * 64, "bytes": size} for i, size in enumerate(sizes)]
    for file in files:
        (bundle / str(file["path"])).touch()
    edit(lambda data: (data["files"].extend(files), data["models"][-1].update(files=files)))(bundle)
    out = library.run("runner", bundle, "--backend", "echo", "selftest", expect=1)
    assert out.startswith("status -13:")


def test_what_the_device_built_is_not_part_of_the_seal(library: Any, bundle: Path) -> None:
    (bundle / "device/engines").mkdir(parents=True)
    (bundle / "device/engines/anything").write_text("built here")
    library.run("runner", bundle, "check")


@pytest.mark.parametrize("function", ["fstatat", "openat"])
def test_what_vanishes_from_the_devices_folder_while_it_is_listed_is_passed_over(
    library: Any, bundle: Path, tmp_path: Path, function: str
) -> None:
    """finalize renames its files there at any time; from the sealed part of a bundle nothing may vanish."""
    rest, passed = {"fstatat": ("struct stat *about, int flags", "about, flags"), "openat": ("int flags, ...", "flags")}[
        function
    ]
    (tmp_path / "gone.c").write_text(
        f"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
int {function}(int at, const char *name, {rest}) {{
    if (strcmp(name, "gone") == 0) {{
        unlinkat(at, name, AT_REMOVEDIR);
    }}
    return ((int (*)(int, const char *, ...))dlsym(RTLD_NEXT, "{function}"))(at, name, {passed});
}}
"""
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "gone.so", tmp_path / "gone.c", "-ldl"], check=True)
    (bundle / "device").mkdir()
    for below, expect, words in (("device", 0, "ok "), ("model", 1, "status -2: ")):
        gone = bundle / below / "gone"
        gone.mkdir()
        out = library.run("runner", bundle, "check", expect=expect, env={"LD_PRELOAD": str(tmp_path / "gone.so")})
        assert out.startswith(words), out
        assert not gone.exists()


def test_nothing_is_allocated_after_opening(library: Any, toy: ModuleType, tmp_path: Path) -> None:
    for name, spec in (("frame", toy.input_spec()), ("pixels", toy.area_input_spec())):
        folder = toy.write_bundle(tmp_path / name, spec=spec, **toy.IN_C).folder
        out = library.run("no_allocation", folder, "echo", "-")
        in_open, first, second = map(int, re.findall(r"\d+", out))
        assert in_open > 0
        assert (first, second) == (0, 0)


def test_a_bundle_without_a_backend_says_which_there_are_not(library: Any, bundle: Path) -> None:
    out = library.run("runner", bundle, "--backend", "nosuch", "selftest", expect=1)
    assert "no backend called 'nosuch'" in out
    out = library.run("runner", bundle, "--backend", "openvino", "--library", "/nosuch/lib.so", "selftest", expect=1)
    assert out.startswith("status -14:")
    assert "/nosuch/lib.so" in out or library.openvino is None


def test_a_black_frame_that_gives_no_number_is_not_decided(library: Any, bundle: Path, toy: ModuleType) -> None:
    raw = bundle.parent / "black"
    raw.write_bytes(bytes(toy.SIDE * toy.SIDE * 3))
    out = library.run("runner", bundle, "--backend", "echo", "frames", raw, toy.SIDE, toy.SIDE, 0, 0)
    assert out.split()[:3] == ["-1", "-1", "2"]


def test_the_camera_queue_drops_the_oldest(library: Any) -> None:
    assert library.run("../examples/test_frame_queue") == "ok\n"
