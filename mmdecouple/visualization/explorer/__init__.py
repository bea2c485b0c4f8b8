"""Interactive page that shows affinities, components and effects of the surroundings for a point in an image."""

from .components import Components, component_colors, fit_components
from .layers import choose_layers
from .page import write_page
from .quantize import QuantizedMap, affinity_error, dequantize_features, quantize_features, quantize_smallest
from .server import ExplorerServer, free_port
from .session import Change, Place, Reading, Session, check_count
from .surroundings import Region, feature_change, kept_patches, regions_of, swap_surroundings

__all__ = [
    'Change',
    'Components',
    'ExplorerServer',
    'Place',
    'QuantizedMap',
    'Reading',
    'Region',
    'Session',
    'affinity_error',
    'check_count',
    'choose_layers',
    'component_colors',
    'dequantize_features',
    'feature_change',
    'fit_components',
    'free_port',
    'kept_patches',
    'quantize_features',
    'quantize_smallest',
    'regions_of',
    'swap_surroundings',
    'write_page',
]
