"""Semantic segmentation from frozen dense features: linear classifier, FCN head, over-clustering."""
from .heads import FCNHead, LinearHead
from .head_measures import FCNSegmentation, LinearSegmentation
from .measure import Runtime, SegmentationMeasure, SegmentationResult
from .measuring import measure_segmentation
from .over_clustering import OverClustering

__all__ = [
    'FCNHead', 'FCNSegmentation', 'LinearHead', 'LinearSegmentation', 'OverClustering', 'Runtime',
    'SegmentationMeasure', 'SegmentationResult', 'measure_segmentation'
]
