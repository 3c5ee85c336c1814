"""Server of the demo page: standard library only, this machine only unless told otherwise, nothing written or logged.

A page of another site must not reach it. So a request must name this machine as its host, as otherwise a name that an
attacker points here would do, and a request with an image must come from this very page.

``Limits`` bounds what all clients together can take, and the time of one request. Gradio or FastAPI would bring many
packages to a device, and neither has these bounds.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import ipaddress
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socketserver import TCPServer
from types import TracebackType
from typing import Any

from weckd_edge.core.errors import DeviceError, WeckdError
from weckd_edge.devices.demo.session import DemoSession
from weckd_edge.devices.images.budget import Budget

_LOG = logging.getLogger(__name__)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Limits of what clients may take; beyond them the server says that it is busy, or closes the connection.

    Attributes:
        body_bytes: Largest image, bytes; a larger one is refused unread.
        all_bodies_bytes: Most images of all clients that are held at one time, bytes; others wait ``wait_s`` for room.
        head_bytes: Largest line and headers of a request, bytes.
        connections: Most connections at one time; a further one is closed with the reply that the server is busy.
        silence_s: Time after which a connection that sends nothing, or takes no more of a reply, is closed, seconds.
        request_s: Longest time from a request's first byte to its last, seconds; a slower request is dropped.
        wait_s: Longest time that an image waits for room, seconds.
    """

    body_bytes: int = 32 << 20
    all_bodies_bytes: int = 128 << 20
    head_bytes: int = 64 << 10
    connections: int = 32
    silence_s: float = 30
    request_s: float = 60
    wait_s: float = 20


def load_page() -> tuple[bytes, str]:
    """Return the page, and the policy by which a browser runs its one script and its one style, and nothing else."""
    html = (files("weckd_edge.devices.demo") / "demo.html").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {_hashes(html, 'script')}; style-src {_hashes(html, 'style')}; "
        "img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html.encode(), policy


def _hashes(html: str, tag: str) -> str:
    bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" for body in bodies)


class DemoServer(ThreadingHTTPServer):
    """Server of one bundle's page; ``serve_forever`` runs it until ``shutdown``.

    Args:
        session: The open bundle.
        host: Address or name to listen on.
        port: Port to listen on; 0 takes a free one.
        limits: Limits of what clients may take; None takes the usual ones.

    Raises:
        DeviceError: The server cannot listen there.
    """

    daemon_threads = True

    def __init__(
        self, session: DemoSession, *, host: str = "127.0.0.1", port: int = 0, limits: Limits | None = None
    ) -> None:
        self.session, self.host, self.limits = session, host, limits or Limits()
        self.bodies = Budget(self.limits.all_bodies_bytes)
        self._connections = threading.BoundedSemaphore(self.limits.connections)
        self.page, self.policy = load_page()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as err:
            where = f"{host}, port {port}"
            raise DeviceError(
                f"cannot listen on {where} ({err.strerror}); --port 0 takes a free one", code="E_DEVICE_DEMO"
            ) from err

    @property
    def url(self) -> str:
        """Address of the page on this machine."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.server_address[1]}/"

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can reach it."""
        return is_loopback(self.host)

    def knows(self, host: str) -> bool:
        """Tell whether a request's ``Host`` names this machine; a name that anyone can point here does not."""
        name = _name_of(host)
        if name in _LOOPBACK or name == self.host.lower():
            return True
        if self.is_local:
            return False
        own = socket.gethostname().lower()
        if name in (own, f"{own}.local") or _is_address(name):
            return True
        return name.startswith(f"{own}.") and name == socket.getfqdn().lower()  # only now is a name server asked

    def server_bind(self) -> None:
        """Listen without asking a name server for the address's name, as ``http.server``'s own does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, unless there are too many."""
        if not self._connections.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.settimeout(0)  # whoever is not taken is not waited for either
                request.sendall(_BUSY)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # there is no thread that would do it
            self._connections.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection until it ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a client that went away for debugging alone."""
        _LOG.debug("a connection broke", exc_info=True)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.server_close()


def is_loopback(host: str) -> bool:
    """Tell whether an address or name is a loopback, which no other machine reaches."""
    return host.lower() in _LOOPBACK or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _name_of(host: str) -> str:
    match = re.fullmatch(r"\[([0-9a-fA-F:.]+)\](?::\d+)?|([^:\[\]]+)(?::\d+)?", host.strip())
    return "" if match is None else (match[1] or match[2]).lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


_BUSY_JSON = b'{"error": "too many connections at one time; try again in a moment"}'
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BUSY_JSON), _BUSY_JSON)
)


class _TooLongError(Exception):
    """A request is longer than it may be."""


class _BoundedReader(io.RawIOBase):
    """Reader of a connection within a request's time and length.

    Args:
        connection: Socket that is read.
        limits: Limits of time and length.
    """

    def __init__(self, connection: socket.socket, limits: Limits) -> None:
        self._connection, self._limits = connection, limits
        self.begin()

    def begin(self) -> None:
        """Wait for a new request; its time begins with its first byte."""
        self._until: float | None = None
        self._left = self._limits.head_bytes

    def expect(self, count: int) -> None:
        """Allow a request a body of ``count`` bytes."""
        self._left += count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes into a buffer, and return their number.

        Raises:
            TimeoutError: Nothing came for too long, or the request's time is over.
            _TooLongError: The request is longer than it may be.
        """
        left_s = self._limits.silence_s if self._until is None else self._until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(min(left_s, self._limits.silence_s))
        count = self._connection.recv_into(buffer)
        if self._until is None:
            self._until = time.monotonic() + self._limits.request_s
        self._left -= count
        if self._left < 0:
            raise _TooLongError
        return count


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._reader = _BoundedReader(self.connection, self.server.limits)
        self.rfile = io.BufferedReader(self._reader)

    def handle_one_request(self) -> None:
        self._reader.begin()
        self.command = self.requestline = self.request_version = ""  # a request that is refused early tells none of them
        try:
            super().handle_one_request()
        except _TooLongError:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def do_GET(self) -> None:
        if not self._is_welcome():
            return
        if self.path == "/":
            self._send(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8")
        elif self.path == "/api/bundle":
            self._send_json(HTTPStatus.OK, self.server.session.describe())
        else:
            self._no_such_page()

    do_HEAD = do_GET  # noqa: N815 - the names are http.server's

    def do_POST(self) -> None:
        work = {"/api/predict": self.server.session.predict, "/api/explain": self.server.session.explain}.get(self.path)
        if not self._is_welcome() or not self._is_ours():
            return
        if work is None:
            self._no_such_page()
            return
        length = self._length()
        if length is None:
            return
        if not self.server.bodies.acquire(length, wait_s=self.server.limits.wait_s):
            self._turn_away(HTTPStatus.SERVICE_UNAVAILABLE, "other images are still being taken; send this one again")
            return
        try:
            self._reply(work, length)
        finally:
            self.server.bodies.release(length)

    def _reply(self, work: Callable[[bytes], dict[str, Any]], length: int) -> None:
        self._reader.expect(length)
        data = self.rfile.read(length)
        if len(data) < length:
            self._refuse(HTTPStatus.BAD_REQUEST, "the image was cut short on its way")
            return
        try:
            self._send_json(HTTPStatus.OK, work(data))
        except WeckdError as err:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(err))
        except MemoryError:
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, "this image needs more memory than there is")

    def _is_welcome(self) -> bool:
        if self.server.knows(self.headers.get("Host", "")):
            return True
        self._turn_away(HTTPStatus.MISDIRECTED_REQUEST, f"this page is at {self.server.url}, under no other name")
        return False

    def _is_ours(self) -> bool:
        origin, host = self.headers.get("Origin"), self.headers.get("Host", "")
        site = self.headers.get("Sec-Fetch-Site", "same-origin")
        if (origin is None or origin == f"http://{host}") and site in ("same-origin", "none"):
            return True
        self._turn_away(HTTPStatus.FORBIDDEN, "images are taken from this page only, not from another site's")
        return False

    def _length(self) -> int | None:
        text = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,15}", text) or "Transfer-Encoding" in self.headers:
            self._turn_away(HTTPStatus.LENGTH_REQUIRED, "expected the image with its length")
            return None
        maximum = self.server.limits.body_bytes
        if int(text) > maximum:
            reply = f"the file has {int(text) / 2**20:.1f} MiB; the limit is {maximum >> 20} MiB"
            self._turn_away(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reply)
            return None
        return int(text)

    def _turn_away(self, status: HTTPStatus, message: str) -> None:
        """Refuse a request whose image, if it brings one, stays unread.

        What is still being sent is taken for a moment: closing at once would take the reply away from the sender.
        """
        self._refuse(status, message)
        if self.command != "POST":
            return
        until = time.monotonic() + 2
        self.wfile.flush()
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(0.5)
            while time.monotonic() < until and self.connection.recv(1 << 16):
                pass

    def _no_such_page(self) -> None:
        self._turn_away(HTTPStatus.NOT_FOUND, "there is no such page")

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self.close_connection = True  # what was sent may not have been read
        self._send_json(status, {"error": message})

    def _send_json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        self._send(status, json.dumps(value, allow_nan=False).encode(), "application/json")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.connection.settimeout(self.server.limits.silence_s)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", self.server.policy)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Permissions-Policy", "camera=(self), microphone=(), geolocation=()")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Reply in JSON where ``http.server`` itself refuses a request."""
        status = HTTPStatus(code)
        self._refuse(status, message or status.phrase)

    def version_string(self) -> str:
        return "weckd-edge"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        _LOG.info(format, *args)
