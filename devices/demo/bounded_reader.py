"""What clients of the demo may take, and the reader of a connection that holds them to it."""

from __future__ import annotations

import io
import socket
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Limits of what clients may take; beyond them the server says that it is busy, or closes the connection.

    Attributes:
        body_bytes: Largest image or frame, bytes; a larger one is refused unread.
        all_bodies_bytes: Most images of all clients that are held at one time, bytes; others wait ``wait_s`` for room.
        head_bytes: Largest line and headers of a request, bytes.
        connections: Most connections at one time; a further one is closed with the reply that the server is busy.
        silence_s: Time after which a connection that sends nothing, or takes no more of a reply, is closed, seconds.
        request_s: Longest time from a request's first byte to its last, seconds; a slower request is dropped.
        wait_s: Longest time that an image waits for room, seconds.
        exams: Most examinations that are open at one time; a further one is refused.
        exam_silence_s: Time after which an examination without a new frame is dropped, seconds.
    """

    body_bytes: int = 32 << 20
    all_bodies_bytes: int = 128 << 20
    head_bytes: int = 64 << 10
    connections: int = 32
    silence_s: float = 30
    request_s: float = 60
    wait_s: float = 20
    exams: int = 16
    exam_silence_s: float = 120


class TooLongError(Exception):
    """A request is longer than it may be."""


class BoundedReader(io.RawIOBase):
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
            TooLongError: The request is longer than it may be.
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
            raise TooLongError
        return count
