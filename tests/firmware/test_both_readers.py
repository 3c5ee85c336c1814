"""Both readers follow docs/reference/bundle-format.md: they give the same verdict on each of the same crafted bundles."""

import base64
import copy
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.bundles.signing_keys import write_pair
from support.errors import raises
from weckd_edge.artifacts import BuiltModel, ExamRule, FrameGuard, FrameWeights, QualityLimits
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.bundle.signing import sign
from weckd_edge.bundle.writer import seal
from weckd_edge.core.serialization import to_data
from weckd_edge.core.store import file_ref
from weckd_edge.devices.runtime.input_guard import FEATURES


@pytest.fixture(scope="module")
def folder(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose manifest has every key there is."""
    folder = tmp_path_factory.mktemp("readers") / "bundle"
    toy.write_graph(folder / "model/model.onnx")
    for name, data in (("model.xml", b"<net/>"), ("model.bin", b"\0" * 8)):
        (folder / "model" / name).write_bytes(data)
    model = BuiltModel(
        backend="openvino",
        backend_version="1",
        precision="fp32",
        kind="model",
        files=tuple(file_ref(folder, folder / "model" / name) for name in ("model.bin", "model.xml")),
        source_sha256="0" * 64,
        detail=("whole",),
        settings={"INFERENCE_PRECISION_HINT": "f32"},
    )
    rows = tuple((0.5,) * (row + 1) for row in range(FEATURES))
    guard = FrameGuard(limits=QualityLimits(min_contrast=2.0), mean=(1.0,) * FEATURES, whitening=rows, max_ood_score=1e9)
    weights = FrameWeights(sharpness_edges=(), confidence_edges=(0.5, 0.75), table=((1, 2, 3),))
    more: dict[str, Any] = {"guard": guard, "exam": ExamRule(weights=weights, stop_lead=1000), "tolerance": 0.5}
    toy.write_bundle(folder, models=[model], backends=["echo"], non_gradeable_labels=("wax",), **more)
    return folder


@pytest.fixture(scope="module")
def readers_of(readers: ModuleType, library: Any, folder: Path) -> Iterator[Any]:
    with readers.both(library.folder / "tests/verdicts", folder) as found:
        yield found


@pytest.fixture(scope="module")
def base(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    data["gates"] = [{"name": "accuracy", "limit": 0.8, "value": None, "verdict": "PASS", "reason": "well"}]
    data["versions"] = {"weckd-edge": "0.1.0"}
    data["version"] = 3
    return data


@pytest.fixture(autouse=True)
def _put_back(folder: Path) -> Iterator[None]:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    yield
    for path in folder.rglob("*"):
        if path.is_file() and path not in before:
            path.unlink()
    for path, data in before.items():
        path.write_bytes(data)


def test_every_value_of_a_manifest_replaced_by_each_odd_one(
    readers: ModuleType, crafted_bundles: ModuleType, readers_of: Any, base: Any
) -> None:
    """More than a thousand manifests, each with its digest right; a few may be taken, such as another number for a bar."""
    manifest, taken, count = readers_of.folder / "manifest.json", 0, 0
    for path in crafted_bundles.places(base):
        if path == ("manifest_sha256",):
            continue
        for value in crafted_bundles.odd_values(readers.Raw):
            manifest.write_bytes(readers.sealed(crafted_bundles.put(base, path, value)))
            by_c, by_python = readers_of.verdicts()
            assert by_c == by_python, (path, value)
            taken += by_c is None
            count += 1
    assert count > 1000
    assert 30 < taken < count // 4


def test_both_readers_say_of_a_crafted_manifest_what_is_written(
    readers: ModuleType, crafted_bundles: ModuleType, readers_of: Any, base: Any
) -> None:
    for what, (expected, change) in crafted_bundles.MANIFESTS.items():
        data = copy.deepcopy(base)
        data["operating_point"].update(non_gradeable_labels=["wax"])
        change(data)
        (readers_of.folder / "manifest.json").write_bytes(readers.sealed(data))
        assert readers_of.verdicts() == (expected, expected), what


def test_both_readers_say_the_same_of_texts_that_differ_in_bytes(
    readers: ModuleType, crafted_bundles: ModuleType, readers_of: Any, base: Any
) -> None:
    zeros = readers.to_text({**base, "manifest_sha256": "0" * 64}).encode()
    for what, (expected, text) in crafted_bundles.texts(zeros).items():
        assert text != zeros, what
        sealed = readers.seal_text(text)
        if what == "a changed byte":
            sealed = sealed.replace(b"wall", b"well")
        (readers_of.folder / "manifest.json").write_bytes(sealed)
        assert readers_of.verdicts() == (expected, expected), what


numbers = st.integers(-(1 << 65), 1 << 65) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def test_both_readers_say_the_same_of_mutated_manifests(
    readers: ModuleType, crafted_bundles: ModuleType, readers_of: Any, base: Any
) -> None:
    """Values moved to another place, or drawn; one fault may hide another, so that verdicts alone are compared."""
    all_places = [path for path in crafted_bundles.places(base) if path != ("manifest_sha256",)]

    @settings(max_examples=250, deadline=None, database=None, derandomize=True)
    @given(
        st.lists(st.tuples(st.sampled_from(all_places), st.sampled_from(all_places) | json_values), min_size=1, max_size=3)
    )
    def check(changes: list[tuple[Any, Any]]) -> None:
        data = base
        for place, value in changes:
            try:
                if isinstance(value, tuple):
                    moved: Any = base
                    for key in value:
                        moved = moved[key]
                    data = crafted_bundles.put(data, place, moved)
                else:
                    data = crafted_bundles.put(data, place, value)
            except (KeyError, IndexError, TypeError):  # an earlier change took the place away
                continue
        (readers_of.folder / "manifest.json").write_bytes(readers.sealed(data))
        by_c, by_python = readers_of.verdicts()
        assert (by_c is None) == (by_python is None), (by_c, by_python)

    check()


def write_guard(readers: ModuleType, crafted_bundles: ModuleType, folder: Path, base: dict[str, Any], text: bytes) -> None:
    (folder / "guard/guard.json").write_bytes(text)
    data = copy.deepcopy(base)
    for ref in crafted_bundles.refs(data, "guard/guard.json"):
        ref.update(bytes=len(text), sha256=hashlib.sha256(text).hexdigest())
    (folder / "manifest.json").write_bytes(readers.sealed(data))


def test_both_readers_say_of_a_crafted_guard_what_is_written(
    readers: ModuleType, crafted_bundles: ModuleType, readers_of: Any, base: Any
) -> None:
    good = json.loads((readers_of.folder / "guard/guard.json").read_bytes())
    for what, (expected, change) in crafted_bundles.GUARDS.items():
        data = copy.deepcopy(good)
        change(data)
        write_guard(readers, crafted_bundles, readers_of.folder, base, readers.to_text(data).encode())
        assert readers_of.verdicts() == (expected, expected), what
    text = readers.to_text(good).encode()
    for what, expected, raw in (
        ("a byte order mark", "format", b"\xef\xbb\xbf" + text),
        ("NaN", "format", text.replace(b"1000000000.0", b"NaN")),
        ("1e400", "format", text.replace(b"1000000000.0", b"1e400")),
        ("a key twice", "format", text.replace(b'"max_ood_score"', b'"max_ood_score": 1, "max_ood_score"')),
        ("1 MiB", None, text + b" " * ((1 << 20) - len(text))),
        ("1 MiB and a byte", "limit", text + b" " * ((1 << 20) + 1 - len(text))),
        ("empty", "format", b""),
        ("a list", "format", b"[]"),
    ):
        write_guard(readers, crafted_bundles, readers_of.folder, base, raw)
        assert readers_of.verdicts() == (expected, expected), what


def test_a_guard_needs_a_crop_with_neighbours(readers: ModuleType, readers_of: Any, base: Any) -> None:
    for side, expected in ((2, "format"), (3, None)):
        data = copy.deepcopy(base)
        data["input"]["frame"].update(height=side, width=50)
        (readers_of.folder / "manifest.json").write_bytes(readers.sealed(data))
        assert readers_of.verdicts() == (expected, expected), side


def put_golden(
    readers: ModuleType, crafted_bundles: ModuleType, folder: Path, base: dict[str, Any], path: str, data: bytes
) -> None:
    (folder / path).write_bytes(data)
    changed = copy.deepcopy(base)
    for ref in crafted_bundles.refs(changed, path):
        ref.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    (folder / "manifest.json").write_bytes(readers.sealed(changed))


def test_both_readers_take_the_same_golden_arrays(
    readers: ModuleType, crafted_bundles: ModuleType, readers_of: Any, base: Any
) -> None:
    for what, (is_taken, data) in crafted_bundles.ARRAYS.items():
        put_golden(readers, crafted_bundles, readers_of.folder, base, "selftest/frames.npy", data)
        status, by_python = readers_of.takes_golden()
        assert (status in (0, -18), by_python) == (is_taken, None if is_taken else "format"), (what, status)


def test_golden_predictions_are_finite_numbers_of_each_frame(
    readers: ModuleType, crafted_bundles: ModuleType, readers_of: Any, base: Any
) -> None:
    good = np.load(readers_of.folder / "selftest/expected.npy")
    (readers_of.folder / "selftest/frames.npy").write_bytes(crafted_bundles.npy())
    base = copy.deepcopy(base)
    for ref in crafted_bundles.refs(base, "selftest/frames.npy"):
        ref.update(bytes=len(crafted_bundles.npy()), sha256=hashlib.sha256(crafted_bundles.npy()).hexdigest())

    def shown(array: Any) -> tuple[int, str | None]:
        path = readers_of.folder.parent / "array.npy"
        np.save(path, array)
        put_golden(readers, crafted_bundles, readers_of.folder, base, "selftest/expected.npy", path.read_bytes())
        found: tuple[int, str | None] = readers_of.takes_golden()
        return found

    assert shown(good) in ((0, None), (-18, None))
    assert shown(good[:3]) == (-3, "format")
    assert shown(good[:, :2]) == (-3, "format")
    assert shown(good.astype("<f8")) == (-3, "format")
    assert shown(good.astype(">f4")) == (-3, "format")
    for odd in (np.nan, np.inf):
        wrong = good.copy()
        wrong[1, 1] = odd
        assert shown(wrong) == (-18, "format")  # C reads frame by frame: it runs this one, and fails


def folders(folder: Path) -> dict[str, tuple[str | None, Callable[[], object]]]:
    """What may lie in a folder beside the files that are listed."""

    def deep(count: int, name: str = "") -> None:
        path = folder / "/".join(["empty", *["d"] * (count - 1)])
        path.mkdir(parents=True)
        if name:
            (path / name).write_text("")

    return {
        "nothing more": (None, lambda: None),
        "an empty folder": (None, lambda: deep(1)),
        "16 empty folders in each other": (None, lambda: deep(16)),
        "17 empty folders in each other": ("limit", lambda: deep(17)),
        "300 empty folders in each other": ("limit", lambda: very_deep(folder / "empty", 300)),
        "17 folders below device/": ("limit", lambda: very_deep(folder / "device", 17)),
        "15 folders below device/": (None, lambda: very_deep(folder / "device", 16)),
        "a file too many": ("listing", lambda: (folder / "more").write_text("")),
        "a file of the device": (None, lambda: ((folder / "device").mkdir(), (folder / "device/any").write_text(""))),
        "a link of the device": ("link", lambda: ((folder / "device").mkdir(), (folder / "device/any").symlink_to("x"))),
        "a link": ("link", lambda: (folder / "more").symlink_to("manifest.json")),
        "a link to nothing": ("link", lambda: (folder / "more").symlink_to("nowhere")),
        "a path of 511 bytes": ("listing", lambda: long_path(folder, 511)),
        "a path of 512 bytes": ("limit", lambda: long_path(folder, 512)),
    }


def very_deep(path: Path, count: int) -> None:
    """Make folders in each other, deeper than a path can name."""
    import os

    path.mkdir(parents=True, exist_ok=True)
    at = os.open(path, os.O_RDONLY)
    for _ in range(count - 1):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def long_path(folder: Path, count: int) -> None:
    path = folder / ("a" * 250) / ("b" * 250)
    path.mkdir(parents=True)
    (path / ("c" * (count - 502))).write_text("")


@pytest.mark.parametrize("what", folders(Path()))
def test_both_readers_say_the_same_of_what_lies_in_the_folder(
    readers: ModuleType, library: Any, folder: Path, tmp_path: Path, what: str
) -> None:
    copied = tmp_path / "bundle"
    shutil.copytree(folder, copied)
    expected, make = folders(copied)[what]
    try:
        make()
        with readers.both(library.folder / "tests/verdicts", copied) as both:
            assert both.verdicts() == (expected, expected)
    finally:
        subprocess.run(["rm", "-rf", copied], check=True)  # Python's own cannot remove folders that lie this deep


@pytest.fixture(scope="module")
def key_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    pytest.importorskip("model_signing")
    return write_pair(tmp_path_factory.mktemp("keys"))


def test_both_readers_say_the_same_of_a_signature_file(
    readers: ModuleType, crafted_bundles: ModuleType, library: Any, folder: Path, key_pair: tuple[Path, Path], base: Any
) -> None:
    (folder / "manifest.json").write_bytes(readers.sealed(base))
    sign(folder, key_pair[0])
    good = (folder / "signature").read_bytes()
    with readers.both(library.folder / "tests/verdicts", folder, key=key_pair[1]) as both:
        for what, (expected, text) in crafted_bundles.signatures(good).items():
            (folder / "signature").write_bytes(text)
            assert both.verdicts(signed=True) == (expected, expected), what
        (folder / "signature").unlink()
        assert both.verdicts(signed=True) == ("unsigned", "unsigned")
        (folder / "signature").symlink_to("manifest.json")
        assert both.verdicts(signed=True) == ("link", "link")
        (folder / "signature").unlink()


def test_both_readers_say_the_same_of_what_the_owner_has_signed(
    readers: ModuleType, crafted_bundles: ModuleType, library: Any, folder: Path, key_pair: tuple[Path, Path], base: Any
) -> None:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    raw = readers.sealed(base)
    (folder / "manifest.json").write_bytes(raw)
    sign(folder, key_pair[0])
    envelope = json.loads((folder / "signature").read_bytes())
    private = serialization.load_pem_private_key(key_pair[0].read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    with readers.both(library.folder / "tests/verdicts", folder, key=key_pair[1]) as both:
        for what, (expected, statement) in crafted_bundles.statements(hashlib.sha256(raw).digest()).items():
            payload = json.dumps(statement).encode()
            kind = b"application/vnd.in-toto+json"
            signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
            envelope["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
            found = base64.b64encode(private.sign(signed, ec.ECDSA(hashes.SHA256()))).decode()
            envelope["dsseEnvelope"]["signatures"][0]["sig"] = found
            (folder / "signature").write_text(json.dumps(envelope))
            assert both.verdicts(signed=True) == (expected, expected), what


def test_what_seals_writes_only_what_both_readers_take(folder: Path) -> None:
    """A builder that was let write it would find out on the device."""
    from dataclasses import replace

    from weckd_edge.core.errors import BundleError

    manifest = open_bundle(folder).manifest
    with raises(BundleError, "E_BUNDLE_LIMIT", says=("127", "200")):
        seal(folder, replace(manifest, labels=("wax", "l" * 200, "c")))
    with raises(BundleError, "E_BUNDLE_LABELS", says="'wax'"):
        seal(folder, replace(manifest, labels=("wax", "wax", "c")))
    assert to_data(open_bundle(folder).manifest) == to_data(manifest)
