from .dense_map import dense_map, stride_of

__all__ = ['dense_map', 'stride_of']
