"""Measures: each draws items, renders probe images, computes metrics from features, and describes these metrics."""

from mmdecouple.evaluation.measures.background_leak import BackgroundLeak
from mmdecouple.evaluation.measures.base import Drawn, Measure, Probe, Reference, Score, histogram
from mmdecouple.evaluation.measures.context_shift import ContextShift
from mmdecouple.evaluation.measures.inter_coupling import InterCouplingRatio
from mmdecouple.evaluation.measures.intra_coupling import IntraCouplingRatio
from mmdecouple.evaluation.measures.lsc import LSC
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.measures.oknn import OKNN
from mmdecouple.evaluation.measures.position_leak import PositionLeak
from mmdecouple.evaluation.measures.spurious_share import SpuriousShare

__all__ = [
    'LSC',
    'OKNN',
    'BackgroundLeak',
    'ContextShift',
    'Drawn',
    'InterCouplingRatio',
    'IntraCouplingRatio',
    'Measure',
    'MetricSpec',
    'PositionLeak',
    'Probe',
    'Reference',
    'Score',
    'SpuriousShare',
    'histogram',
]
