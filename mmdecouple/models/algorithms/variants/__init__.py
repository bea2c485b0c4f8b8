from .misaligned import MisalignedDenseCL, MisalignedIBOT

__all__ = ['MisalignedDenseCL', 'MisalignedIBOT']
