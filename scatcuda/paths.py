"""Where the files are that other programs compile against and link; see ``PIPELINES.md``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

__all__ = ["cmake_prefix_path", "get_include", "library_path"]

#: Folder for ``CMAKE_PREFIX_PATH``, in which ``find_package(scatcuda)`` finds the package.
cmake_prefix_path: str = str(Path(__file__).parent)

#: The library of PyTorch's operators ``scatcuda::*``, for ``torch.ops.load_library`` in a process
#: that does not import this package, or for a libtorch program: CMake's ``scatcuda::torch``.
library_path: str = getattr(find_spec("scatcuda._C"), "origin", None) or ""


def get_include() -> str:
    """Folder of the headers ``scatcuda/scatcuda.h`` and ``.hpp``, for ``-I``.

    Example:
        >>> Path(get_include(), "scatcuda", "scatcuda.h").exists()
        True
    """
    return str(Path(cmake_prefix_path, "include"))
