"""Measured by `python -m benchmarks.calibrate --write`, which says how; do not edit."""

from __future__ import annotations

from typing import Final, TypeAlias

__all__ = ["TABLE"]

Row: TypeAlias = tuple[str, str, str, float, float, float | None, float | None]
"""Signal, detector, parameter, its value, false alarms a million values at most, delay of a large and of a small change."""

TABLE: Final[tuple[Row, ...]] = (
    ("error", "ADWIN", "delta", 0.2, 58.8, 56.0, 164.0),
    ("error", "ADWIN", "delta", 0.05, 19.4, 80.0, 276.0),
    ("error", "ADWIN", "delta", 0.02, 7.75, 92.0, 340.0),
    ("error", "ADWIN", "delta", 0.01, 6.3, 112.0, 432.0),
    ("error", "ADWIN", "delta", 0.002, 4.74, 136.0, 516.0),
    ("error", "ADWIN", "delta", 0.0005, 3.0, 160.0, 664.0),
    ("error", "ADWIN", "delta", 0.0001, 3.0, 192.0, 836.0),
    ("error", "HDDMA", "drift_confidence", 0.02, 250.0, 73.5, 256.5),
    ("error", "HDDMA", "drift_confidence", 0.01, 107.0, 84.0, 302.5),
    ("error", "HDDMA", "drift_confidence", 0.005, 53.2, 93.0, 343.0),
    ("error", "HDDMA", "drift_confidence", 0.001, 11.8, 107.0, 443.5),
    ("error", "HDDMA", "drift_confidence", 0.0002, 4.74, 124.5, 538.0),
    ("error", "HDDMA", "drift_confidence", 5e-05, 3.0, 139.5, 643.0),
    ("error", "HDDMW", "drift_confidence", 0.005, 1720.0, 38.5, 103.5),
    ("error", "HDDMW", "drift_confidence", 0.001, 717.0, 54.0, 294.5),
    ("error", "HDDMW", "drift_confidence", 0.0002, 306.0, 105.0, 1031.5),
    ("error", "HDDMW", "drift_confidence", 5e-05, 133.0, 174.0, 3203.5),
    ("error", "HDDMW", "drift_confidence", 1e-05, 49.8, 478.5, None),
    ("error", "PageHinkley", "threshold", 10.0, 1920.0, 38.0, 73.0),
    ("error", "PageHinkley", "threshold", 20.0, 475.0, 73.0, 163.5),
    ("error", "PageHinkley", "threshold", 30.0, 185.0, 116.5, 236.0),
    ("error", "PageHinkley", "threshold", 50.0, 47.5, 216.0, 494.5),
    ("error", "PageHinkley", "threshold", 80.0, 15.7, 402.5, 942.5),
    ("error", "PageHinkley", "threshold", 120.0, 3.0, 656.5, 1663.0),
    ("feature", "ADWIN", "delta", 0.2, 220.0, 24.0, 48.0),
    ("feature", "ADWIN", "delta", 0.05, 30.2, 24.0, 64.0),
    ("feature", "ADWIN", "delta", 0.02, 4.74, 24.0, 80.0),
    ("feature", "ADWIN", "delta", 0.01, 3.0, 32.0, 92.0),
    ("feature", "ADWIN", "delta", 0.002, 3.0, 40.0, 104.0),
    ("feature", "ADWIN", "delta", 0.0005, 3.0, 40.0, 120.0),
    ("feature", "ADWIN", "delta", 0.0001, 3.0, 48.0, 136.0),
    ("feature", "KSWIN", "alpha", 0.005, 36.1, 1250.0, 8950.0),
    ("feature", "KSWIN", "alpha", 0.001, 13.1, 1325.0, None),
    ("feature", "KSWIN", "alpha", 0.0001, 6.3, 1550.0, None),
    ("feature", "KSWIN", "alpha", 1e-05, 3.0, None, None),
    ("feature", "KSWIN", "alpha", 1e-06, 3.0, None, None),
)
