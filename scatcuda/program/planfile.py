"""Plan files: a program and its filters, for programs without Python.

``csrc/api/plan_file.cpp`` reads them. All numbers are little-endian:

======  ==========================================================================
offset
======  ==========================================================================
0       ``scatplan``
8       version, 32 bits: 2
12      CRC-32 (zlib's) of bytes [16, end), 32 bits
16      size of the file, and all that follows, in 64 bits
24      bytes of a number of psi and phi, 4 or 8
32      bytes of the program's text
40      numbers in psi
48      zeros
64      the text, zeros up to a multiple of 8,
        psi_support, phi_support, psi, phi of :class:`scatcuda.program.packing.Packed`
======  ==========================================================================
"""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np

from ..files import replaced
from .packing import Packed

__all__ = ["write"]

_MAGIC, _VERSION = b"scatplan", 2
_START = struct.Struct("<8sII")  # magic, version, checksum
_SIZES = struct.Struct("<4q16x")  # of the file, of a number, of the text, numbers in psi
_HEADER = _START.size + _SIZES.size


def write(path: str | os.PathLike[str], program: str, packed: Packed) -> int:
    """Write a plan file, whole or not at all.

    Args:
        path: its name; what has it is replaced.
        program: the text of the transform's program.
        packed: its filters, float32 or float64.
    Returns: the number of bytes.
    Example:
        >>> import tempfile
        >>> from scatcuda import Scattering2D
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Scattering2D(J=2, shape=(32, 32)).save_plan(f"{folder}/plan.scat")
        107160
    """
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise TypeError(f"save_plan: path must be the name of a file; got {path!r}")
    text = program.encode("ascii")
    tables = (packed.psi_support, packed.phi_support, packed.psi, packed.phi)
    bodies: list[bytes | memoryview] = [text + bytes(-len(text) % 8)]
    bodies += [_little_endian(table.detach().cpu().contiguous().numpy()) for table in tables]
    size = _HEADER + sum(len(body) for body in bodies)
    header = _SIZES.pack(size, packed.psi.element_size(), len(text), packed.psi.numel())
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
