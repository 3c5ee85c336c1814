"""Requests to the demo's server: which are served, by what, and in which words the others are refused."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import socket
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from weckd_edge.core.errors import WeckdError
from weckd_edge.devices.demo.bounded_reader import BoundedReader, TooLongError

if TYPE_CHECKING:
    from weckd_edge.devices.demo.server import DemoServer

_LOG = logging.getLogger(__name__)

Work = Callable[[bytes], dict[str, Any]]
"""What makes a reply of a request's body."""


class RequestHandler(BaseHTTPRequestHandler):
    """The requests of one connection."""

    server: DemoServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._reader = BoundedReader(self.connection, self.server.limits)
        self.rfile = io.BufferedReader(self._reader)

    def handle_one_request(self) -> None:
        self._reader.begin()
        self.command = self.requestline = self.request_version = ""  # a request that is refused early tells none of them
        try:
            super().handle_one_request()
        except TooLongError:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def do_GET(self) -> None:
        if not self._is_welcome():
            return
        if self.path == "/":
            self._send(HTTPStatus.OK, self.server.page.html, "text/html; charset=utf-8", camera="(self)")
        elif self.path == "/api/bundle":
            self._send_json(HTTPStatus.OK, self.server.session.describe())
        else:
            self._no_such_page()

    do_HEAD = do_GET  # noqa: N815 - the names are http.server's

    def do_POST(self) -> None:
        if not self._is_welcome() or not self._is_ours():
            return
        work = self._work()
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

    def _work(self) -> Work | None:
        """Return what makes the reply; None: there is nothing at this address."""
        session, exams = self.server.session, self.server.exams
        path, _, query = self.path.partition("?")
        images = {"/api/predict": session.predict, "/api/explain": session.explain}
        of_exams = {"/api/exam/begin": exams.begin, "/api/exam/frame": exams.add, "/api/exam/end": exams.end}
        if path in of_exams:
            return partial(of_exams[path], dict(parse_qsl(query)))
        return images.get(self.path)

    def _reply(self, work: Work, length: int) -> None:
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
        except OSError:
            raise  # the connection is gone, and nobody waits for a reply
        except Exception:  # a backend's library may raise anything
            _LOG.exception("%s failed", self.path)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "this image could not be predicted; the terminal shows why")

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

    def _send(self, status: HTTPStatus, body: bytes, kind: str, *, camera: str = "()") -> None:
        self.connection.settimeout(self.server.limits.silence_s)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", self.server.page.policy)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Permissions-Policy", f"camera={camera}, microphone=(), geolocation=()")
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
