import os
from pathlib import Path

import pytest

from support.errors import raises
from weckd_edge.core.errors import BundleError, StoreError
from weckd_edge.core.files import read_bounded, through_stored_links


def test_all_of_a_file_within_bounds_is_returned(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert read_bounded(tmp_path / "a", at_most=3) == b"abc"


def test_one_byte_too_many_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abcd")
    with raises(BundleError, "E_FILE_LIMIT", says=("3", "4")):
        read_bounded(tmp_path / "a", at_most=3, where="a file", error=BundleError)


def test_a_sparse_file_of_many_gigabytes_is_refused_at_once(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(40 << 30)
    with raises(StoreError, "E_FILE_LIMIT", says="1"):
        read_bounded(tmp_path / "a", at_most=1 << 20)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    with raises(StoreError, "E_FILE_KIND"):
        read_bounded(tmp_path / "a", at_most=10)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev", "/dev/null"])
def test_what_is_no_regular_file_is_refused(path: str) -> None:
    with raises(StoreError, "E_FILE_KIND"):
        read_bounded(Path(path), at_most=10)


def test_a_missing_file_and_a_link_to_nothing_are_distinguished(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with raises(StoreError, "E_FILE_MISSING"):
        read_bounded(tmp_path / "a", at_most=10)
    with raises(StoreError, "E_FILE_MISSING"):
        read_bounded(tmp_path / "link", at_most=10)


def test_a_name_with_a_nul_and_a_name_too_long_are_refused_in_words(tmp_path: Path) -> None:
    for name, code in (("a\0b", "E_FILE_MISSING"), ("a" * 300, "E_FILE_UNREADABLE")):
        with raises(StoreError, code):
            read_bounded(tmp_path / name, at_most=10)


def test_a_link_that_git_stored_as_text_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real/eyes").mkdir(parents=True)
    (tmp_path / "real/eyes/a.png").write_bytes(b"a")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/images").write_text("../real")
    found = through_stored_links(tmp_path / "set/images/eyes/a.png")
    assert found.read_bytes() == b"a"


@pytest.mark.parametrize("text", ["", "nowhere", "/etc", "two\nlines", "x" * 5000])
def test_a_file_that_is_no_stored_link_leads_nowhere(text: str, tmp_path: Path) -> None:
    (tmp_path / "images").write_text(text)
    path = tmp_path / "images/a.png"
    assert through_stored_links(path) == path


def test_stored_links_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_text("../a")
    assert through_stored_links(tmp_path / "a/b/b/b/c.png").name == "c.png"
