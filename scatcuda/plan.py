"""Another name of :mod:`scatcuda.program.plan`, with the packing of banks for it."""

from .banks.packing import banded, pack, pack_phi, pack_psi, unpack, whole_support
from .program.packing import Packed
from .program.plan import Plan, checked_plan, images_text, meta_of, plan_of, wavelet_numbers

__all__ = [
    "Packed",
    "Plan",
    "banded",
    "checked_plan",
    "images_text",
    "meta_of",
    "pack",
    "pack_phi",
    "pack_psi",
    "plan_of",
    "unpack",
    "wavelet_numbers",
    "whole_support",
]
