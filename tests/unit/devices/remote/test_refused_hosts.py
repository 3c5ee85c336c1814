"""A host that cannot be measured over ssh says so in one line, before anything is left there."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.programs.ssh_bench import failure, wrapper

# Who may log in where


def test_an_unknown_host_key_is_refused_with_the_line_to_type(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    server = serve()
    trusted = tmp_path / "trusted"
    reason = failure(remote(server, known_hosts=(trusted,)))
    assert "is not known" in reason
    line = reason.partition("echo '")[2].partition("' >> ")[0]
    subprocess.run(reason.partition("; then: ")[2], shell=True, check=True)
    assert trusted.read_text().strip() == line == server.known_hosts().read_text().strip()
    assert "no-such-python" in failure(remote(server, known_hosts=(trusted,), python="no-such-python"))  # so we were let in


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_changed_host_key_is_refused(
    kind: str,
    serve: Callable[..., Any],
    remote: Callable[..., Any],
    sshd: ModuleType,
    key: Path,
    tmp_path: Path,
) -> None:
    server = serve()
    known = server.known_hosts(sshd.make_key(tmp_path / "other", kind))
    reason = failure(remote(server, known_hosts=(known,)))
    assert "NOT the one that is known" in reason
    assert f"ssh-keygen -f {known} -R '[127.0.0.1]:{server.port}'" in reason


def test_a_wrong_identity_is_refused(
    serve: Callable[..., Any], remote: Callable[..., Any], sshd: ModuleType, tmp_path: Path
) -> None:
    other = sshd.make_key(tmp_path / "stranger")
    reason = failure(remote(serve(), identity=other))
    assert f"the key {other} is not accepted there" in reason
    assert "--identity" in reason


def test_a_key_that_needs_a_passphrase_is_refused(
    serve: Callable[..., Any], remote: Callable[..., Any], sshd: ModuleType, tmp_path: Path
) -> None:
    locked = sshd.make_key(tmp_path / "locked", passphrase="secret")
    reason = failure(remote(serve(), identity=locked))
    assert f"{locked}: expected a private key without a passphrase" in reason


# What a device lacks


def test_a_device_without_python_says_so(serve: Callable[..., Any], remote: Callable[..., Any]) -> None:
    server = serve()
    assert "expected Python as 'no-such-python', found none" in failure(remote(server, python="no-such-python"))


def test_a_login_shell_that_talks_changes_nothing(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    python = wrapper(tmp_path / "python", f'echo "Welcome!"; exec {sys.executable} "$@"')
    (found,) = remote(serve(), python=python)
    assert (found.record.state, found.record.reason) == ("finished", None)


def test_what_is_no_python_says_so(serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path) -> None:
    assert "is it a Python?" in failure(remote(serve(), python=wrapper(tmp_path / "python", "exit 0")))


def test_a_device_with_an_old_python_says_so(serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path) -> None:
    old = "import sys; sys.version_info = (3, 8, 18); exec(sys.argv.pop(1))"
    python = wrapper(tmp_path / "python", f'shift; exec {sys.executable} -c "{old}" "$@"')
    assert "expected Python 3.10 or newer, got 3.8" in failure(remote(serve(), python=python))


def test_a_device_without_numpy_or_a_backend_says_so_before_anything_is_sent(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    server = serve()
    bare = wrapper(tmp_path / "bare", f'exec {sys.executable} -S "$@"')
    assert "has no numpy" in failure(remote(server, python=bare))
    (tmp_path / "fake/numpy").mkdir(parents=True)
    (tmp_path / "fake/numpy/__init__.py").write_text("")
    fake = wrapper(tmp_path / "with-numpy", f'PYTHONPATH={tmp_path / "fake"} exec {sys.executable} -S "$@"')
    reason = failure(remote(server, python=fake))
    assert "expected onnxruntime, found none" in reason
    assert "--remote-python" in reason
