"""Another name of :mod:`scatcuda.program.packing`."""

from .program.arrays import pack_matrix, pack_set
from .program.packing import Packed, filters_of, matrix_of, pack_program

__all__ = ["Packed", "filters_of", "matrix_of", "pack_matrix", "pack_program", "pack_set"]
