"""Images with a class for every pixel: known layouts, exported and built-in scenes."""
from mmdecouple.datasets.segmentation.images import AugmentedImages, SegmentationImages, shrink_labels, squash
from mmdecouple.datasets.segmentation.layouts import open_source
from mmdecouple.datasets.segmentation.sources import IGNORE, LabelFiles, SceneLabels

__all__ = [
    'IGNORE', 'AugmentedImages', 'LabelFiles', 'SceneLabels', 'SegmentationImages', 'open_source', 'shrink_labels',
    'squash'
]
