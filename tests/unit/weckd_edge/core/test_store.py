"""Whole or not there: files, folders and stages, also when the disk is full or the process is killed."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

import pytest

from support.errors import raises
from weckd_edge.artifacts import FileRef
from weckd_edge.core.errors import StoreError
from weckd_edge.core.store import Workspace, atomic_folder, check_ref, explain_os_errors, file_ref, write_atomic


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with raises(StoreError, "E_STORE_NO_SPACE"):
            write_atomic(path, b"x" * 4096)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    with (
        raises(StoreError, "E_STORE_NO_SPACE"),
        explain_os_errors(tmp_path / "a/b"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_folder(target) as folder:  # noqa: PT012 - the error comes from inside
        (folder / "a").write_text("new")
        raise ZeroDivisionError
    assert (target / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_kill_between_the_two_renames_is_repaired(tmp_path: Path) -> None:
    (tmp_path / ".out.old").mkdir()
    (tmp_path / ".out.old" / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "out"):
        raise ZeroDivisionError
    assert (tmp_path / "out" / "a").read_text() == "old"


@pytest.mark.parametrize("path", ["../a", "/etc/passwd", "x/../../a", ""])
def test_a_reference_that_leaves_its_folder_is_refused(tmp_path: Path, path: str) -> None:
    with raises(StoreError, "E_STORE_PATH"):
        check_ref(tmp_path, FileRef(path=path, sha256="0", bytes=1))


def test_a_link_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("x")
    ref = file_ref(tmp_path, tmp_path / "real")
    (tmp_path / "real").rename(tmp_path / "other")
    (tmp_path / "real").symlink_to(tmp_path / "other")
    with raises(StoreError, "E_STORE_FILE_MISSING"):
        check_ref(tmp_path, ref)


def make(folder: Path) -> FileRef:
    (folder / "data").write_text("content")
    return file_ref(folder, folder / "data")


def test_a_finished_stage_is_reused_and_a_changed_one_is_made_again(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    first = work.stage("a", FileRef, {"k": 1}, make)
    again = work.stage("a", FileRef, {"k": 1}, make)
    other = work.stage("a", FileRef, {"k": 2}, make)
    assert (first.reused, again.reused, other.reused) == (False, True, False)
    assert first.folder == again.folder != other.folder
    (first.folder / "data").write_text("CONTENT")
    mended = work.stage("a", FileRef, {"k": 1}, make)
    assert not mended.reused
    assert (mended.folder / "data").read_text() == "content"


def test_a_torn_artifact_file_is_never_read(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    first = work.stage("a", FileRef, 1, make)
    (first.folder / "artifact.json").write_text('{"path": "da')
    assert not work.stage("a", FileRef, 1, make).reused


@pytest.mark.parametrize("target", ["v1", "gone"])
def test_a_link_is_refused_before_anything_is_made_for_it(tmp_path: Path, target: str) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "current").symlink_to(target)
    with raises(StoreError, "E_STORE_OCCUPIED", says=f"link to {target}"), atomic_folder(tmp_path / "current"):
        pytest.fail("the work was begun")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "v1"]


def test_a_link_that_an_earlier_version_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / ".out.old").symlink_to("v1")
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "new").write_text("")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "v1"]
    assert (tmp_path / "out" / "new").is_file()


def test_two_builds_cannot_share_a_workspace(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    with work.locked(), raises(StoreError, "E_STORE_LOCKED"), Workspace(tmp_path).locked():
        pytest.fail("the second lock was given")


def test_a_lock_is_waited_for_where_another_process_is_about_to_end(tmp_path: Path) -> None:
    work, held = Workspace(tmp_path), threading.Event()

    def hold() -> None:
        with work.locked():
            held.set()
            time.sleep(0.3)

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    with raises(StoreError, "E_STORE_LOCKED"), Workspace(tmp_path).locked(0.01):
        pytest.fail("the second lock was given")
    with Workspace(tmp_path).locked(20.0):
        pass
    other.join()


def test_a_stage_killed_half_way_is_made_again(tmp_path: Path) -> None:
    code = f"""
import threading
import time
from pathlib import Path
from weckd_edge.artifacts import FileRef
from weckd_edge.core.store import Workspace
def make(folder):
    (folder / "data").write_text("half")
    print("half", flush=True)
    time.sleep(60)
Workspace(Path({str(tmp_path)!r})).stage("a", FileRef, 1, make)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    stage = Workspace(tmp_path).stage("a", FileRef, 1, make)
    assert not stage.reused
    assert (stage.folder / "data").read_text() == "content"
    assert sorted(p.name for p in tmp_path.iterdir()) == [stage.folder.name]


def test_an_empty_workspace_is_taken_away_and_a_used_one_kept(tmp_path: Path) -> None:
    work = Workspace(tmp_path / "w")
    with work.in_use():
        pass
    assert not work.root.exists()
    with work.in_use():
        work.stage("a", FileRef, 1, make)
    assert work.root.exists()


def test_a_refused_build_leaves_the_lock_of_the_one_that_runs(tmp_path: Path) -> None:
    root = tmp_path / "w"
    with Workspace(root).in_use():
        for _ in range(2):
            with raises(StoreError, "E_STORE_LOCKED"), Workspace(root).in_use():
                pytest.fail("the second lock was given")
        assert (root / ".lock").is_file()


def test_a_lock_that_was_removed_while_it_was_taken_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, real = tmp_path / "w", fcntl.flock
    removed = []

    def flock(handle: IO[str], how: int) -> None:
        if not removed:  # the one before ends just now, between this one's opening of the file and its lock
            removed.append(True)
            shutil.rmtree(root)
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with Workspace(root).locked():
        assert (root / ".lock").is_file()
        with raises(StoreError, "E_STORE_LOCKED"), Workspace(root).locked():
            pytest.fail("the second lock was given")


def test_the_stage_knows_its_time(tmp_path: Path) -> None:
    taken = []

    def timed(folder: Path) -> FileRef:
        begun = time.monotonic()
        made = make(folder)
        taken.append(time.monotonic() - begun)
        return made

    assert Workspace(tmp_path).stage("a", FileRef, 1, timed).seconds >= taken[0]


def test_a_place_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    with (
        raises(StoreError, "E_STORE_UNWRITABLE", says="/proc/x"),
        atomic_folder(Path("/proc/x")),
    ):
        pass
    with raises(StoreError, "E_STORE_UNWRITABLE"):
        write_atomic(tmp_path / ("x" * 300), b"")


def test_a_file_elsewhere_is_not_reported_as_the_place_that_is_written_to(tmp_path: Path) -> None:
    """What is read while a folder is made, such as an image, may not be there any more."""
    with pytest.raises(FileNotFoundError, match=r"gone\.png"), atomic_folder(tmp_path / "a" / "b"):
        Path("/nowhere/gone.png").read_bytes()
    with pytest.raises(OSError, match="cannot identify"), atomic_folder(tmp_path / "a" / "b"):
        raise OSError("cannot identify image file")


def short_of_space(code: str, folder: Path) -> str:
    """Run code that may write files of 60 kB at most, as on a full disk; return the error it ends in."""
    lines = (
        "import resource, sys, warnings\nfrom pathlib import Path\nwarnings.simplefilter('ignore')\n"
        "from weckd_edge.core.errors import StoreError\n"
        f"folder = Path({str(folder)!r})\n{code}\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "try:\n    write()\nexcept StoreError as err:\n    print(err)\n"
    )
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


WRITERS = {
    "a checkpoint": (
        "torch",
        "import torch\nfrom lightning_fabric import Fabric\nfrom weckd_edge.train.distill.loop.engine import _save\n"
        "trunk, fabric = torch.nn.Linear(300, 300), Fabric(accelerator='cpu')\n"
        "optimizer = torch.optim.AdamW(trunk.parameters())\n"
        "def write(): _save(folder / 'c.ckpt', fabric, trunk, optimizer, None, None, 1)",
    ),
    "weights": (
        "safetensors",
        "import torch\nfrom weckd_edge.train.networks.models import Student, save_weights\n"
        "def write(): save_weights(Student(torch.nn.Linear(300, 300)), folder / 'w.safetensors')",
    ),
    "an OpenVINO IR": (
        "openvino",
        "import numpy as np, openvino as ov\nfrom weckd_edge.compile.backends.openvino_backend import save_ir\n"
        "x = ov.opset13.parameter([1, 300], np.float32)\n"
        "w = ov.opset13.constant(np.ones((300, 300), np.float32))\n"
        "model = ov.Model([ov.opset13.matmul(x, w, False, False)], [x])\n"
        "def write(): save_ir(model, 'fp32', '0' * 64, folder)",
    ),
}


@pytest.mark.parametrize("what", WRITERS)
def test_every_library_that_writes_says_that_the_disk_is_full(what: str, tmp_path: Path) -> None:
    library, code = WRITERS[what]
    pytest.importorskip(library)
    said = short_of_space(code, tmp_path)
    assert "no space left to write (" in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("c.")] == []
