"""Classes as affine spaces: mean and leading principal components; the nearest space wins.

d_c(x)² = ‖x − μ_c‖² − Σ_{k ≤ D} ⟨x − μ_c, v_ck⟩²

Mean and components of rows with weights `w` are those of `Σ w (x − μ)(x − μ)ᵀ`.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from typing_extensions import Self

from ...arguments import integer
from ...typing import ClassWeight
from .estimator import TensorClassifier, blocks, like, to_numpy, wholly, working
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
    An answer weighs what its row does. ``"all"`` takes as many as the rows of the largest class
    span: of few rows, each the only one of its kind, no direction can be spared.
    ``X`` is best left as it comes from the transform or standardised; either is a choice of metric.

    Args:
        n_components: ``"cv"``, ``"all"``, or ``D``, 0 or more.
        max_components: the largest ``D`` tried.
        class_weight: what the weights of a class's rows are multiplied by: a dict, ``"balanced"``
            for ``Σ w / (K Σ w of the class)``, or ``None``. Only the choice of ``D`` sees it.
    Attributes:
        classes_: the labels, sorted.
        means_, components_: ``μ`` and ``v``, ``[K, d]`` and ``[K, D, d]``; what is missing is zero.
        n_components_: ``D``.
        cv_accuracy_: the share of right answers with 0, 1, … directions, when they were tried.
    Raises:
        TypeError, ValueError: a parameter is out of range; ``X`` is no ``[n, d]`` of finite
            numbers; ``y`` no ``n`` labels of two or more classes, or a class has no row of positive
            weight.
    Source: J. Bruna and S. Mallat, "Invariant scattering convolution networks", PAMI 2013, § 4.1.
    Example:
        >>> from scatcuda.data import digits
        >>> x, y = digits(8)
        >>> affine = PCAAffineClassifier().fit(x[:900].flatten(1), y[:900])
        >>> affine.score(x[900:].flatten(1), y[900:]) > 0.93
        True
    """

    fitted = (
        *TensorClassifier.fitted,
        "means_",
        "components_",
        "n_components_",
        "cv_accuracy_",
    )
    means_: Any
    components_: Any
    n_components_: int
    cv_accuracy_: Any

    def __init__(
        self,
        n_components: Literal["cv", "all"] | int = "cv",
        max_components: int = 200,
        *,
        class_weight: ClassWeight | None = None,
    ) -> None:
        self.n_components = n_components
        self.max_components = max_components
        self.class_weight = class_weight

    @wholly
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the rows of ``X [n, d]`` with labels ``y [n]`` and weights ``sample_weight [n]``."""
        caller, named = "PCAAffineClassifier", isinstance(self.n_components, str)
        most = integer(caller, "max_components", self.max_components, 0)
        if named and self.n_components not in ("cv", "all"):
            raise ValueError(
                f"{caller}: n_components must be 'cv', 'all' or an integer; got "
                f"{self.n_components!r}"
            )
        D = 0 if named else integer(caller, "n_components", self.n_components, 0)
        self.__dict__.pop("cv_accuracy_", None)
        rows, index, weights = self._begin(X, y, sample_weight)
        K = len(self.classes_)
        members = [(index == c).nonzero()[:, 0] for c in range(K)]
        if weights is not None:
            members = [mine[weights[mine] > 0] for mine in members]
        for c, mine in enumerate(members):
            if not len(mine):
                name = to_numpy(self.classes_).tolist()[c]
                raise ValueError(f"{caller}: the class {name!r} has no row of positive weight")
        if self.n_components == "all":
            D = min(max(map(len, members)) - 1, rows.shape[1])
        if self.n_components == "cv":
            right = _held_out(rows, weights, members, most)
            self.cv_accuracy_ = like(X, right)
            D = int(right.cpu().numpy().argmax())
        D = min(D, rows.shape[1])
        means, components = _spaces(rows, weights, members, D)
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

    def loaded(self) -> None:
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


def _spaces(
    rows: Tensor, weights: Tensor | None, members: list[Tensor], D: int
) -> tuple[Tensor, Tensor]:
    """Mean [K, d] and D principal directions [K, D, d] of the rows that belong to each class."""
    dtype, d = working(rows), rows.shape[1]
    means = torch.zeros(len(members), d, dtype=dtype, device=rows.device)
    components = torch.zeros(len(members), D, d, dtype=dtype, device=rows.device)
    for c, chosen in enumerate(members):
        mine = rows[chosen]
        w = None if weights is None else weights[chosen]
        total = len(mine) if w is None else w.sum()
        mean = mine.mean(0, dtype=torch.float64) if w is None else w @ mine.double() / total
        means[c] = mean.to(dtype)
        most = min(D, len(mine) - 1, d)
        if most < 1:
            continue
        if len(mine) > d:
            moments, start = Moments(d, rows.device), 0
            for block in blocks(mine, dtype):
                part = slice(start, start := start + len(block))
                moments.add(block, None if w is None else w[part])
            values, vectors = torch.linalg.eigh(moments.scatter.to(dtype))
            directions = vectors[:, -most:].T
        else:
            centred = mine.to(dtype) - means[c]
            centred = centred if w is None else centred * w.sqrt().to(dtype)[:, None]
            values, vectors = torch.linalg.eigh((centred @ centred.T).double())
            lengths = values[-most:].clamp(min=0).sqrt()
            directions = (vectors[:, -most:] / lengths).T.to(dtype) @ centred
        # equal rows differ from their mean by its rounding
        eps, size = torch.finfo(dtype).eps, values.sum() + total * mean.square().sum()
        spanned = values[-most:] > (values[-1] * len(values) * eps).maximum(size * eps**2)
        components[c, :most] = directions.where(spanned[:, None], 0).flip(0)
    return means, components


def _held_out(rows: Tensor, weights: Tensor | None, members: list[Tensor], most: int) -> Tensor:
    """Share of held-out rows that are classified rightly with 0, 1, … directions, [D + 1]."""
    K, device = len(members), rows.device
    D = min(most, rows.shape[1], max(0, max(map(len, members)) - 1))
    right = torch.zeros(D + 1, dtype=torch.float64, device=device)
    seen, asked = 0, 0.0
    for held in range(_FOLDS):
        out = [mine[held::_FOLDS] for mine in members]
        here = torch.cat(out)
        if not len(here) or seen >= _ENOUGH:
            break
        fold = [torch.arange(len(mine), device=device) % _FOLDS for mine in members]
        others = [mine[place != held] for mine, place in zip(members, fold, strict=True)]
        present = torch.tensor([len(mine) > 0 for mine in others], device=device)
        means, components = _spaces(rows, weights, others, D)
        truth = torch.cat([torch.full_like(mine, c) for c, mine in enumerate(out)])
        w = torch.ones(len(here), device=device) if weights is None else weights[here]
        for places in torch.arange(len(here), device=device).split(
            max(1, (1 << 24) // (K * (D + 1) + rows.shape[1]))
        ):
            part = rows[here[places]].to(working(rows))
            distances = _distances(part, means, components, every=True)
            distances = distances.where(present, torch.inf)  # no row left: cannot be chosen
            right += (distances.argmin(-1) == truth[places]).double() @ w[places].double()
        seen, asked = seen + len(here), asked + float(w.sum())
    return right / asked
