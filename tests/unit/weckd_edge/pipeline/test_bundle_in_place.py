"""A bundle takes its place whole, signed where there is a key, or nothing is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support.bundles.made_parts import Made, assemble, make_parts
from support.bundles.signing_keys import write_pair
from support.errors import raises
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.core.errors import BundleError, ConfigError, StoreError
from weckd_edge.core.store import file_ref

pytest.importorskip("jinja2")
pytest.importorskip("cyclonedx")


def lose_a_sample(parts: Made) -> Made:
    images = parts.images.test.take(range(len(parts.images.test) - 1))
    return replace(parts, images=replace(parts.images, test=images))


def break_the_answers(parts: Made) -> Made:
    (parts.golden / "expected.npy").unlink()
    return parts


def change_the_graph_behind_its_digest(parts: Made) -> Made:
    (parts.selected / "model.onnx").write_bytes(b"another")
    return parts


def give_an_unusable_key(parts: Made) -> Made:
    pytest.importorskip("model_signing")
    key = parts.root / "key.pem"
    key.write_text("no key")
    return parts.built_with(key=key)


ERRORS: list[tuple[Callable[[Made], Made], type[Exception]]] = [
    (lose_a_sample, KeyError),
    (break_the_answers, FileNotFoundError),
    (change_the_graph_behind_its_digest, BundleError),
    (give_an_unusable_key, ConfigError),
]


@pytest.mark.parametrize(("spoil", "error"), ERRORS, ids=[spoil.__name__ for spoil, _ in ERRORS])
def test_after_an_error_in_the_middle_nothing_is_left(
    tmp_path: Path, spoil: Callable[[Made], Made], error: type[Exception]
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    parts = spoil(make_parts(place))
    before = {path.name for path in place.iterdir()}
    with pytest.raises(error):
        assemble(parts)
    assert {path.name for path in place.iterdir()} == before
    assert "bundle" not in before


def test_after_an_error_the_bundle_that_stood_there_is_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    parts = make_parts(place)
    first = assemble(parts)
    with pytest.raises(BundleError):
        assemble(change_the_graph_behind_its_digest(parts))
    assert open_bundle(parts.out).manifest == first
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


def test_a_new_bundle_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    parts = make_parts(place)
    assemble(parts)
    (parts.out / "device").mkdir()
    (parts.out / "device/engine").write_bytes(b"of the old graph")
    (parts.golden / "frames.npy").write_bytes(b"others")
    draft = parts.contents.manifest
    frames = replace(file_ref(parts.golden, parts.golden / "frames.npy"), path=draft.selftest.frames.path)
    manifest = assemble(parts.holding(manifest=replace(draft, selftest=replace(draft.selftest, frames=frames))))
    assert open_bundle(parts.out).manifest == manifest
    assert (parts.out / "selftest/frames.npy").read_bytes() == b"others"
    assert not (parts.out / "device").exists()


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    parts = make_parts(tmp_path).built_with(out=tmp_path / "file/bundle")
    with raises(StoreError, "E_STORE_UNWRITABLE"):
        assemble(parts)


def test_with_a_key_the_bundle_is_signed_with_it(tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    private, public = write_pair(tmp_path)
    parts = make_parts(tmp_path).built_with(key=private)
    assemble(parts)
    assert open_bundle(parts.out, key=public).signature == "valid"


def test_without_a_key_it_is_unsigned(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    assemble(parts)
    assert open_bundle(parts.out).signature == "unsigned"


def test_the_same_parts_give_the_same_bytes(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    parts = make_parts(place)

    def written() -> dict[str, bytes]:
        assemble(parts)
        return {p.relative_to(parts.out).as_posix(): p.read_bytes() for p in parts.out.rglob("*") if p.is_file()}

    first, again = written(), written()
    assert [name for name in first if first[name] != again[name]] == []
