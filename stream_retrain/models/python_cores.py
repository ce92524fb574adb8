"""The cores in Python, by the names that the extension gives its own."""

from stream_retrain.models.additive_cores import PlainAdditiveClassifier as AdditiveClassifier
from stream_retrain.models.additive_cores import PlainAdditiveRegressor as AdditiveRegressor
from stream_retrain.models.plain_tree import PlainTree as Tree

__all__ = ["AdditiveClassifier", "AdditiveRegressor", "Tree"]
