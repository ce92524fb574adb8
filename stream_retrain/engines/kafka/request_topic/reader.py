"""A record of the topic of requests as a request, or why it is none; without a client.

In this order, so that nothing of a record is looked at that nobody vouches for: 1 its size; 2 its signature; 3 its JSON; 4 for whom it is
and how old; 5 what it asks. What the pipeline can do about it is checked where every door ends (`stream_retrain.requests`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Final

import msgspec

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.signed_request import signed_by
from stream_retrain.errors import EventError, RequestError
from stream_retrain.facts.request import REQUEST_KINDS, TOKEN, Asked
from stream_retrain.facts.sent import SENT_BYTES_MAX, Sent, read_sent
from stream_retrain.lane.batch import Record
from stream_retrain.settings import Settings

__all__ = ["UNSIGNED", "RequestReader", "asking_keys"]

AHEAD_MAX_S: Final = 300.0
"""How far the clock of who asks may be ahead of this one."""
UNSIGNED: Final = "unsigned"


def asking_keys(settings: Settings) -> Keyring | None:
    """The keys that sign requests; None: they need not be signed. Raises `SettingsError`."""
    return None if settings.requests_key_file is None else Keyring.from_file(settings.requests_key_file)


@dataclasses.dataclass(frozen=True, slots=True)
class RequestReader:
    """Reads the records of one topic."""

    pipeline: str
    topic: str
    keyring: Keyring | None
    """None: what nobody signed is taken."""
    age_max_s: float

    def read(self, partition: int, record: Record, now_s: float) -> tuple[Asked, list[int] | None]:
        """What is asked, and of which partitions; None: of all. Raises `EventError`."""
        value = record.value or b""
        if not value:
            raise EventError("empty", "a request is a JSON object, and the record has no value")
        if len(value) > SENT_BYTES_MAX:
            raise EventError("too_large", f"a request has {SENT_BYTES_MAX:,} bytes at most, and this {len(value):,}")
        who, token = UNSIGNED, self._of_place(partition, record)
        if self.keyring is not None:
            key, signature = signed_by(value, record.headers or (), self.keyring)
            who, token = key.id, f"signed-{signature[:40]}"  # a copy of the record is the same request
        sent = _sent(value)
        self._check(sent, record, now_s)
        asked = Asked(
            token=token if sent.token is None else sent.token,
            do=sent.do,  # type: ignore[arg-type] # it is one of them: `_check`
            reason=f"asked in topic {self.topic}" if sent.reason is None else sent.reason,
            version=sent.version,
            by=f"topic:{who}",
        )
        return asked, sent.named

    def _of_place(self, partition: int, record: Record) -> str:
        """A token that is the record's, also where the topic is made anew."""
        place = f"{self.topic}-{partition}-{record.offset}-{record.timestamp_ms}"
        return place if TOKEN.fullmatch(place) else hashlib.sha256(place.encode()).hexdigest()

    def _check(self, sent: Sent, record: Record, now_s: float) -> None:
        signed = self.keyring is not None
        if sent.pipeline != self.pipeline and (sent.pipeline or signed):
            said = f"it is for pipeline {sent.pipeline[:80]!r}" if sent.pipeline else "a signed request names its pipeline, and this none"
            raise EventError("request", f"{said}; this topic is of {self.pipeline!r}", "pipeline")
        if sent.do not in REQUEST_KINDS:
            raise EventError("request", f"{sent.do[:40]!r} is no request; ask for one of {', '.join(REQUEST_KINDS)}", "do")
        if sent.at is None and signed:
            raise EventError("request", "a signed request says when it was made, in seconds since the epoch, and this does not", "at")
        made_s = sent.at if sent.at is not None else record.timestamp_ms / 1000
        if now_s - made_s > self.age_max_s:
            said = f"it is {now_s - made_s:,.0f} s old, and requests_age_max_s is {self.age_max_s:g}"
            raise EventError("request", f"{said}; ask again, if it is still wanted", "at")
        if made_s - now_s > AHEAD_MAX_S:
            raise EventError("request", f"it was made in {made_s - now_s:,.0f} s from now: see that both clocks are right", "at")


def _sent(value: bytes) -> Sent:
    try:
        return read_sent(value)
    except RequestError as error:
        raise EventError("schema" if _is_json(value) else "decode", str(error)) from None


def _is_json(value: bytes) -> bool:
    try:
        msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
