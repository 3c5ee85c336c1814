"""The demo's server, in a thread beside the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weckd_edge.devices.demo.bounded_reader import Limits
from weckd_edge.devices.demo.server import DemoServer
from weckd_edge.devices.demo.session import DemoSession


@contextmanager
def serving(session: DemoSession, limits: Limits | None = None) -> Iterator[DemoServer]:
    """Serve an open bundle until the block of code ends."""
    with DemoServer(session, limits=limits) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serving_bundle(bundle: Path) -> Iterator[DemoServer]:
    """Open a bundle in ONNX Runtime, and serve it until the block of code ends."""
    with DemoSession(bundle, backend="onnxruntime") as session, serving(session) as server:
        yield server
