"""A network camera: an RTSP server on this machine that shows frames as H.264, and stops where a test wants it to."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from support.videos import av

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=ear\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=control:ear\r\n"
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
)


class RtspServer:
    """A camera that one viewer may watch.

    Args:
        frames: Its frames, shown at 25 a second.
        then: What it does after them: ``close`` the connection, or ``hang``.
    """

    def __init__(self, frames: Sequence[NDArray[np.uint8]], *, then: str) -> None:
        self._frames, self._then = frames, then
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/ear"
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        try:
            viewer, _ = self._listener.accept()
        except OSError:
            return
        with viewer, viewer.makefile("rb") as requests:
            for line in requests:
                method, _, _ = line.decode().partition(" ")
                headers = dict(one.decode().strip().split(": ", 1) for one in iter(requests.readline, b"\r\n"))
                viewer.sendall(self._reply(method, headers["CSeq"]).encode())
                if method == "PLAY":
                    self._show(viewer)
                    return

    @staticmethod
    def _reply(method: str, number: str) -> str:
        more, body = "Session: 1\r\n", ""
        if method == "OPTIONS":
            more = "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            body = SDP
            more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif method == "SETUP":
            more += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        return f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{more}\r\n{body}"

    def _show(self, viewer: socket.socket) -> None:
        try:
            with av.open(_Interleaved(viewer), "w", format="rtp", options={"packetsize": "1400"}) as container:
                stream = container.add_stream("libx264", rate=25, options={"tune": "zerolatency"})
                stream.height, stream.width = self._frames[0].shape[:2]
                stream.pix_fmt = "yuv420p"
                for number, pixels in enumerate(self._frames):
                    picture = av.VideoFrame.from_ndarray(pixels, "rgb24")
                    picture.pts = number
                    container.mux(stream.encode(picture))
                    time.sleep(0.04)
                if self._then == "hang":
                    self._is_over.wait(120)
        except OSError:  # the viewer has left
            return


class _Interleaved:
    """Packets of the muxer on the connection of the requests, each behind its channel and its length."""

    name = "rtp"

    def __init__(self, viewer: socket.socket) -> None:
        self._viewer = viewer

    def write(self, data: Any) -> int:
        packet = bytes(data)
        channel = 1 if 192 <= packet[1] <= 223 else 0
        self._viewer.sendall(b"$" + bytes([channel]) + len(packet).to_bytes(2, "big") + packet)
        return len(packet)
