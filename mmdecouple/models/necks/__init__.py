from .dino_head import DINOHead
from .dynamic_alignment import DynamicAlignment

__all__ = ['DINOHead', 'DynamicAlignment']
