"""Another name of ``scatcuda.frontends.kymatio``."""

from typing import TYPE_CHECKING, Any

from .frontends import kymatio
from .frontends.kymatio import *  # noqa: F403
from .frontends.kymatio import __all__ as __all__

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:  # what older pickles ask for
        return getattr(kymatio, name)
