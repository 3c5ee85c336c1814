"""A toy bundle and real ssh servers on loopback, for the tests of benches over ssh."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.programs.ssh_bench import SHORT
from weckd_edge.bundle.reader import Bundle
from weckd_edge.devices.remote.base import Access
from weckd_edge.devices.remote.bench_request import BenchRequest
from weckd_edge.devices.remote.hosts import Host
from weckd_edge.devices.remote.many_hosts import HostLimits, bench_hosts
from weckd_edge.devices.remote.records import HostResult


@pytest.fixture(scope="module")
def key(sshd: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found: Path = sshd.make_key(tmp_path_factory.mktemp("key") / "id")
    return found


@pytest.fixture(scope="module")
def bundle(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    found: Bundle = toy.write_bundle(tmp_path_factory.mktemp("toy") / "bundle")
    return found


@pytest.fixture
def serve(sshd: ModuleType, key: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start servers that end with the test, and hold that nothing of a bench is left on them."""
    with contextlib.ExitStack() as stack:

        def start(name: str = "device", **options: Any) -> Any:
            server = sshd.Sshd(tmp_path / name, [key], **options)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def remote(key: Path, bundle: Bundle, tmp_path: Path) -> Callable[..., tuple[HostResult, ...]]:
    """Bench on servers by the library."""
    from weckd_edge.devices.remote.asyncssh_backend import connect

    def remote(
        *servers: Any,
        request: BenchRequest = SHORT,
        known_hosts: tuple[Path, ...] | None = None,
        identity: Path = key,
        python: str = sys.executable,
        **limits: Any,
    ) -> tuple[HostResult, ...]:
        known = tuple(server.known_hosts() for server in servers) if known_hosts is None else known_hosts
        hosts = [Host(name=a, user=s.user, port=s.port) for s in servers for a in s.addresses]
        return bench_hosts(
            bundle if request.bundle is None else None,
            hosts,
            request,
            access=Access(connect=connect, known_hosts=known, identity=identity, python=python, keepalive_s=1.0),
            limits=HostLimits(**{"timeout_s": 20.0, **limits}),
            out=tmp_path / "out",
        )

    return remote
