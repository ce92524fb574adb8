"""Messages between a worker and its own child process, over a socket pair nobody else can reach.

A message is its length in eight bytes, and a pickle: both ends are the same program of the same user, and what passes here never
was in Redis or Kafka. The worker's end must not wait, so it takes what has arrived (`arrived`); the child has nothing else to do
than wait for the next job (`receive`). Sending waits for the other end to take it, five seconds at most.
"""

from __future__ import annotations

import pickle
import select
import socket
import struct
from typing import Any, Final

__all__ = ["Channel"]

_LENGTH: Final = struct.Struct(">Q")
_READ_BYTES: Final = 1 << 20
_SEND_TIMEOUT_S: Final = 5.0


class Channel:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(_SEND_TIMEOUT_S)
        self._end = end
        self._buffer = bytearray()

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two ends that speak to each other."""
        one, other = socket.socketpair()
        return cls(one), cls(other)

    def fileno(self) -> int:
        """The file descriptor, to give to a child."""
        return self._end.fileno()

    def send(self, message: Any) -> None:
        """Raises OSError when the other end is gone or takes nothing."""
        data = pickle.dumps(message, protocol=5)
        self._end.sendall(_LENGTH.pack(len(data)))
        self._end.sendall(data)

    def arrived(self) -> list[Any]:
        """The messages that are here, without waiting. Raises EOFError when the other end is gone and nothing is left."""
        gone = False
        while not gone and self._readable(0):
            gone = not self._read()
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        if gone and not messages:
            raise EOFError
        return messages

    def receive(self, timeout_s: float) -> Any:
        """The next message; None if none came in time. Raises EOFError when the other end is gone."""
        while (message := self._next()) is None:
            if not self._readable(timeout_s):
                return None
            if not self._read():
                raise EOFError
        return message

    def close(self) -> None:
        """Let the other end know that this one is gone."""
        self._end.close()

    def _readable(self, timeout_s: float) -> bool:
        return bool(select.select([self._end], [], [], timeout_s)[0])

    def _read(self) -> bool:
        try:
            data = self._end.recv(_READ_BYTES)
        except ConnectionError:
            return False
        self._buffer += data
        return bool(data)

    def _next(self) -> Any:
        if len(self._buffer) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
        if len(self._buffer) < end:
            return None
        message = pickle.loads(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return message
