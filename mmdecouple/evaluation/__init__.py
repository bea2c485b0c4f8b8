"""Measures of coupling and the metric that runs them."""
from .background_leak import BackgroundLeak
from .context_shift import ContextShift
from .coupling_metric import CouplingMetric
from .inter_coupling import InterCouplingRatio
from .intra_coupling import IntraCouplingRatio
from .lsc import LSC, lsc_maps
from .measure import Measure, MetricValue, Probe, Score
from .measuring import measure_model
from .oknn import OKNN
from .segmentation import FCNSegmentation, LinearSegmentation, OverClustering, measure_segmentation

__all__ = [
    'LSC', 'OKNN', 'BackgroundLeak', 'ContextShift', 'CouplingMetric', 'FCNSegmentation', 'InterCouplingRatio',
    'IntraCouplingRatio', 'LinearSegmentation', 'Measure', 'MetricValue', 'OverClustering', 'Probe', 'Score',
    'lsc_maps', 'measure_model', 'measure_segmentation'
]
