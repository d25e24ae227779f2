"""Another name of :mod:`scatcuda.frontends.kymatio`."""

from .frontends.kymatio import *  # noqa: F403
from .frontends.kymatio import __all__ as __all__
