"""Measures of coupling, their probe images, and segmentation from frozen features."""

from mmdecouple.evaluation.coupling_metric import CouplingMetric
from mmdecouple.evaluation.label_objects import LabelObjects
from mmdecouple.evaluation.local_consistency import lsc_maps
from mmdecouple.evaluation.measures import (
    LSC,
    OKNN,
    BackgroundLeak,
    ContextShift,
    InterCouplingRatio,
    IntraCouplingRatio,
    Measure,
    PositionLeak,
    Probe,
    Score,
    SpuriousShare,
)
from mmdecouple.evaluation.probes.dataset import ProbeDataset
from mmdecouple.evaluation.region_images import RegionImages
from mmdecouple.evaluation.run import measure_layers, measure_model
from mmdecouple.evaluation.segmentation import (
    FCNSegmentation,
    LinearSegmentation,
    OverClustering,
    Retrieval,
    SegmentationImages,
    measure_segmentation,
)
from mmdecouple.evaluation.stats import MetricValue

__all__ = [
    'LSC',
    'OKNN',
    'BackgroundLeak',
    'ContextShift',
    'CouplingMetric',
    'FCNSegmentation',
    'InterCouplingRatio',
    'IntraCouplingRatio',
    'LabelObjects',
    'LinearSegmentation',
    'Measure',
    'MetricValue',
    'OverClustering',
    'PositionLeak',
    'Probe',
    'ProbeDataset',
    'RegionImages',
    'Retrieval',
    'Score',
    'SegmentationImages',
    'SpuriousShare',
    'lsc_maps',
    'measure_layers',
    'measure_model',
    'measure_segmentation',
]
