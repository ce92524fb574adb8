"""The driver: what carries the lanes of a worker, whatever feeds it."""

from stream_retrain.engines.driver.driver import Driver
from stream_retrain.engines.driver.limits import DriverLimits
from stream_retrain.engines.driver.log import Log
from stream_retrain.engines.driver.told import Opened, Unsent

__all__ = ["Driver", "DriverLimits", "Log", "Opened", "Unsent"]
