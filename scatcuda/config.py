"""What was built, what this machine runs, and how the CUDA engine would run a problem."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch

from . import _C, limits
from .arguments import integer, plain
from .files.budget import file_budget
from .program.plan import checked_plan
from .terminal import say
from .typing import Instructions, Tier
from .version import __version__

__all__ = ["GPUS", "Device", "Launch", "cpu_isa", "cuda_launch", "show_config"]

_TIERS = get_args(Tier)


def check_instructions() -> None:
    """Warns where SCATCUDA_CPU_ISA asks for what cannot be had here; called where the engine is
    loaded."""
    wanted = os.environ.get("SCATCUDA_CPU_ISA", "")
    if wanted and wanted != cpu_isa():
        warnings.warn(
            f"SCATCUDA_CPU_ISA={wanted}, but this processor has no such instructions or the build "
            f"no such engine; using {cpu_isa()!r}",
            stacklevel=3,
        )


def cpu_isa() -> Instructions:
    """Instruction set of the CPU engine in use: ``"baseline"``, ``"avx2"`` or ``"avx512"``.

    The best one the processor has, unless the environment variable ``SCATCUDA_CPU_ISA`` named a
    lesser one when the package was first used.

    Example:
        >>> cpu_isa() in ("baseline", "avx2", "avx512")
        True
    """
    return _C.cpu_isa()


# --- how the CUDA engine would run a problem --------------------------------------------------


class Device(NamedTuple):
    """The limits of a GPU that decide how a problem is run on it; sizes in bytes.

    Example:
        >>> GPUS["H100"].processors, GPUS["H100"].shared_per_block
        (132, 232448)
    """

    architecture: int  # 90 for sm_90
    processors: int  # streaming multiprocessors
    shared_per_block: int
    shared_per_processor: int
    l2: int
    memory: int


class Launch(NamedTuple):
    """How the CUDA engine runs a problem.

    Example:
        >>> print(Launch("fused", True, 2, 160, 51200, 128))
        fused, 128 images at a time, the second order by 2 angles in 160 threads and 50 KiB
    """

    tier: Literal["general", "fused"]
    first_order_fused: bool  # or left to the general tier, its planes being too large
    group: int  # angles of the second order side by side in one block
    threads: int  # of such a block
    shared_bytes: int  # of such a block
    wave: int  # images at a time

    def __str__(self) -> str:
        words = f"{self.tier}, {self.wave} images at a time"
        if self.tier == "fused":
            words += (
                f", the second order by {self.group} angles in {self.threads} threads and "
                f"{self.shared_bytes / 1024:.3g} KiB"
            )
            words += "" if self.first_order_fused else ", the first order by the general tier"
        return words


def _gpu(
    architecture: int, processors: int, block: int, processor: int, l2: int, memory: int
) -> Device:
    """Shared memory in KiB, second-level cache in MiB, memory in GiB."""
    shared = block << 10, processor << 10
    return Device(architecture, processors, *shared, l2 << 20, memory << 30)


# As NVIDIA publishes them; a GPU that is here is asked itself.
GPUS: dict[str, Device] = {
    "T4": _gpu(75, 40, 64, 64, 4, 16),
    "A100": _gpu(80, 108, 163, 164, 40, 80),
    "RTX 3090": _gpu(86, 82, 99, 100, 6, 24),
    "RTX 4090": _gpu(89, 128, 99, 100, 72, 24),
    "L40S": _gpu(89, 142, 99, 100, 96, 48),
    "H100": _gpu(90, 132, 227, 228, 50, 80),
    "H200": _gpu(90, 132, 227, 228, 50, 141),
    "B200": _gpu(100, 148, 227, 228, 126, 180),
    "RTX 5090": _gpu(120, 170, 99, 100, 96, 32),
}


def cuda_launch(
    J: int,
    shape: Sequence[int],
    L: int = 8,
    max_order: int = 2,
    pre_pad: bool = False,
    *,
    batch: int = 1,
    dtype: torch.dtype = torch.float32,
    device: str | int | torch.device = "cuda",
    tier: Tier = "auto",
    workspace: int | None = None,
) -> Launch:
    """How the CUDA engine would run a problem, on a GPU that is here or on one it knows by name.

    Args:
        J, shape, L, max_order, pre_pad, tier, workspace: as :class:`scatcuda.Scattering2D` takes
            them; ``shape`` is that of the images before padding.
        batch: number of images, all leading dimensions together.
        dtype: float32 or float64.
        device: a CUDA device of PyTorch, or a name from ``scatcuda.config.GPUS``.
    Raises:
        ValueError, TypeError: an argument is of the wrong type or out of range.
        RuntimeError: there is no such device, or this build has no engine for it.
    Example:
        >>> cuda_launch(J=2, shape=(32, 32), device="H100", tier="fast")
        Traceback (most recent call last):
        ValueError: cuda_launch: tier must be one of auto, general, fused; got 'fast'
    """
    caller = "cuda_launch"
    if tier not in _TIERS:
        raise ValueError(f"{caller}: tier must be one of {', '.join(_TIERS)}; got {tier!r}")
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{caller}: dtype must be torch.float32 or torch.float64; got {dtype}")
    batch = integer(caller, "batch", batch, 1)
    if workspace is not None:
        workspace = integer(caller, "workspace", workspace, 1)
        limits.at_most(caller, "workspace", workspace, limits.BYTES)
    plan = checked_plan(caller, J, shape, L, max_order, pre_pad)
    limits.at_most(caller, "batch", batch, plan.most_images)
    double = dtype == torch.float64
    return Launch(*_C.choose(plan.program, batch, double, _limits(device), tier, workspace or 0))


def _limits(device: str | int | torch.device) -> Device:
    if isinstance(device, str) and device in GPUS:
        return GPUS[device]
    device = plain(device)
    try:
        asked = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    except RuntimeError:
        asked = None
    if asked is None or asked.type != "cuda":
        raise ValueError(
            f"cuda_launch: device must be a CUDA device or one of {', '.join(GPUS)}; got {device!r}"
        )
    if not torch.cuda.is_available():
        raise RuntimeError(f"cuda_launch: PyTorch finds no GPU here; name one of {', '.join(GPUS)}")
    with torch.cuda.device(asked):
        return Device(*_C.device_limits(torch.cuda.current_device()))


# --- what there is ----------------------------------------------------------------------------


def show_config() -> None:
    """Prints the build, what this machine has and how it runs; ``scatcuda info`` does the same.

    Example:
        >>> show_config()
        scatcuda ...
    """
    say(f"scatcuda {__version__}, PyTorch {torch.__version__}")
    say(f"built: {_C.build_info()}")
    say(f"CPU engine: {cpu_isa()}, {torch.get_num_threads()} threads")
    say(f"CUDA engine: {_cuda_engine()}")
    say(f"memory that a file may take: {file_budget()} bytes (SCATCUDA_FILE_BUDGET)")
    for gpu in _gpus_here() or ["none here"]:
        say(f"GPU: {gpu}")
    if not _C.cuda_architectures():
        return
    say(f"cuFFT: {_cufft()}")
    device = "cuda:0" if torch.cuda.is_available() else "H100"
    say(f"how {device} runs 128 images:")
    for J, side in ((2, 32), (3, 64), (3, 128), (3, 224), (4, 224)):
        for dtype in (torch.float32, torch.float64):
            launch = cuda_launch(J, (side, side), batch=128, dtype=dtype, device=device)
            say(f"  {side} x {side}, J = {J}, {str(dtype).removeprefix('torch.')}: {launch}")


def configuration() -> dict[str, Any]:
    """What `show_config` prints, for machines.

    Example:
        >>> configuration()["isa"] == cpu_isa()
        True
    """
    return {
        "version": __version__,
        "torch": str(torch.__version__),
        "build": _C.build_info(),
        "isa": cpu_isa(),
        "threads": torch.get_num_threads(),
        "cuda_architectures": _C.cuda_architectures().split(),
        "file_budget": file_budget(),
        "gpus": _gpus_here(),
    }


def _cuda_engine() -> str:
    if archs := _C.cuda_architectures():
        return f"{' '.join(f'sm_{arch}' for arch in archs.split())}; {_C.cuda_driver()}"
    return (
        "none in this build; for CUDA tensors install scatcuda again with CUDA_HOME set to a CUDA "
        'toolkit, or use backend="reference"'
    )


def _cufft() -> str:
    version = _C.cufft_version()
    if version is None:
        return "not found; PyTorch for CUDA brings it, and so does the package nvidia-cufft"
    with open("/proc/self/maps") as maps:
        paths = {line.split()[-1] for line in maps if "libcufft.so" in line}
    major, rest = divmod(version, 1000)
    return f"{major}.{rest // 100}.{rest % 100}, {', '.join(sorted(paths))}"


def _gpus_here() -> list[str]:
    if not torch.cuda.is_available():
        return []
    names = []
    for index in range(torch.cuda.device_count()):
        p = torch.cuda.get_device_properties(index)
        names.append(
            f"{p.name}, sm_{p.major}{p.minor}, {p.multi_processor_count} processors, "
            f"{p.total_memory / 2**30:.0f} GiB, PyTorch for CUDA {torch.version.cuda}"
        )
    return names
