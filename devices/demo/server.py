"""Server of the demo page: standard library only, this machine only unless told otherwise, nothing written or logged.

A page of another site must not reach it. So a request must name this machine as its host, as otherwise a name that an
attacker points here would do, and a request with an image must come from this very page.

``Limits`` bounds what all clients together can take, and the time of one request. Gradio or FastAPI would bring many
packages to a device, and neither has these bounds.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
import socket
import threading
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any

from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.demo.bounded_reader import Limits
from weckd_edge.devices.demo.open_exams import OpenExams
from weckd_edge.devices.demo.page_parts import load_page
from weckd_edge.devices.demo.request_handler import RequestHandler
from weckd_edge.devices.demo.session import DemoSession
from weckd_edge.devices.images.budget import Budget

_LOG = logging.getLogger(__name__)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_BUSY_JSON = b'{"error": "too many connections at one time; try again in a moment"}'
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BUSY_JSON), _BUSY_JSON)
)


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
        self.page = load_page()
        self.exams = OpenExams(session, at_most=self.limits.exams, silence_s=self.limits.exam_silence_s)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), RequestHandler)
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
    def camera_url(self) -> str | None:
        """Address at which a browser on this machine gives the page a camera; None: the server does not listen there."""
        if self.host in ("0.0.0.0", "::"):
            return f"http://localhost:{self.server_address[1]}/"
        return self.url if self.is_local else None

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
