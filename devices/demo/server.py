"""The page's server: standard library only, this machine only unless told otherwise, nothing written and nothing logged.

A page of another site must not reach it: requests must name this machine as their host (or else a name that an attacker
points here would do), and whoever sends an image must come from this very page.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
import json
import logging
import re
import socket
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socketserver import TCPServer
from types import TracebackType
from typing import Any

from weckd_edge.devices.demo.session import DemoSession
from weckd_edge.errors import DeviceError, WeckdError

MAX_BYTES = 32 << 20
"""Larger request bodies are refused, unread."""
SILENCE_S = 30
"""A connection that says nothing for so long is closed."""

_LOG = logging.getLogger(__name__)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def load_page() -> tuple[bytes, str]:
    """Return the page, and the policy that lets a browser run its one script and its one style, and nothing else."""
    html = (files("weckd_edge") / "templates/demo.html").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {_hashes(html, 'script')}; style-src {_hashes(html, 'style')}; "
        "img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html.encode(), policy


def _hashes(html: str, tag: str) -> str:
    bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" for body in bodies)


class DemoServer(ThreadingHTTPServer):
    """Serves one bundle's page; ``serve_forever`` answers until ``shutdown``.

    Args:
        session: The bundle, open.
        host: Address or name to listen on.
        port: 0 takes a free one.

    Raises:
        DeviceError: It cannot listen there.
    """

    daemon_threads = True

    def __init__(self, session: DemoSession, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.session, self.host = session, host
        self.page, self.policy = load_page()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as err:
            where = f"{host}, port {port}"
            raise DeviceError(f"cannot listen on {where} ({err.strerror}); --port 0 takes a free one") from err

    @property
    def url(self) -> str:
        """The page's address as this machine reaches it."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.server_address[1]}/"

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can reach it."""
        return is_loopback(self.host)

    def knows(self, host: str) -> bool:
        """Tell whether a request's ``Host`` names this machine: a name that anyone can point here does not."""
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

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""
        _LOG.debug("a connection broke", exc_info=True)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.server_close()


def is_loopback(host: str) -> bool:
    """Tell whether an address or name is this machine's own, seen from nowhere else."""
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


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer
    protocol_version = "HTTP/1.1"
    timeout = SILENCE_S

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
        work = {"/api/answer": self.server.session.answer, "/api/explain": self.server.session.explain}.get(self.path)
        if not self._is_welcome() or not self._is_ours():
            return
        if work is None:
            self._no_such_page()
            return
        data = self._body()
        if data is None:
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

    def _body(self) -> bytes | None:
        text = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,15}", text) or "Transfer-Encoding" in self.headers:
            self._turn_away(HTTPStatus.LENGTH_REQUIRED, "expected the image with its length")
            return None
        if int(text) > MAX_BYTES:
            limit = f"the limit is {MAX_BYTES >> 20} MiB"
            self._turn_away(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the file has {int(text) / 2**20:.1f} MiB; {limit}")
            return None
        data = self.rfile.read(int(text))
        if len(data) < int(text):
            self._refuse(HTTPStatus.BAD_REQUEST, "the image was cut short on its way")
            return None
        return data

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
        """Answer what ``http.server`` itself refuses, in JSON as everything else."""
        status = HTTPStatus(code)
        self._refuse(status, message or status.phrase)

    def version_string(self) -> str:
        return "weckd-edge"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        _LOG.info(format, *args)
