"""Backbones as dense encoders."""

from .dense_map import (
    dense_map,
    dense_maps,
    finite_map,
    layer_strides,
    measured_stride,
    predict_maps,
    split_last_stage,
    stage_maps,
    stride_of,
)
from .reader import DenseReader
from .vit import DenseViT

__all__ = [
    'DenseReader',
    'DenseViT',
    'dense_map',
    'dense_maps',
    'finite_map',
    'layer_strides',
    'measured_stride',
    'predict_maps',
    'split_last_stage',
    'stage_maps',
    'stride_of',
]
