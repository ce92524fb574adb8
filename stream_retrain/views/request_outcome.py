"""What became of a request, as the decisions of its shard tell it: a fold over them, for whoever waits for the outcome.

A reset, a promotion or a rollback is done with the shard's next event, or refused there. A retrain is taken with it
(`policy.requested`), and its rules are asked at the next label (`policy.decided`). A reset of theirs is done there. A race is over with
its duel; where its challenger is trained first, it joins or waits for a duel, or the training fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

__all__ = ["SUCCEEDED", "Outcome", "RequestFold"]

Outcome: TypeAlias = Literal["done", "promoted", "kept", "undecided", "superseded", "refused", "failed"]
SUCCEEDED: Final[frozenset[Outcome]] = frozenset({"done", "promoted", "kept", "undecided"})
"""It was carried out, whatever the evidence said of its challenger. One whose duel was superseded has come to nothing."""
_RESULTS: Final[dict[str, Outcome]] = {"promoted": "promoted", "kept": "kept", "superseded": "superseded"}
_WHY: Final = {
    "cooldown": "its rule is cooling down, or another rule acted at the same event",
    "in_duel": "a duel is in progress",
    "in_training": "a training is in progress",
}


@dataclasses.dataclass(slots=True)
class RequestFold:
    """Protocol of use: `take` each decision of the shard since the request was asked, in order, until there is an `outcome`."""

    token: str
    outcome: Outcome | None = None
    detail: str = "it is not taken yet: a shard takes it with its next event"
    """How it stands, in words."""
    offset: int | None = None
    """Of the event that brought it so far."""
    training: int | None = None
    duel: int | None = None
    _taken: bool = False
    _decided_at: int | None = None
    _reaction: str = ""
    _refusals: list[str] = dataclasses.field(default_factory=list)

    def take(self, kind: str, data: Mapping[str, Any]) -> bool:
        """Take a decision: its kind, such as `duel.ended`, and its data. Whether it says something of the request."""
        offset = data.get("offset")
        if not isinstance(offset, int) or self.outcome is not None:
            return False
        if self._refusals and offset != self._decided_at:
            self._end("refused", f"it was refused: {'; '.join(self._refusals)}", self._decided_at)
            return True
        if not self._taken and data.get("token") == self.token and self._ended_at_once(kind, data, offset):
            return True
        if not self._taken:
            if kind != "policy.requested" or data.get("token") != self.token:
                return False
            self._taken = True
            return self._stands("it was taken; its rules are asked at the next label", offset)
        if self._decided_at is None or self._refusals:
            return self._decide(kind, data, offset)
        return self._follow(kind, data, offset)

    def _ended_at_once(self, kind: str, data: Mapping[str, Any], offset: int) -> bool:
        """What is done with one event, or cannot be done: no rule is asked about it."""
        generation = data.get("generation")
        match kind:
            case "model.reset":
                self._end("done", f"the model was reset; generation {generation} serves", offset)
            case "model.promoted":
                self._end("done", f"version {data.get('version')} serves, as generation {generation}", offset)
            case "request.refused":
                self._end("refused", f"it was refused: {data.get('detail')}", offset)
            case _:
                return False
        return True

    def refuse(self, detail: str) -> None:
        """It was refused before any shard had it."""
        self._end("refused", detail, None)

    def looked(self) -> None:
        """Nothing more came for a moment: what was refused by then has no other rule that might be asked at the same event."""
        if self.outcome is None and self._refusals:
            self._end("refused", f"it was refused: {'; '.join(self._refusals)}", self._decided_at)

    def _decide(self, kind: str, data: Mapping[str, Any], offset: int) -> bool:
        if kind != "policy.decided" or "request" not in str(data.get("trigger")):
            return False
        result, self._reaction, self._decided_at = data.get("outcome"), str(data.get("reaction")), offset
        if result == "done" and self._reaction != "Ignore":
            self._refusals = []
            return self._stands(f"{self._reaction} has begun", offset)
        if result in ("done", "ignored"):
            self._end("done", "its rule says only that it was asked", offset)
        else:
            self._refusals.append(f"{self._reaction}: {_WHY.get(str(result), str(result))}")
            self._stands("; ".join(self._refusals), offset)
        return True

    def _follow(self, kind: str, data: Mapping[str, Any], offset: int) -> bool:
        training, duel = data.get("training"), data.get("duel")
        here = offset == self._decided_at
        match kind:
            case "model.reset" if here:
                self._end("done", f"the model was reset; generation {data.get('generation')} serves", offset)
            case "training.requested" if here:
                self.training = training
                self._stands(f"training {training} of challenger {data.get('challenger')} was asked for", offset)
            case "training.failed" if training == self.training and training is not None:
                self._end("failed", f"training {training} failed: {data.get('error')}", offset)
            case "training.waits" if training == self.training and training is not None:
                self._stands("its challenger waits for the end of a duel", offset)
            case "training.joined" if training == self.training and training is not None:
                self.duel = duel
                self._stands(f"its challenger races in duel {duel}", offset)
            case "duel.started" if here:
                self.duel = duel
                self._stands(f"its challengers race in duel {duel}", offset)
            case "duel.ended" if duel == self.duel and duel is not None:
                result = data.get("result")
                words = "somebody asked for another champion" if result == "superseded" else f"{data.get('winner')} is the champion"
                self._end(_RESULTS.get(str(result), "undecided"), f"duel {duel} ended, {result}: {words}", offset)
            case _:
                return False
        return True

    def _stands(self, detail: str, offset: int) -> bool:
        self.detail, self.offset = detail, offset
        return True

    def _end(self, outcome: Outcome, detail: str, offset: int | None) -> None:
        self.outcome, self.detail, self.offset = outcome, detail, offset
