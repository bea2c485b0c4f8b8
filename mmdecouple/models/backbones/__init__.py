"""Backbones as dense encoders."""

from .dense_map import (
    dense_map,
    finite_map,
    layer_strides,
    measured_stride,
    predict_maps,
    split_last_stage,
    stage_maps,
    stride_of,
)
from .vit import DenseViT

__all__ = [
    'DenseViT',
    'dense_map',
    'finite_map',
    'layer_strides',
    'measured_stride',
    'predict_maps',
    'split_last_stage',
    'stage_maps',
    'stride_of',
]
