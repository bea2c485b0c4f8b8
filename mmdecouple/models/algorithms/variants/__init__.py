"""Variants of methods that only ablations of the paper need."""

from .misaligned import MisalignedDenseCL, MisalignedIBOT

__all__ = ['MisalignedDenseCL', 'MisalignedIBOT']
