"""log(1 + S x) of images, computed in C++ with scatcuda's operator."""

from importlib.util import find_spec

import torch

from scatcuda.filters import morlet_bank
from scatcuda.plan import Plan, pack

torch.ops.load_library(find_spec("_log_scattering").origin)


class LogScattering2D(torch.nn.Module):
    """``x [..., M, N] -> [..., C, m, n]``, of pixels that are not negative."""

    def __init__(self, J: int, shape: tuple[int, int], L: int = 8) -> None:
        super().__init__()
        self.J, self.L = J, L
        plan = Plan(J, L, 2, *shape)
        bank = pack(morlet_bank(plan.padded, J, L), plan, torch.float32)
        for name, table in bank._asdict().items():
            self.register_buffer(name, table, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bank = self.psi, self.psi_support, self.phi, self.phi_support
        return torch.ops.log_scattering.features(x, *bank, self.J, self.L)
