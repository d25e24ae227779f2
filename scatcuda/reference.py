"""Another name of :mod:`scatcuda.ops.reference`."""

from .ops.reference import *  # noqa: F403
from .ops.reference import __all__ as __all__
