"""Heads on top of the backbones."""

from .dino_head import DINOHead
from .dynamic_alignment import DynamicAlignment
from .pixel_heads import PixelHeads, PixelMLP, PixelPropagationModule
from .point_head import PointHead
from .projection_head import ProjectionHead
from .prototype_head import PrototypeHead
from .region_pyramid import RegionPyramid
from .resim_neck import ReSimNeck

__all__ = [
    'DINOHead',
    'DynamicAlignment',
    'PixelHeads',
    'PixelMLP',
    'PixelPropagationModule',
    'PointHead',
    'ProjectionHead',
    'PrototypeHead',
    'ReSimNeck',
    'RegionPyramid',
]
