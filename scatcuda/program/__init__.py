"""A scattering transform as data: ``S x = A rho W_J … rho W_1 x`` as a short table of steps over
scale paths. The twin of ``csrc/core/program.h``, where the statements of its text are listed.

A :class:`Builder` makes a program, :attr:`Program.text` carries it to the operators, into plan
files and to programs without Python, :func:`parse` reads it again. ``J``, ``L`` and orders are
words of the builders, such as :func:`images`; nobody who runs a program knows them.

The planes of a step are numbered by digits, the last one fastest: a ``wavelet`` step adds one to
those of its source, the filter (``norm``: none); ``group`` has group, filter and place (``mean``:
no place) instead.
Spectra that are cropped keep, of ``m`` bins, those from ``-floor(m / 2)`` to ``ceil(m / 2) - 1``,
and are divided by ``k`` as in the mean over ``k`` aliases.
"""

from .builder import Builder
from .images import Path, Table, images, tree_of_images, wavelets_of_images
from .steps import PADDING, Average, Axis, Group, Matrix, Pair, Planes, Set, Step, Wavelet, X
from .table import Program
from .text import parse

__all__ = [
    "PADDING",
    "Average",
    "Axis",
    "Builder",
    "Group",
    "Matrix",
    "Pair",
    "Path",
    "Planes",
    "Program",
    "Set",
    "Step",
    "Table",
    "Wavelet",
    "X",
    "images",
    "parse",
    "tree_of_images",
    "wavelets_of_images",
]
