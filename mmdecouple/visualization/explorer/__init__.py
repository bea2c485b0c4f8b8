"""Interactive page that shows the affinity maps of several networks for a point in an image."""

from .page import write_page
from .quantize import QuantizedMap, affinity_error, dequantize_features, quantize_features, quantize_smallest
from .server import ExplorerServer, free_port
from .session import Session, check_count

__all__ = [
    'ExplorerServer',
    'QuantizedMap',
    'Session',
    'affinity_error',
    'check_count',
    'dequantize_features',
    'free_port',
    'quantize_features',
    'quantize_smallest',
    'write_page',
]
