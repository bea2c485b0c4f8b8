"""Dense self-supervised pre-training in which any dense method can be de-coupled by one config block."""

from .version import __version__

__all__ = ['__version__']
