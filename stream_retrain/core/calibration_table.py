"""Measured by `python -m benchmarks.calibrate --write`, which says how; do not edit."""

from __future__ import annotations

from typing import Final, TypeAlias

__all__ = ["TABLE"]

Row: TypeAlias = tuple[str, str, str, float, float, float | None, float | None]
"""Signal, detector, parameter, its value, false alarms a million values at most, delay of a large and of a small change."""

TABLE: Final[tuple[Row, ...]] = (
    ('error', 'ADWIN', 'delta', 0.2, 58.8, 56.0, 164.0),
    ('error', 'ADWIN', 'delta', 0.05, 19.4, 80.0, 276.0),
    ('error', 'ADWIN', 'delta', 0.02, 7.75, 92.0, 340.0),
    ('error', 'ADWIN', 'delta', 0.01, 6.3, 112.0, 432.0),
    ('error', 'ADWIN', 'delta', 0.002, 4.74, 136.0, 516.0),
    ('error', 'ADWIN', 'delta', 0.0005, 3.0, 160.0, 664.0),
    ('error', 'ADWIN', 'delta', 0.0001, 3.0, 192.0, 836.0),
    ('error', 'HDDMA', 'drift_confidence', 0.02, 250.0, 73.5, 256.5),
    ('error', 'HDDMA', 'drift_confidence', 0.01, 107.0, 84.0, 302.5),
    ('error', 'HDDMA', 'drift_confidence', 0.005, 53.2, 93.0, 343.0),
    ('error', 'HDDMA', 'drift_confidence', 0.001, 11.8, 107.0, 443.5),
    ('error', 'HDDMA', 'drift_confidence', 0.0002, 4.74, 124.5, 538.0),
    ('error', 'HDDMA', 'drift_confidence', 5e-05, 3.0, 139.5, 643.0),
    ('error', 'HDDMW', 'drift_confidence', 0.005, 1720.0, 38.5, 103.5),
    ('feature', 'ADWIN', 'delta', 0.002, 5.0, 30.0, 60.0),
)
