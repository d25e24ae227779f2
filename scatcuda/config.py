"""What was built and what this machine runs."""

from __future__ import annotations

import os
import warnings

import torch

from . import _C

_ISAS = ("baseline", "avx2", "avx512")


def check_environment() -> None:
    """Says so where ``SCATCUDA_CPU_ISA`` asks for what cannot be had; called on import."""
    wanted = os.environ.get("SCATCUDA_CPU_ISA", "")
    if wanted and wanted not in _ISAS:
        raise ValueError(f"SCATCUDA_CPU_ISA must be one of {', '.join(_ISAS)}; got {wanted!r}")
    if wanted and wanted != cpu_isa():
        warnings.warn(
            f"SCATCUDA_CPU_ISA={wanted}, but this processor has no such instructions or the build "
            f"no such engine; using {cpu_isa()!r}",
            stacklevel=3,
        )


def cpu_isa() -> str:
    """Instruction set of the CPU engine in use: ``"baseline"``, ``"avx2"`` or ``"avx512"``.

    The best one the processor has, unless the environment variable ``SCATCUDA_CPU_ISA`` named a
    lesser one when the package was first used.

    Example:
        >>> cpu_isa() in ("baseline", "avx2", "avx512")
        True
    """
    return _C.cpu_isa()


def show_config() -> None:
    """Prints the build and the engines in use; ``python -m scatcuda`` does the same.

    Example:
        >>> show_config()
        scatcuda ...
    """
    from . import __version__

    print(f"scatcuda {__version__}, PyTorch {torch.__version__}")
    print(f"built: {_C.build_info()}")
    print(f"CPU engine: {cpu_isa()}, {torch.get_num_threads()} threads")
    print("other devices: no engine yet, the plain-PyTorch reference computes")
