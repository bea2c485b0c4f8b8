"""Regions and cut masks: pure tensor functions over a batch, and samplers that supply their random draws.

A cut mask is a bool tensor `(B, h, w)`, True where a cell is cut out, that is, replaced by the background. The
functions take all random draws as arguments, and the samplers take an explicit generator. Nothing in this package reads
a file, uses a registry or synchronizes with the device.
"""

from .blockwise import blockwise
from .cutout import cutout
from .random import random_cells
from .rcc import RULES, rcc
from .rectangle import rectangle
from .regions import check_regions, grid_regions, pixels_to_cells, place_regions
from .samplers import MASKS, PRESETS, Blockwise, Cutout, RandomMask, Rectangle, RegionCollaborativeCutout, build_mask
from .statistics import masked_share, region_ratio

__all__ = [
    'MASKS',
    'PRESETS',
    'RULES',
    'Blockwise',
    'Cutout',
    'RandomMask',
    'Rectangle',
    'RegionCollaborativeCutout',
    'blockwise',
    'build_mask',
    'check_regions',
    'cutout',
    'grid_regions',
    'masked_share',
    'pixels_to_cells',
    'place_regions',
    'random_cells',
    'rcc',
    'rectangle',
    'region_ratio',
]
