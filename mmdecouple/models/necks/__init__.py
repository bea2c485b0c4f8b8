"""Heads on top of the backbones."""

from .dino_head import DINOHead
from .dynamic_alignment import DynamicAlignment
from .point_head import PointHead
from .prototype_head import PrototypeHead
from .region_pyramid import RegionPyramid

__all__ = ['DINOHead', 'DynamicAlignment', 'PointHead', 'PrototypeHead', 'RegionPyramid']
