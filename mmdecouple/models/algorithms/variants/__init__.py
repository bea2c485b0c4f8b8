"""Variants of methods for ablations of the paper."""

from .misaligned import MisalignedDenseCL, MisalignedIBOT

__all__ = ['MisalignedDenseCL', 'MisalignedIBOT']
