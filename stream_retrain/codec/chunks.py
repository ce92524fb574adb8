"""A chunk of a window as bytes: rows in, MessagePack columns out, and back without a change.

A chunk is a version byte, a CRC-32, and an array of columns: offsets, times, feature names, one column a feature, `y` and
`y_pred`. Bool, int, float and text keep their type, floats all their bits, and features the order they had in each row,
because River's models sum in that order.

Rows that share their features in one order, which is nearly all of them, are transposed by `zip`. Where a row lacks a feature,
its column holds nil, and `shapes` says for each row which columns are its own. Integers beyond 64 bits, which MessagePack does
not have, travel as hexadecimal text in an extension; a numpy scalar comes back as the Python number it equals.

A stored chunk is under a seal, which covers its shard, its span and its bytes: a chunk of another shard, or of another place in the
window, is refused like a forged one. With a key it is HMAC-SHA256; unsigned it is SHA-256, which finds damage but no forgery.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from msgspec.msgpack import Decoder, Encoder, Ext

from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.errors import StateError
from stream_retrain.facts.values import Features, Learned

__all__ = ["Span", "check_seal", "chunk_seal", "decode_chunk", "encode_chunk"]

_VERSION: Final = 1
_FRAME: Final = struct.Struct(">BI")
_SPAN: Final = struct.Struct(">qqqdd")
_SEALED: Final = b"stream_retrain window 1\0"
_WIDE_INT: Final = 1
_REMEDY: Final = "delete the window, it fills again from new events"

_Cell: TypeAlias = bool | int | float | str | Ext | None
_Column: TypeAlias = Sequence[_Cell]
Span: TypeAlias = tuple[int, int, int, float, float]
"""First and last offset, rows, oldest and newest time."""


class _Columns(msgspec.Struct, array_like=True, kw_only=True):
    offsets: Sequence[int]
    times_s: Sequence[int | float]
    names: Sequence[str]
    features: Sequence[_Column]
    y: _Column
    y_pred: _Column
    shapes: Sequence[Sequence[int]] = ()
    """The sets of columns that rows have, if they differ; each in the row's own order."""
    shape_of_row: Sequence[int] = ()
    wide: bool = False
    """Some cell is an integer beyond 64 bits."""


def encode_chunk(rows: Sequence[Learned]) -> bytes:
    """The bytes of `rows`: about half a microsecond a row with eight features."""
    columns = _columns(rows)
    try:
        body = _ENCODER.encode(columns)
    except OverflowError:
        body = _ENCODER.encode(_over_cells(columns, _widened, wide=True))
    return _FRAME.pack(_VERSION, zlib.crc32(body)) + body


def decode_chunk(data: bytes) -> list[Learned]:
    """The rows that `encode_chunk` was given. Raises StateError if the bytes are damaged or of another version."""
    body = memoryview(data)[_FRAME.size :]
    if len(data) < _FRAME.size:
        raise StateError(f"A chunk of the window has {len(data)} bytes, too few to be one: {_REMEDY}")
    version, checksum = _FRAME.unpack_from(data)
    if version != _VERSION:
        raise StateError(
            f"A chunk of the window has format {version}, this release reads {_VERSION}: use the release that wrote it, or {_REMEDY}"
        )
    if checksum != zlib.crc32(body):
        raise StateError(f"A chunk of the window is damaged, its checksum differs: {_REMEDY}")
    try:
        return _rows(_DECODER.decode(body))
    except (msgspec.DecodeError, ValueError, IndexError, RecursionError) as error:
        raise StateError(f"A chunk of the window cannot be read ({error}): {_REMEDY}") from error


def chunk_seal(shard: str, span: Span, data: bytes, keyring: Keyring) -> bytes:
    """The seal of a chunk, by the keyring's first key: the key's id, a colon and the digest."""
    key = keyring.signing_key
    return (key.id if key else "").encode() + b":" + _digest(key, shard, span, data)


def check_seal(seal: bytes, shard: str, span: Span, data: bytes, keyring: Keyring) -> None:
    """Raises `StateError` for a seal that is not this chunk's, or not by a key of the keyring."""
    name, colon, digest = seal.partition(b":")
    key_id = name.decode("ascii", "replace")
    key = keyring.get(key_id) if name else None
    if not colon or (key is None and (name or keyring.signs)):
        signed = f"is sealed with the key {key_id[:64]!r}, which this process does not have" if colon and name else "is not signed"
        raise StateError(f"A chunk of the window {signed}: give every process the same signing key file, or {_REMEDY}")
    if not hmac.compare_digest(digest, _digest(key, shard, span, data)):
        raise StateError(f"A chunk of the window was changed or damaged, or belongs elsewhere: {_REMEDY}")


def _digest(key: Key | None, shard: str, span: Span, data: bytes) -> bytes:
    hashed = hmac.new(key.secret, digestmod=hashlib.sha256) if key else hashlib.sha256()
    hashed.update(_SEALED + shard.encode() + b"\0" + _SPAN.pack(*span))
    hashed.update(data)
    return hashed.digest()


def _columns(rows: Sequence[Learned]) -> _Columns:
    if not rows:
        return _Columns(offsets=(), times_s=(), names=(), features=(), y=(), y_pred=())
    offsets, times_s, xs, y, y_pred = zip(*rows, strict=True)
    shapes = list(map(tuple, xs))
    names = shapes[0]
    if shapes.count(names) == len(shapes):
        features = list(zip(*map(dict.values, xs), strict=True))
        return _Columns(offsets=offsets, times_s=times_s, names=names, features=features, y=y, y_pred=y_pred)
    return _ragged(_Columns(offsets=offsets, times_s=times_s, names=(), features=(), y=y, y_pred=y_pred), xs, shapes)


def _ragged(columns: _Columns, xs: Sequence[Features], shape_of_row: Sequence[tuple[str, ...]]) -> _Columns:
    shapes = {shape: at for at, shape in enumerate(dict.fromkeys(shape_of_row))}
    column_of = {name: at for at, name in enumerate(dict.fromkeys(itertools.chain.from_iterable(shapes)))}
    columns.names = list(column_of)
    columns.features = [[x.get(name) for x in xs] for name in column_of]
    columns.shapes = [[column_of[name] for name in shape] for shape in shapes]
    columns.shape_of_row = [shapes[shape] for shape in shape_of_row]
    return columns


def _rows(columns: _Columns) -> list[Learned]:
    if columns.wide:
        columns = _over_cells(columns, _narrowed, wide=False)
    for column in columns.features:
        if len(column) != len(columns.offsets):
            raise ValueError(f"a column has {len(column)} cells for {len(columns.offsets)} rows")
    xs = _xs_ragged(columns) if columns.shapes else _xs_uniform(columns)
    whole: Iterable[Any] = zip(columns.offsets, columns.times_s, xs, columns.y, columns.y_pred, strict=True)
    return list(map(Learned._make, whole))


def _xs_uniform(columns: _Columns) -> list[dict[str, _Cell]]:
    xs: list[dict[str, _Cell]] = [{} for _ in columns.offsets]
    for name, column in zip(columns.names, columns.features, strict=True):
        for x, cell in zip(xs, column, strict=True):
            x[name] = cell
    return xs


def _xs_ragged(columns: _Columns) -> list[dict[str, _Cell]]:
    named = list(zip(columns.names, columns.features, strict=True))
    shapes = [[named[at] for at in shape] for shape in columns.shapes]
    return [{name: column[row] for name, column in shapes[at]} for row, at in enumerate(columns.shape_of_row)]


def _over_cells(columns: _Columns, convert: Callable[[_Cell], _Cell], *, wide: bool) -> _Columns:
    return msgspec.structs.replace(
        columns,
        features=[list(map(convert, column)) for column in columns.features],
        y=list(map(convert, columns.y)),
        y_pred=list(map(convert, columns.y_pred)),
        wide=wide,
    )


def _widened(cell: _Cell) -> _Cell:
    if isinstance(cell, int) and not -(2**63) <= cell < 2**64:
        return Ext(_WIDE_INT, b"%x" % cell)
    return cell


def _narrowed(cell: _Cell) -> _Cell:
    return int(bytes(cell.data), 16) if isinstance(cell, Ext) else cell


def _scalar(value: Any) -> object:
    """What msgspec does not know: a numpy scalar, which models like to return."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r} is {type(value).__name__}; a window holds bool, int, float and text")


_ENCODER: Final = Encoder(enc_hook=_scalar)
_DECODER: Final = Decoder(_Columns)
