from .dense_map import dense_map, stride_of
from .vit import DenseViT

__all__ = ['DenseViT', 'dense_map', 'stride_of']
