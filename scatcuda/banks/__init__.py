"""Filter banks: wavelets ``psi`` and a low-pass ``phi``, fixed or learned, and packed.

>>> bank = morlet_bank(padded_shape((32, 32), J=2), J=2)
>>> bank.psi.shape
torch.Size([2, 8, 40, 40])
"""

from ..program.plan import padded_shape
from .angles import angular_bank
from .bank import FilterBank, frame_bounds, littlewood_paley, support
from .lowpass import crop, lowpass_matrix, separable_factors
from .morlet import BUILT_IN, Recipe, morlet_bank, recipe, tight_bank

__all__ = [
    "BUILT_IN",
    "FilterBank",
    "Recipe",
    "angular_bank",
    "crop",
    "frame_bounds",
    "littlewood_paley",
    "lowpass_matrix",
    "morlet_bank",
    "padded_shape",
    "recipe",
    "separable_factors",
    "support",
    "tight_bank",
]
