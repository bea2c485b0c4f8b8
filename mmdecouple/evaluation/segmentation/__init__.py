"""Semantic segmentation from frozen dense features: label maps, trained heads, over-clustering, retrieval."""

from mmdecouple.evaluation.segmentation.base import Runtime, SegmentationMeasure, SegmentationResult
from mmdecouple.evaluation.segmentation.head_measures import FCNSegmentation, LinearSegmentation
from mmdecouple.evaluation.segmentation.heads import FCNHead, LinearHead
from mmdecouple.evaluation.segmentation.images import AugmentedImages, SegmentationImages, shrink_labels, squash
from mmdecouple.evaluation.segmentation.label_sources import IGNORE, LabelFiles, SceneLabels
from mmdecouple.evaluation.segmentation.layouts import open_source
from mmdecouple.evaluation.segmentation.over_clustering import OverClustering
from mmdecouple.evaluation.segmentation.retrieval import Retrieval
from mmdecouple.evaluation.segmentation.run import measure_segmentation

__all__ = [
    'IGNORE',
    'AugmentedImages',
    'FCNHead',
    'FCNSegmentation',
    'LabelFiles',
    'LinearHead',
    'LinearSegmentation',
    'OverClustering',
    'Retrieval',
    'Runtime',
    'SceneLabels',
    'SegmentationImages',
    'SegmentationMeasure',
    'SegmentationResult',
    'measure_segmentation',
    'open_source',
    'shrink_labels',
    'squash',
]
