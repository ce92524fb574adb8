"""Messages between a process and its child, over a socket pair that no other process can reach.

A message is its length in eight bytes, and a pickle. Unpickling is safe here: both ends are the same program of the same user, and no
message comes from Redis or Kafka. The parent must not wait for the child, so it reads what has arrived (`arrived`); the child waits
for its next job (`receive`). Sending waits at most five seconds for the other end to read.
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
    """One end of the connection."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(_SEND_TIMEOUT_S)
        self._end = end
        self._buffer = bytearray()

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """The two ends of a new connection."""
        one, other = socket.socketpair()
        return cls(one), cls(other)

    def fileno(self) -> int:
        """The file descriptor, to pass to a child process."""
        return self._end.fileno()

    def send(self, message: Any) -> None:
        """Send a message. Raises OSError if the other end is closed, or does not read in time."""
        data = pickle.dumps(message, protocol=5)
        self._end.sendall(_LENGTH.pack(len(data)))
        self._end.sendall(data)

    def arrived(self) -> list[Any]:
        """The messages that have arrived, without waiting. Raises EOFError if the other end is closed and no message is left."""
        closed = False
        while not closed and self._readable(0):
            closed = not self._read()
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        if closed and not messages:
            raise EOFError
        return messages

    def receive(self, timeout_s: float) -> Any:
        """The next message; None if none arrives in time. Raises EOFError if the other end is closed."""
        while (message := self._next()) is None:
            if not self._readable(timeout_s):
                return None
            if not self._read():
                raise EOFError
        return message

    def close(self) -> None:
        """Close this end; the other end gets EOFError."""
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
