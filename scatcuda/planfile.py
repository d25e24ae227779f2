"""Plan files: a scattering problem and its filters, for programs without Python.

``csrc/api/plan_file.cpp`` reads them. All numbers are little-endian:

======  ==========================================================================
offset
======  ==========================================================================
0       ``scatplan``
8       version, 32 bits: 1
12      CRC-32 (zlib's) of bytes [16, end), 32 bits
16      size of the file, and all that follows, in 64 bits
24      bytes of a number of psi and phi, 4 or 8
32      J, L, max_order, M, N, pre_pad
80      numbers in psi
88      zeros
128     psi_support, phi_support, psi, phi of :class:`scatcuda.plan.Packed`
======  ==========================================================================
"""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np

from .files import replaced
from .plan import Packed, Plan

__all__ = ["write"]

_MAGIC, _VERSION = b"scatplan", 1
_START = struct.Struct("<8sII")  # magic, version, checksum
_PROBLEM = struct.Struct("<9q40x")  # size of the file, of a number, the problem, numbers in psi
_HEADER = _START.size + _PROBLEM.size


def write(path: str | os.PathLike[str], plan: Plan, packed: Packed) -> int:
    """Write a plan file, whole or not at all.

    Args:
        path: its name; what has it is replaced.
        plan, packed: the problem and its filters, float32 or float64.
    Returns: the number of bytes.
    Example:
        >>> import tempfile
        >>> from scatcuda import Scattering2D
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Scattering2D(J=2, shape=(32, 32)).save_plan(f"{folder}/plan.scat")
        106960
    """
    tables = (packed.psi_support, packed.phi_support, packed.psi, packed.phi)
    bodies = [_little_endian(table.detach().cpu().contiguous().numpy()) for table in tables]
    size = _HEADER + sum(len(body) for body in bodies)
    problem = (plan.J, plan.L, plan.max_order, plan.M, plan.N, int(plan.pre_pad))
    header = _PROBLEM.pack(size, packed.psi.element_size(), *problem, packed.psi.numel())
    checksum = zlib.crc32(header)
    for body in bodies:
        checksum = zlib.crc32(body, checksum)
    with replaced(path) as temporary, open(temporary, "wb") as file:
        file.write(_START.pack(_MAGIC, _VERSION, checksum) + header)
        file.writelines(bodies)
    return size


def _little_endian(array: np.ndarray) -> memoryview:  # of bytes; no copy on most machines
    little = array.reshape(-1).astype(array.dtype.newbyteorder("<"), copy=False)
    return little.view(np.uint8).data
