"""River estimators that adapt to drift by themselves; pure, like `core`.

adaptive_classifier(), adaptive_regressor()    the recommended mixtures
FixedShareClassifier, FixedShareRegressor      mixtures whose weights follow the best member
Restarting                                     any model; it restarts untrained when its error rises
PerKey                                         a model for each value of a field, in bounded memory
AdditiveClassifier, AdditiveRegressor          a learned function of each feature, and of pairs of them; old events fade out
LinearClassifier, LinearRegressor              linear in the standardised features; old events fade out
NearestClassifier, NearestRegressor            the nearest of the last events
SoftBins                                       the basis of those, as a transformer
QuickTree, QuickTreeRegressor                  River's Hoeffding trees, faster
RestartingForest, RestartingForestRegressor    trees that differ by chance; each restarts when its error rises
FastHDDMA, FastADWIN                           River's HDDM-A, faster; River's ADWIN with the same digits everywhere
Adaptive, Standing                             how such a model reports its restarts, weights and leader
"""

from stream_retrain.models.adaptive import Adaptive, Standing
from stream_retrain.models.additive import AdditiveClassifier, AdditiveRegressor
from stream_retrain.models.fast_adwin import FastADWIN
from stream_retrain.models.fast_hddma import FastHDDMA
from stream_retrain.models.fixed_share import FixedShareClassifier, FixedShareRegressor
from stream_retrain.models.forest import RestartingForest
from stream_retrain.models.forest_regressor import RestartingForestRegressor
from stream_retrain.models.linear import LinearClassifier, LinearRegressor
from stream_retrain.models.nearest import NearestClassifier, NearestRegressor
from stream_retrain.models.per_key import PerKey, PerKeyClassifier, PerKeyRegressor
from stream_retrain.models.quick_tree import QuickTree
from stream_retrain.models.quick_tree_regressor import QuickTreeRegressor
from stream_retrain.models.recommended import adaptive_classifier, adaptive_regressor
from stream_retrain.models.restarting import Restarting, RestartingClassifier, RestartingRegressor
from stream_retrain.models.soft_bins import SoftBins

__all__ = [
    "Adaptive",
    "AdditiveClassifier",
    "AdditiveRegressor",
    "FastADWIN",
    "FastHDDMA",
    "FixedShareClassifier",
    "FixedShareRegressor",
    "LinearClassifier",
    "LinearRegressor",
    "NearestClassifier",
    "NearestRegressor",
    "PerKey",
    "PerKeyClassifier",
    "PerKeyRegressor",
    "QuickTree",
    "QuickTreeRegressor",
    "Restarting",
    "RestartingClassifier",
    "RestartingForest",
    "RestartingForestRegressor",
    "RestartingRegressor",
    "SoftBins",
    "Standing",
    "adaptive_classifier",
    "adaptive_regressor",
]
