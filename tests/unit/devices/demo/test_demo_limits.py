"""What clients of the demo can take together: connections, memory for images, and time."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.programs.demo_server import serving
from weckd_edge.devices.demo.bounded_reader import Limits
from weckd_edge.devices.demo.server import DemoServer
from weckd_edge.devices.demo.session import DemoSession

PATIENCE_S = 60  # for what should happen soon, on a machine that is busy
GET = b"GET /api/bundle HTTP/1.1\r\nHost: localhost\r\n\r\n"

Serve = Callable[..., DemoServer]


@pytest.fixture(scope="module")
def session(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoSession]:
    folder: Path = toy.write_bundle(tmp_path_factory.mktemp("demo") / "b", confidence_threshold=0.1).folder
    with DemoSession(folder, backend="onnxruntime") as made:
        yield made


@pytest.fixture
def serve(session: DemoSession) -> Iterator[Serve]:
    """Start a server with limits of the test's own."""
    with contextlib.ExitStack() as ends:

        def start(**limits: float) -> DemoServer:
            return ends.enter_context(serving(session, Limits(**limits)))  # type: ignore[arg-type]

        yield start


class Client:
    """One connection, byte by byte."""

    def __init__(self, server: DemoServer) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=PATIENCE_S)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def post(self, body: bytes, *, length: int | None = None) -> None:
        """Send a POST, or the part of one where ``length`` says more."""
        size = len(body) if length is None else length
        self.send(b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size + body)

    def reply(self) -> tuple[int, Any]:
        """Read one reply: its status and its JSON; 0 where the connection was closed without one."""
        data = b""
        with contextlib.suppress(ConnectionError):
            while b"\r\n\r\n" not in data and (more := self.socket.recv(1 << 16)):
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            if not head:
                return 0, None
            length = re.search(rb"(?i)content-length: (\d+)", head)
            assert length is not None
            while len(body) < int(length[1]) and (more := self.socket.recv(1 << 16)):
                body += more
            return int(head.split()[1]), json.loads(body)
        return 0, None

    def drip_until_closed(self) -> None:
        """Send a byte now and then, and return once the server has closed the connection."""
        for _ in range(int(PATIENCE_S / 0.05)):
            if select.select([self.socket], [], [], 0.05)[0]:
                with contextlib.suppress(ConnectionError):
                    assert self.socket.recv(1 << 16) == b""
                return
            with contextlib.suppress(ConnectionError):
                self.send(b"x")
        pytest.fail("a connection that sends a byte now and then was kept")


def until_served(server: DemoServer) -> None:
    """Ask until there is a place again."""
    for _ in range(1000):
        with Client(server) as client:
            client.send(GET)
            if client.reply()[0] == 200:
                return
        threading.Event().wait(0.02)
    pytest.fail("no place was given back")


def test_connections_beyond_the_limit_are_reported_so_and_closed_ones_make_place(serve: Serve) -> None:
    server = serve(connections=3)
    with contextlib.ExitStack() as ends:
        held = [ends.enter_context(Client(server)) for _ in range(3)]
        for client in held:
            client.send(GET)
            assert client.reply()[0] == 200
        for _ in range(4):
            with Client(server) as further:
                status, found = further.reply()
                assert status in (0, 503)  # 0: the reply was lost as the connection was closed
                assert found is None or "too many connections" in found["error"]
        held[0].send(GET)
        assert held[0].reply()[0] == 200
    until_served(server)


def test_a_head_that_comes_byte_by_byte_is_dropped(serve: Serve) -> None:
    server = serve(request_s=0.4)
    with Client(server) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: ")
        client.drip_until_closed()


def test_a_body_that_comes_byte_by_byte_is_dropped_and_its_room_given_back(serve: Serve) -> None:
    server = serve(request_s=0.4, body_bytes=1000, all_bodies_bytes=1000, wait_s=PATIENCE_S)
    with Client(server) as slow, Client(server) as other:
        slow.post(b"some", length=900)
        slow.drip_until_closed()
        other.post(b"no image" * 50)
        status, found = other.reply()
        assert (status, found["prediction"]["decision"]) == (200, "unable to analyze")


def test_a_connection_that_says_nothing_is_closed(serve: Serve) -> None:
    server = serve(silence_s=0.2)
    with Client(server) as client:
        assert client.socket.recv(1) == b""


def test_images_that_are_half_sent_bound_how_many_more_are_taken(serve: Serve) -> None:
    server = serve(body_bytes=1000, all_bodies_bytes=2000, wait_s=0.1)
    with contextlib.ExitStack() as ends:
        half = [ends.enter_context(Client(server)) for _ in range(2)]
        for client in half:
            client.send(GET)  # it is in its thread, before the next is
            client.reply()
            client.post(b"half", length=1000)
        while server.bodies.acquire(1, wait_s=0):
            server.bodies.release(1)
        with Client(server) as further:
            further.post(b"x" * 500)
            status, found = further.reply()
            assert (status, found["error"]) == (503, "other images are still being taken; send this one again")
        half[0].send(b"x" * 996)
        assert half[0].reply()[0] == 200
        with Client(server) as further:
            further.post(b"x" * 500)
            assert further.reply()[0] == 200


def test_a_head_that_never_ends_is_refused(serve: Serve) -> None:
    server = serve(head_bytes=20_000)
    with Client(server) as client:
        with contextlib.suppress(ConnectionError):
            client.send(
                b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"H%d: %b\r\n" % (n, b"x" * 900) for n in range(40))
            )
        assert client.reply()[0] in (0, 431)
    until_served(server)


def test_an_image_larger_than_any_head_is_taken_and_the_connection_kept(serve: Serve) -> None:
    server = serve(head_bytes=10_000)
    with Client(server) as client:
        for _ in range(3):
            client.post(b"no image" * 50_000)
            assert client.reply()[0] == 200
