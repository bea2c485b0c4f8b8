"""The measures: what each draws, shows to a network and computes from its features."""
from mmdecouple.evaluation.measures.background_leak import BackgroundLeak
from mmdecouple.evaluation.measures.base import Drawn, Measure, Probe, Reference, Score
from mmdecouple.evaluation.measures.context_shift import ContextShift
from mmdecouple.evaluation.measures.inter_coupling import InterCouplingRatio
from mmdecouple.evaluation.measures.intra_coupling import IntraCouplingRatio
from mmdecouple.evaluation.measures.lsc import LSC
from mmdecouple.evaluation.measures.oknn import OKNN

__all__ = [
    'LSC', 'OKNN', 'BackgroundLeak', 'ContextShift', 'Drawn', 'InterCouplingRatio', 'IntraCouplingRatio', 'Measure',
    'Probe', 'Reference', 'Score'
]
