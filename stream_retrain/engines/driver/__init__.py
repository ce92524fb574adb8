"""The driver: what carries the lanes of a worker, whatever feeds it."""

from stream_retrain.engines.driver.driver import Driver, Opened, Unsent
from stream_retrain.engines.driver.limits import DriverLimits
from stream_retrain.engines.driver.log import Log

__all__ = ["Driver", "DriverLimits", "Log", "Opened", "Unsent"]
