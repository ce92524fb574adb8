"""Files that may be compressed, as streams of what they hold: gzip, and Zstandard where it is installed."""

from __future__ import annotations

import contextlib
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from stream_retrain.errors import SettingsError

__all__ = ["SUFFIXES", "opened", "share_read"]

GZIP: Final = ".gz"
ZSTANDARD: Final = (".zst", ".zstd")
SUFFIXES: Final = (GZIP, *ZSTANDARD)
INSTALL: Final = "pip install 'stream_retrain[backtest]'"
BUFFER_BYTES: Final = 1 << 17


@contextlib.contextmanager
def opened(file: Path) -> Iterator[IO[bytes]]:
    """What the file holds.

    Raises `OSError`, `EOFError` where it was cut off, `zlib.error`, and `SettingsError` where Zstandard is needed and not installed.
    """
    decompressor = _zstandard(file) if file.suffix in ZSTANDARD else None
    with file.open("rb") as raw:
        if decompressor is not None:
            with io.BufferedReader(_Frames(raw, decompressor), BUFFER_BYTES) as frames:
                yield frames
        elif file.suffix == GZIP:
            with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                yield stream  # type: ignore[misc]  # it is one, but for its class
        else:
            yield raw


def share_read(file: Path, stream: IO[bytes], count: int) -> float:
    """About which share of the file has been read, above 0, where `count` bytes were read from the stream."""
    if isinstance(stream, gzip.GzipFile):
        at = stream.fileobj.tell()
    elif isinstance(stream, io.BufferedReader) and isinstance(stream.raw, _Frames):
        at = stream.raw.at * count // max(1, stream.raw.decompressed)
    else:
        at = stream.tell()
    return min(1.0, max(1, at) / max(1, file.stat().st_size))


def _zstandard(file: Path) -> Any:
    try:
        import zstandard
    except ImportError:
        raise SettingsError(f"{file}: to read Zstandard a package is needed: {INSTALL}") from None
    return zstandard


class _Frames(io.RawIOBase):
    """All frames of a Zstandard file, one after the other.

    The package's own readers take a file that was cut off for one that ends there; here that is an `EOFError`.
    """

    def __init__(self, raw: IO[bytes], zstandard: Any) -> None:
        super().__init__()
        self._raw = raw
        self._error: type[Exception] = zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame: Any = None
        self._given = b""
        """Of the file, and not yet given to a frame."""
        self._ready = memoryview(b"")
        self.decompressed = 0
        """How many bytes it has given, or has ready."""

    @property
    def at(self) -> int:
        """How far the file was read, in its own bytes."""
        return self._raw.tell()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            if not self._more():
                return 0
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _more(self) -> bool:
        """Decompress a piece of the file; whether there was one."""
        piece, self._given = self._given or self._raw.read(io.DEFAULT_BUFFER_SIZE), b""
        if not piece:
            if self._frame is not None:
                raise EOFError("Compressed file ended before the end of a frame was reached")
            return False
        if self._frame is None:
            self._frame = self._decompressor.decompressobj()
        try:
            self._ready = memoryview(self._frame.decompress(piece))
        except self._error as error:
            raise OSError(f"Not a Zstandard file, or a damaged one: {error}") from None
        self.decompressed += len(self._ready)
        if self._frame.eof:
            self._given, self._frame = self._frame.unused_data, None
        return True
