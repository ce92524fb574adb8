"""Copies of models on a filesystem or in an object store, through fsspec: `file:///srv/models`, `s3://bucket/models`, `gs://`, `abfs://`,
`memory://` and whatever else is installed for it.

    ROOT/pipeline/topic/partition/NAME.model

1. A copy is written under a name that nobody reads, and then moved: whoever finds it finds all of it.
2. A name stands for the same bytes for ever, so what is there is not written again, and the epoch of a writer says nothing here: one that
   lost its shard can only leave a copy that no index names.

What the store answers is foreign code: whatever it raises becomes a `StoreError` that says what to look at.
"""

from __future__ import annotations

import errno
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from stream_retrain.errors import SettingsError, StoreError
from stream_retrain.facts.values import ShardId
from stream_retrain.redaction import url_redacted
from stream_retrain.stores.version_ports import ModelStore

__all__ = ["ObjectModelStore", "object_store"]

_Answer = TypeVar("_Answer")
SUFFIX: Final = ".model"
EXTRA: Final = "pip install 'stream_retrain[objects]'"
_FULL: Final = ("nospace", "no space", "quota", "insufficientstorage", "entitytoolarge", "507")
_DENIED: Final = ("denied", "forbidden", "403", "401", "credential", "signaturedoesnotmatch", "invalidaccesskey")
_MISSING: Final = ("nosuchbucket", "does not exist", "404", "not found")


def object_store(url: str) -> ModelStore:
    """The store at `url`. Raises `SettingsError` where there is no such kind of store, or its package is not installed."""
    try:
        import fsspec
    except ImportError:
        raise SettingsError(f"artifacts_url is given, and fsspec is not installed: {EXTRA}") from None
    protocol = fsspec.core.split_protocol(url)[0] or "file"
    try:
        filesystem, root = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=protocol != "memory")
    except ImportError as error:
        raise SettingsError(f"artifacts_url begins with {protocol}://: {_install(protocol, error)}") from None
    except Exception as error:  # noqa: BLE001 - each kind of store checks its address in its own way
        raise SettingsError(f"artifacts_url {url_redacted(url)!r} is none that can be used: {error}") from None
    return ObjectModelStore(filesystem, root.rstrip("/"), url_redacted(url))


def _install(protocol: str, error: ImportError) -> str:
    from fsspec.registry import known_implementations

    package = known_implementations.get(protocol, {}).get("class", "").partition(".")[0]
    return f"pip install {package}" if package not in ("", "fsspec") else str(error)


class ObjectModelStore:
    """A `ModelStore` of files."""

    def __init__(self, filesystem: Any, root: str, shown: str) -> None:
        self._files = filesystem
        self._root = root
        self._shown = shown

    def keep(self, shard: ShardId, epoch: int, name: str, sealed: bytes) -> None:  # noqa: ARG002 - see rule 2
        path = self._path(shard, name)

        def write() -> None:
            if self._files.exists(path) and self._files.info(path)["size"] == len(sealed):
                return
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            passing = f"{path}.{uuid.uuid4().hex}.tmp"
            try:
                self._files.pipe_file(passing, sealed)
                self._files.mv(passing, path)
            except BaseException:
                self._forget(passing)
                raise

        self._call(f"keep a model of {len(sealed):,} bytes of {shard}", write)

    def load(self, shard: ShardId, name: str) -> bytes | None:
        def read() -> bytes | None:
            try:
                return bytes(self._files.cat_file(self._path(shard, name)))
            except FileNotFoundError:
                return None

        return self._call(f"load the model {name} of {shard}", read)

    def names(self, shard: ShardId) -> list[str]:
        def listed() -> list[str]:
            try:
                paths = self._files.ls(self._folder(shard), detail=False)
            except FileNotFoundError:
                return []
            found = [str(path).rpartition("/")[2] for path in paths]
            return sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX))

        return self._call(f"list the models of {shard}", listed)

    def drop(self, shard: ShardId, epoch: int, names: Iterable[str]) -> None:  # noqa: ARG002 - see rule 2
        def remove() -> None:
            for name in names:
                try:
                    self._files.rm_file(self._path(shard, name))
                except FileNotFoundError:
                    continue

        self._call(f"drop models of {shard}", remove)

    def _folder(self, shard: ShardId) -> str:
        return f"{self._root}/{shard.pipeline}/{shard.topic}/{shard.partition}"

    def _path(self, shard: ShardId, name: str) -> str:
        return f"{self._folder(shard)}/{name}{SUFFIX}"

    def _forget(self, path: str) -> None:
        try:
            self._files.rm_file(path)
        except Exception:  # noqa: BLE001 - it could not be written: that is what is raised
            return

    def _call(self, doing: str, command: Callable[[], _Answer]) -> _Answer:
        try:
            return command()
        except Exception as error:
            said = " ".join(str(error).split())[:500] or type(error).__name__
            raise StoreError(f"Could not {doing} (artifacts_url {self._shown}): {_hint(error)}. It said: {said}") from error


def _hint(error: Exception) -> str:
    said = f"{type(error).__name__} {error}".lower()
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or any(word in said for word in _FULL):
        return "it is full: free some space, or keep fewer (versions_models_max, versions_retention_ms)"
    if isinstance(error, PermissionError) or any(word in said for word in _DENIED):
        return "it refuses: see the rights of this user there"
    if isinstance(error, FileNotFoundError) or any(word in said for word in _MISSING):
        return "it is not there: make the bucket or the folder"
    return "it cannot be reached, or refuses: see that the address is right and that it runs"
