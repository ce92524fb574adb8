"""One seed for Python's hashing of text in every process that learns or predicts.

Some models iterate over sets of labels or features (`KNNClassifier` where neighbours tie, `HoeffdingAdaptiveTreeClassifier` with text): in
which order, Python decides anew in each process, unless `PYTHONHASHSEED` is set when it starts. A worker, its trainer, a restart, a
replay and the verifier must predict the same, so the commands that run a pipeline start themselves again under `SEED`, and their child
processes inherit it.
"""

from __future__ import annotations

import os
import sys
from typing import Final

__all__ = ["pin_hash_seed"]

SEED: Final = "0"
VARIABLE: Final = "PYTHONHASHSEED"
COMMANDS: Final = frozenset({"backtest", "check", "demo", "run", "trainer", "verify"})


def pin_hash_seed() -> None:
    """Start the program again with its own arguments under `SEED`, if it runs a pipeline and was started under another."""
    if COMMANDS.isdisjoint(sys.argv[1:2]) or os.environ.get(VARIABLE) == SEED or sys.flags.ignore_environment:
        return
    os.environ[VARIABLE] = SEED
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very program, with its own arguments
