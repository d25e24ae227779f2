"""What modules that give statistics of fields have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from ..program.packing import Packed
from ..typing import Waves
from .base import Engined


class _Plan(Protocol):
    @property
    def L(self) -> int: ...
    @property
    def oversampling(self) -> int: ...
    def grid(self, j: int) -> tuple[int, ...]: ...


def leads(lead: Sequence[int], like: Sequence[int]) -> bool:
    """Whether leading dimensions are those of another, or one, or missing."""
    pairs = zip(reversed(lead), reversed(like), strict=False)
    return len(lead) <= len(like) and all(theirs in (1, ours) for theirs, ours in pairs)


class FieldStatistics(Engined):
    """Statistics of periodic fields: a program of pairs, whose first sets are the wavelets."""

    _filters: Waves
    _plan: _Plan
    _program: str

    _psi: Tensor
    _psi_support: Tensor
    _phi: Tensor
    _phi_support: Tensor

    @property
    def L(self) -> int:
        """Number of angles."""
        return self._plan.L

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides of the fields."""
        return self.input_shape

    @property
    def filters(self) -> Waves:
        """The name of the bank."""
        return self._filters

    @property
    def oversampling(self) -> int:
        """By how many octaves planes are finer."""
        return self._plan.oversampling

    @property
    def _packed(self) -> Packed:
        return Packed(self._psi, self._psi_support, self._phi, self._phi_support)

    def _constants_of(self, packed: Packed) -> dict[str, Tensor]:
        """As ``_make`` gives them: what is looked at last tells the dtype."""
        made = {f"_{name}": tensor for name, tensor in packed._asdict().items()}
        phi = made.pop("_phi")
        return {**made, "_phi": phi}
