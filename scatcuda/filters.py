"""Another name of :mod:`scatcuda.banks`."""

from .banks import *  # noqa: F403
from .banks import __all__ as __all__
