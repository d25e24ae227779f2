"""Classes as affine spaces: mean and leading principal components; the nearest space wins.

d_c(x)² = ‖x − μ_c‖² − Σ_{k ≤ D} ⟨x − μ_c, v_ck⟩²
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from typing_extensions import Self

from ..arguments import integer
from .estimator import TensorClassifier, blocks, like, working
from .moments import Moments

_FOLDS = 5
_ENOUGH = 5000  # held-out rows: the accuracy is then known to 0.2 % where it is 98 %


class PCAAffineClassifier(TensorClassifier):
    """Classifier by the distance to the affine space of each class.

    ``argmin_c ‖x − μ_c‖² − Σ_{k ≤ D} ⟨x − μ_c, v_ck⟩²`` with the mean ``μ_c`` of the class and its
    leading principal directions ``v_c1 … v_cD``: what varies within a class is projected out. With
    ``D = 0``, the nearest mean. A class with too few rows for ``D`` directions has as many as they
    span.

    ``n_components="cv"`` takes the ``D`` with the most right answers on held-out rows: every fifth
    row of each class, then the next, until all were held out or 5000 rows; of equals the smallest.
    ``X`` is best left as it comes from the transform or standardised; either is a choice of metric.

    Args:
        n_components: ``"cv"``, or ``D``, 0 or more.
        max_components: the largest ``D`` tried.
    Attributes:
        classes_: the labels, sorted.
        means_, components_: ``μ`` and ``v``, ``[K, d]`` and ``[K, D, d]``; what is missing is zero.
        n_components_: ``D``.
        cv_accuracy_: the share of right answers with 0, 1, … directions, when they were tried.
    Raises:
        TypeError, ValueError: a parameter is out of range; ``X`` is no ``[n, d]`` of finite
            numbers; ``y`` no ``n`` labels of two or more classes.
    Source: J. Bruna and S. Mallat, "Invariant scattering convolution networks", PAMI 2013, § 4.1.
    Example:
        >>> from scatcuda.data import digits
        >>> x, y = digits(8)
        >>> affine = PCAAffineClassifier().fit(x[:900].flatten(1), y[:900])
        >>> affine.score(x[900:].flatten(1), y[900:]) > 0.93
        True
    """

    _fitted = (
        *TensorClassifier._fitted,
        "means_",
        "components_",
        "n_components_",
        "cv_accuracy_",
    )
    means_: Any
    components_: Any
    n_components_: int
    cv_accuracy_: Any

    def __init__(self, n_components: Literal["cv"] | int = "cv", max_components: int = 200) -> None:
        self.n_components = n_components
        self.max_components = max_components

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the rows of ``X [n, d]`` with labels ``y [n]``."""
        caller, cv = "PCAAffineClassifier", isinstance(self.n_components, str)
        most = integer(caller, "max_components", self.max_components, 0)
        if cv and self.n_components != "cv":
            raise ValueError(
                f"{caller}: n_components must be 'cv' or an integer; got {self.n_components!r}"
            )
        D = 0 if cv else integer(caller, "n_components", self.n_components, 0)
        self.__dict__.pop("cv_accuracy_", None)
        rows, index = self._begin(X, y)
        K = len(self.classes_)
        if cv:
            right = _held_out(rows, index, K, most)
            self.cv_accuracy_ = like(X, right)
            D = int(right.cpu().numpy().argmax())
        members = [(index == c).nonzero()[:, 0] for c in range(K)]
        means, components = _spaces(rows, members, D)
        self.n_components_ = D
        self.means_, self.components_ = like(X, means), like(X, components)
        return self

    def _scores(self, block: Tensor) -> Tensor:
        means, components = (
            torch.as_tensor(values).to(block.device, block.dtype)
            for values in (self.means_, self.components_)
        )
        scores = -_distances(block, means, components)
        return scores if len(means) > 2 else scores[:, 1:] - scores[:, :1]

    def _loaded(self) -> None:
        """ValueError unless what a file held fits together."""
        K, D, d = len(self.classes_), self.n_components_, self.n_features_in_
        found = tuple(self.means_.shape), tuple(self.components_.shape)
        if found != ((K, d), (K, D, d)):
            raise ValueError(
                f"means_ and components_ have shapes {found} with {K} classes, {D} directions and "
                f"{d} features"
            )


def _distances(block: Tensor, means: Tensor, components: Tensor, every: bool = False) -> Tensor:
    """Squared distance [b, K] to each space; with `every`, [D + 1, b, K] for 0, 1, … directions."""
    out = []
    for mean, directions in zip(means, components, strict=True):
        centred = block - mean
        squared = centred.square().sum(1)
        along = (centred @ directions.T).square_()
        if every:
            out.append(squared - torch.nn.functional.pad(along.cumsum(1), (1, 0)).T)
        else:
            out.append(squared - along.sum(1))
    return torch.stack(out, -1)


def _spaces(rows: Tensor, members: list[Tensor], D: int) -> tuple[Tensor, Tensor]:
    """Mean [K, d] and D principal directions [K, D, d] of the rows that belong to each class."""
    dtype, d = working(rows), rows.shape[1]
    means = torch.zeros(len(members), d, dtype=dtype, device=rows.device)
    components = torch.zeros(len(members), D, d, dtype=dtype, device=rows.device)
    for c, chosen in enumerate(members):
        mine = rows[chosen]
        mean = mine.mean(0, dtype=torch.float64)
        means[c] = mean.to(dtype)
        most = min(D, len(mine) - 1, d)
        if most < 1:
            continue
        if len(mine) > d:
            moments = Moments(d, rows.device)
            for block in blocks(mine, dtype):
                moments.add(block)
            directions = torch.linalg.eigh(moments.scatter.to(dtype)).eigenvectors[:, -most:].T
        else:
            centred = mine.to(dtype) - means[c]
            values, vectors = torch.linalg.eigh((centred @ centred.T).double())
            kept = values[-most:] > values[-1] * len(values) * torch.finfo(dtype).eps
            lengths = values[-most:].sqrt().where(kept, torch.inf)
            directions = (vectors[:, -most:] / lengths).T.to(dtype) @ centred
        components[c, :most] = directions.flip(0)
    return means, components


def _held_out(rows: Tensor, index: Tensor, K: int, most: int) -> Tensor:
    """Share of held-out rows that are classified rightly with 0, 1, … directions, [D + 1]."""
    place = torch.empty_like(index)  # of each row within its class
    for c in range(K):
        mine = (index == c).nonzero()[:, 0]
        place[mine] = torch.arange(len(mine), device=index.device)
    fold = place % _FOLDS
    largest = int(torch.bincount(index).max())
    D = min(most, rows.shape[1], max(0, largest - 1))
    right = torch.zeros(D + 1, dtype=torch.float64, device=rows.device)
    seen = 0
    for held in range(_FOLDS):
        out = (fold == held).nonzero()[:, 0]
        if not len(out) or seen >= _ENOUGH:
            break
        members = [((index == c) & (fold != held)).nonzero()[:, 0] for c in range(K)]
        present = torch.tensor([len(mine) > 0 for mine in members], device=rows.device)
        means, components = _spaces(rows, members, D)
        for part in out.split(max(1, (1 << 24) // (K * (D + 1) + rows.shape[1]))):
            distances = _distances(rows[part].to(working(rows)), means, components, every=True)
            distances = distances.where(present, torch.inf)  # no row left: cannot be chosen
            right += (distances.argmin(-1) == index[part]).sum(1)
        seen += len(out)
    return right / seen
