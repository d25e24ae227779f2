"""What was built and what this machine runs."""

from __future__ import annotations

import torch

from . import _C


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
