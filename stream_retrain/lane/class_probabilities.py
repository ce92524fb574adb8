"""The probability of each class, as a prediction shows them: by the text of the class, in the order of the texts, and bounded.

Of many classes the most probable ones are shown, as many as fit: a prediction must not outgrow its topic (law 10).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

__all__ = ["CLASSES_MAX", "class_probabilities"]

CLASSES_MAX: Final = 100
BYTES_MAX: Final = 2_500
"""Of the JSON of all the classes; a number takes 26 bytes at most with what stands around it."""
NUMBER_BYTES: Final = 26
_encode: Final = msgspec.json.Encoder().encode


def class_probabilities(proba: Mapping[Any, float] | Any) -> dict[str, float] | None:
    """By class; None where the model gives none (yet)."""
    if not proba:
        return None
    by_text = {_text(label): p for label, p in proba.items()}
    if len(by_text) > CLASSES_MAX or sum(map(len, by_text)) * 6 + NUMBER_BYTES * len(by_text) > BYTES_MAX:
        by_text = _most_probable(by_text)
    return dict(sorted(by_text.items()))


def _text(label: Any) -> str:
    if label.__class__ is bool:
        return "true" if label else "false"
    return label if label.__class__ is str else str(label)


def _most_probable(by_text: dict[str, float]) -> dict[str, float]:
    shown, left = {}, BYTES_MAX
    for text, p in sorted(by_text.items(), key=lambda pair: (-pair[1], pair[0]))[:CLASSES_MAX]:
        left -= len(_encode(text)) + NUMBER_BYTES
        if left < 0:
            break
        shown[text] = p
    return shown
