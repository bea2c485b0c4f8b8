"""An interactive page: choose a point in an image, see what every network takes for similar."""
from .coding import CodedMap, affinity_error, code_features, decode_features, smallest_code
from .looking import Looking, check_count
from .page import check_page, write_page
from .server import ExplorerServer, free_port

__all__ = ['CodedMap', 'ExplorerServer', 'Looking', 'affinity_error', 'check_count', 'check_page', 'code_features',
           'decode_features', 'free_port', 'smallest_code', 'write_page']
