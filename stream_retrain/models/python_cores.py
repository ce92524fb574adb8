"""The cores in Python, by the names that the extension gives its own."""

from stream_retrain.models.additive_cores import PlainAdditiveClassifier as AdditiveClassifier
from stream_retrain.models.additive_cores import PlainAdditiveRegressor as AdditiveRegressor
from stream_retrain.models.mixture import PlainClassifierMixture as ClassifierMixture
from stream_retrain.models.mixture_regressor import PlainRegressorMixture as RegressorMixture
from stream_retrain.models.plain_adwin import PlainADWIN as Adwin
from stream_retrain.models.plain_forest import PlainForest as Forest
from stream_retrain.models.plain_forest_regressor import PlainForestRegressor as ForestRegressor
from stream_retrain.models.plain_hddma import PlainHDDMA as Hddma
from stream_retrain.models.plain_nearest import PlainNearestClassifier as NearestClassifier
from stream_retrain.models.plain_nearest import PlainNearestRegressor as NearestRegressor
from stream_retrain.models.plain_restarting import PlainRestartingClassifier as RestartingClassifier
from stream_retrain.models.plain_restarting import PlainRestartingRegressor as RestartingRegressor
from stream_retrain.models.plain_tree import PlainTree as Tree
from stream_retrain.models.plain_tree_regressor import PlainTreeRegressor as TreeRegressor

__all__ = [
    "AdditiveClassifier",
    "AdditiveRegressor",
    "Adwin",
    "ClassifierMixture",
    "Forest",
    "ForestRegressor",
    "Hddma",
    "NearestClassifier",
    "NearestRegressor",
    "RegressorMixture",
    "RestartingClassifier",
    "RestartingRegressor",
    "Tree",
    "TreeRegressor",
]
