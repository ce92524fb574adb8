"""River estimators that adapt by themselves; pure, like `core`.

adaptive_classifier(), adaptive_regressor()    the recommended mixtures
FixedShareClassifier, FixedShareRegressor      mixtures that follow the best of their members
Restarting                                     any model, started afresh when its error rises
AdditiveClassifier, AdditiveRegressor          a free function of each feature, which forgets by itself
SoftBins                                       the basis of those, as a transformer
Adaptive, Standing                             how such a model tells its restarts, weights and leader
"""

from stream_retrain.models.adaptive import Adaptive, Standing, standing_of
from stream_retrain.models.additive import AdditiveClassifier, AdditiveRegressor
from stream_retrain.models.detector import FastHDDMA
from stream_retrain.models.fixed_share import FixedShareClassifier, FixedShareRegressor
from stream_retrain.models.quick_tree import QuickTree, QuickTreeRegressor
from stream_retrain.models.recommended import adaptive_classifier, adaptive_regressor
from stream_retrain.models.restarting import Restarting, RestartingClassifier, RestartingRegressor
from stream_retrain.models.soft_bins import SoftBins

__all__ = [
    "Adaptive",
    "AdditiveClassifier",
    "AdditiveRegressor",
    "FastHDDMA",
    "FixedShareClassifier",
    "FixedShareRegressor",
    "QuickTree",
    "QuickTreeRegressor",
    "Restarting",
    "RestartingClassifier",
    "RestartingRegressor",
    "SoftBins",
    "Standing",
    "adaptive_classifier",
    "adaptive_regressor",
    "standing_of",
]
