from .dense_map import dense_map, split_last_stage, stride_of
from .vit import DenseViT

__all__ = ['DenseViT', 'dense_map', 'split_last_stage', 'stride_of']
