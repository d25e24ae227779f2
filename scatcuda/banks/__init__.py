"""Filter banks: wavelets ``psi`` and a low-pass ``phi``, fixed or learned, and packed.

>>> bank = morlet_bank(padded_shape((32, 32), J=2), J=2)
>>> bank.psi.shape
torch.Size([2, 8, 40, 40])
"""

from typing import TYPE_CHECKING

from ..lazy import found_later
from ..program.plan import padded_shape
from .angles import angular_bank
from .morlet import BUILT_IN, Recipe, morlet_bank, recipe, tight_bank

if TYPE_CHECKING:
    from .bank import FilterBank as FilterBank
    from .bank import frame_bounds as frame_bounds
    from .bank import littlewood_paley as littlewood_paley
    from .bank import support as support
    from .lowpass import crop as crop
    from .lowpass import lowpass_matrix as lowpass_matrix
    from .lowpass import separable_factors as separable_factors

# Programs without PyTorch do not have what works on tensors.
_HOME = {
    "FilterBank": "bank",
    "crop": "lowpass",
    "frame_bounds": "bank",
    "littlewood_paley": "bank",
    "lowpass_matrix": "lowpass",
    "separable_factors": "lowpass",
    "support": "bank",
}
if not TYPE_CHECKING:
    __getattr__ = found_later(__name__, _HOME)

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


def __dir__() -> list[str]:
    return __all__
