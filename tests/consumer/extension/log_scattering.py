"""log(1 + S x) of images, computed in C++ with scatcuda's operator."""

from importlib.util import find_spec

import torch

from scatcuda.banks import morlet_bank
from scatcuda.banks.packing import pack
from scatcuda.program.plan import Plan

torch.ops.load_library(find_spec("_log_scattering").origin)


class LogScattering2D(torch.nn.Module):
    """``x [..., M, N] -> [..., C, m, n]``, of pixels that are not negative."""

    def __init__(self, J: int, shape: tuple[int, int], L: int = 8) -> None:
        super().__init__()
        plan = Plan(J, L, 2, *shape)
        self.program = plan.program
        # no buffers: what averages or casts those would spoil the tables of indices
        self.bank = pack(morlet_bank(plan.padded, J, L), plan, torch.float32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bank = (table.to(x.device) for table in self.bank)
        return torch.ops.log_scattering.features(x, *bank, self.program)
