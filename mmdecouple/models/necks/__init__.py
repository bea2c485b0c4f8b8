from .dino_head import DINOHead
from .dynamic_alignment import DynamicAlignment
from .prototype_head import PrototypeHead

__all__ = ['DINOHead', 'DynamicAlignment', 'PrototypeHead']
