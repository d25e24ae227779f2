"""Scattering features of images or signals as a scikit-learn transformer.

    images [n, (C,) M, N]  ->  batches -> device -> scales -> S -> pool -> log  ->  rows [n, d]

NumPy in, NumPy out; a tensor in, a tensor on its device out. Images may come as an array that only
has a length and can be sliced: no more than two batches of it are in memory at a time.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from ... import _C
from ...arguments import boolean, integer, positive, sides
from ...arguments import device as known_device
from ...banks import FilterBank
from ...files.budget import ask
from ...program.naming import names_of_features, names_of_paths
from ...program.plan import Plan, checked_plan
from ...terminal import Bar
from ...transforms.base import checked_output
from ...transforms.rototranslation import RotoTranslationScattering2D
from ...transforms.scattering1d import Scattering1D
from ...transforms.scattering2d import Scattering2D
from ...typing import BankName, FeatureType, Pooling
from ..classifiers.estimator import wholly
from .images import NOUNS, ImageSource
from .pooling import KINDS, Pool, meta_of, pooled_paths
from .pyramid import ScalePyramid

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError as _error:
    raise ImportError(
        "scatcuda.learn needs scikit-learn 1.6 or newer: pip install 'scatcuda[learn]'"
    ) from _error

_DTYPES: dict[FeatureType, torch.dtype] = {
    "float16": torch.float16,
    "float32": torch.float32,
    "float64": torch.float64,
}
_SAMPLED = 64  # images whose pixels tell the scale of the data
_NAME = "ScatteringTransformer"
_BANDS = 2048  # bytes of the filters of signals for each of their samples, at most


class ScatteringTransformer(TransformerMixin, BaseEstimator):
    """Scattering coefficients of images as rows of features, for scikit-learn's pipelines.

    A row is ``pool(S x)`` flattened, see :class:`~scatcuda.Scattering2D` for ``S`` and
    :func:`scatcuda.learn.pool`; with ``log`` its orders from 1 on are ``log(P + eps_)``.
    Colours are scattered one by one. uint8 images are divided by 255, others taken as they are.

    Where ``Q`` is given, or ``scattering`` takes signals, so does the transformer: ``[n, N]`` or
    ``[n, C, N]``, scattered by :class:`~scatcuda.Scattering1D`, channel by channel; ``shape`` is
    ``(N,)`` or ``(C, N)`` then. Where ``scattering`` takes densities ``[n, M, N, O]``, so does it,
    and ``pool`` must be None: their coefficients are integrals.

    Args:
        J: number of scales; coefficients are averaged over about ``2^J`` pixels. None where
            ``scattering`` is given.
        L: number of angles in [0, pi).
        max_order: 0 to J, the largest number of wavelets on a path.
        pool: ``None``, ``"mean"`` over positions, or ``"rotation"``, also over a turn of the image.
        log: logarithm of orders 1 and above, after the mean.
        filters: ``"morlet"``, Kymatio's bank; ``"tight"``; or a bank of your own.
        shape: ``(M, N)`` or ``(C, M, N)`` of images that come flattened, as rows of
            ``X [n, C M N]``; ``None``: ``fit`` takes it from ``X``.
        device: ``"auto"``: a GPU when there is one and an engine for it, otherwise the CPU;
            ``"cpu"`` or ``"cuda"``.
        batch_size: images computed at a time. 64 to 512 are equally fast on a CPU.
        dtype: of the features. ``"float16"`` halves the memory, accuracies stay the same;
            ``"float64"`` is computed in float64 throughout. Features that it cannot hold (float16:
            beyond 65504) are an error.
        scattering: another transform than that of ``J``, ``L``, ``max_order`` and ``filters``: a
            module with ``output_shape`` and ``meta()``, or a function of ``(M, N)`` that makes it
            (of signals of ``(N,)``, where ``shape`` says so). Or ``"roto-translation"``:
            :class:`~scatcuda.RotoTranslationScattering2D` of ``J``, ``L``, ``max_order`` and
            ``filters``, averaged over angles; ``pool`` is None or ``"mean"`` then.
        Q: of signals: wavelets an octave, an integer or one for each order.
        normalise: take of each image, colour by colour, its mean away and divide by its standard
            deviation: what light does to textures.
        renormalise: orders 2 and above over the coefficients of their paths without the last
            wavelet, see :class:`~scatcuda.learn.extraction.pooling.Pool`.
        scales: of images: scatter each at so many scales, ``2^(-i / 2)``, and average; wants
            features without positions: ``pool``, or a transform that has none, a function of
            ``(M, N)``. See :class:`ScalePyramid`.
        views: the features of all scales side by side, not their average: so many training images
            to :class:`ManyViews`.
    Attributes:
        shape_: ``(M, N)`` or ``(C, M, N)``.
        n_features_in_: numbers of an image.
        eps_: 1e-6 of the root mean square of the pixels of the training images (64 of them).
    Raises:
        TypeError, ValueError: in ``fit`` and ``transform``, an argument or ``X`` is not as above.
    Source: J. Bruna and S. Mallat, "Invariant scattering convolution networks", PAMI 2013.
    Example:
        >>> from sklearn.datasets import load_digits
        >>> from sklearn.linear_model import RidgeClassifierCV
        >>> from sklearn.pipeline import make_pipeline
        >>> X, y = load_digits(return_X_y=True)                # rows of 64 pixels
        >>> model = make_pipeline(ScatteringTransformer(J=1, shape=(8, 8)), RidgeClassifierCV())
        >>> bool(model.fit(X[:900], y[:900]).score(X[900:], y[900:]) > 0.95)
        True
    """

    fitted: tuple[str, ...] = ("shape_", "n_features_in_", "eps_")
    shape_: tuple[int, ...]
    n_features_in_: int
    eps_: float

    def __init__(
        self,
        J: int | None = None,
        L: int = 8,
        max_order: int = 2,
        pool: Pooling | None = None,
        log: bool = False,
        filters: BankName | FilterBank = "morlet",
        shape: tuple[int, ...] | None = None,
        device: str | torch.device = "auto",
        batch_size: int = 128,
        dtype: FeatureType = "float32",
        scattering: (
            nn.Module | Callable[[tuple[int, ...]], nn.Module] | Literal["roto-translation"] | None
        ) = None,
        Q: int | tuple[int, ...] | None = None,
        normalise: bool = False,
        renormalise: bool = False,
        scales: int = 1,
        views: bool = False,
    ) -> None:
        self.J = J
        self.L = L
        self.max_order = max_order
        self.pool = pool
        self.log = log
        self.filters = filters
        self.shape = shape
        self.device = device
        self.batch_size = batch_size
        self.dtype = dtype
        self.scattering = scattering
        self.Q = Q
        self.normalise = normalise
        self.renormalise = renormalise
        self.scales = scales
        self.views = views

    @wholly
    def fit(self, X: Any, y: Any = None) -> Self:
        """Takes the size of the images from ``X``, and the scale of their pixels; ``y`` is not
        used. Of a module that is given takes a copy, as it is now. Returns the transformer."""
        self._check_arguments()
        if isinstance(self.scattering, nn.Module):
            self.__dict__.pop("_made", None)
        images = ImageSource(X, self.shape, _NAME, self.rank)
        if len(images) == 0:
            noun = NOUNS[self.rank][0]
            raise ValueError(f"{_NAME}: X must hold at least one {noun}; got 0 sample(s)")
        for module in self._modules(images.shape):  # says what is wrong with its arguments
            self._check_pooled(module)
            self._pooling(module, 1.0)
        self.shape_ = images.shape
        self.n_features_in_ = math.prod(images.shape)
        self.eps_ = 1e-6
        if self.normalise:
            return self
        sample = range(0, len(images), -(-len(images) // _SAMPLED))
        squares = [float(images.read(i, i + 1, torch.float64).square().mean()) for i in sample]
        self.eps_ = 1e-6 * (math.sqrt(sum(squares) / len(squares)) or 1.0)
        return self

    @wholly
    def shaped(self, shape: tuple[int, ...], eps: float = 1e-6) -> Self:
        """Fitted without images: to those of one size, ``(M, N)`` or ``(C, M, N)``, whose ``eps_``
        is ``eps``. Returns the transformer.

        Example:
            >>> ScatteringTransformer(J=2, pool="mean").shaped((32, 32)).n_features_out
            81
        """
        self._check_arguments()
        for module in self._modules(shape) if self.scattering is not None else ():
            self._check_pooled(module)
            self._pooling(module, 1.0)
        self.shape_, self.n_features_in_, self.eps_ = shape, math.prod(shape), eps
        return self

    def transform_repr(self) -> str:
        """The transform in words, without its filters being made."""
        if self.scattering is None and self.Q is None:
            size = self.shape_[-2:]
            return (
                f"Scattering2D(J={self.J}, shape={size}, L={self.L}, max_order={self.max_order}, "
                f"filters={self.filters!r})"
            )
        return repr(self._modules(self.shape_)[0])

    if TYPE_CHECKING:  # scikit-learn's, which has no types

        @overload
        def fit_transform(self, X: Tensor, y: Any = None) -> Tensor: ...
        @overload
        def fit_transform(self, X: Any, y: Any = None) -> NDArray[Any]: ...
        def fit_transform(self, X: Any, y: Any = None) -> Any: ...

    @overload
    def transform(self, X: Tensor) -> Tensor: ...
    @overload
    def transform(self, X: Any) -> NDArray[Any]: ...
    def transform(self, X: Any) -> Any:
        """Features ``[n, d]`` of the images ``X``, in ``dtype``."""
        check_is_fitted(self)
        images = self._images(X)
        with Bar(len(images), NOUNS[self.rank][0]) as bar:
            rows = self._features(images, 0, len(images), bar.update)
        return rows if isinstance(X, Tensor) else rows.numpy()

    @property
    def n_features_out(self) -> int:
        """``d``, the length of a row of features."""
        check_is_fitted(self)
        (channels, *sides), meta, L = self.channels()
        planes = math.prod(self.shape_[: -self.rank])
        planes *= self.scales if self.views else 1
        if self.pool is None:
            return planes * channels * math.prod(sides)
        return planes * (channels if self.pool == "mean" else len(pooled_paths(meta, L)))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the features, from their paths: ``"j0_theta3_j1_theta5_at_2_7"`` is order 2 at
        row 2, column 7; ``"j0_j1_turn2"`` its mean over rotations; ``"c1_order0"`` order 0 of
        colour 1.

        Example:
            >>> transformer = ScatteringTransformer(J=2, L=4, pool="rotation")
            >>> transformer.fit(np.ones((1, 8, 8))).get_feature_names_out()[:4].tolist()
            ['order0', 'j0', 'j1', 'j0_j1_turn0']
        """
        check_is_fitted(self)
        (_, *sides), meta, L = self.channels()
        if self.pool == "rotation":
            keys = pooled_paths(meta, L)
            halves = [((len(key) + 1) // 2, key) for key in keys]
            parts = [
                [f"j{j}" for j in key[:half]] + [f"turn{d}" for d in key[half:]]
                for half, key in halves
            ]
            names = ["_".join(part) or "order0" for part in parts]
        else:
            names = names_of_paths(meta)
        planes = self.shape_[: -self.rank]
        names = names_of_features(names, sides if self.pool is None else (), planes)
        if self.views:
            names = [f"scale{i}_{name}" for i in range(self.scales) for name in names]
        return np.array(names, dtype=object)

    def _rows(
        self, images: ImageSource, start: int, stop: int, advance: Callable[[int], Any] = int
    ) -> Iterator[Tensor]:
        """Features ``[b, d]`` of the images from ``start`` to ``stop - 1``, a batch at a time;
        ``advance`` hears how many are done."""
        device = self._torch_device
        dtype = torch.float64 if self.dtype == "float64" else torch.float32
        modules = self._modules(images.shape)
        poolings = [self._pooling(module, self.eps_) for module in modules]
        pyramid = ScalePyramid(self.scales)
        size = integer(_NAME, "batch_size", self.batch_size, 1)
        before: Tensor | None = None
        for at in range(start, stop, size):
            x = images.read(at, min(at + size, stop), dtype, device)
            with torch.no_grad():
                levels = pyramid(self._normalised(x)) if self.scales > 1 else [self._normalised(x)]
                several = [
                    pooling(scattering(level)).flatten(1)
                    for level, scattering, pooling in zip(levels, modules, poolings, strict=True)
                ]
                features = several[0]
                if self.views:
                    features = torch.cat(several, 1)
                elif self.scales > 1:
                    features = torch.stack(several).mean(0)
            # A GPU is still at work on these: meanwhile those before are handed over, and the
            # images after them are read.
            if before is not None:
                yield before
                advance(len(before))
            before = features
        if before is not None:
            yield before
            advance(len(before))

    def _features(
        self, images: ImageSource, start: int, stop: int, advance: Callable[[int], Any] = int
    ) -> Tensor:
        """Features ``[stop - start, d]`` in ``dtype``, on the CPU or where the images are."""
        home = images.device
        rows = torch.empty(stop - start, self.n_features_out, dtype=self._dtype, device=home)
        done = 0
        for features in self._rows(images, start, stop, advance):
            self._check_range(features, images, start + done)
            rows[done : done + len(features)] = features
            done += len(features)
        return rows

    def _check_range(self, features: Tensor, images: ImageSource, start: int) -> None:
        """Say which image has features that ``dtype`` cannot hold, and what can."""
        if not features.numel():
            return
        largest = torch.finfo(self._dtype).max
        low, high = features.aminmax()  # NaN if there is one
        if max(-float(low), float(high)) <= largest:
            return
        size = features.abs().amax(1).double()
        i = int((size.cpu() <= largest).logical_not().nonzero()[0])
        wider = list(_DTYPES)[list(_DTYPES).index(self.dtype) + 1 :]
        if wider and not math.isfinite(size[i]):
            wider = ["float64"]  # they were computed in float32
        remedy = f"take dtype={wider[0]!r}, or scale" if wider else "scale"
        raise ValueError(
            f"{_NAME}: features of {images.named(start + i)} reach {float(size[i]):.3g}, beyond "
            f"{self.dtype}, {largest:g} at most: {remedy} the images, to [0, 1] for example"
        )

    def _normalised(self, x: Tensor) -> Tensor:
        if not self.normalise:
            return x
        axes = tuple(range(-self.rank, 0))
        x = x - x.mean(axes, keepdim=True)
        size = x.square().mean(axes, keepdim=True).sqrt()
        return x / size.where(size > 0, 1.0)

    def _pooling(self, module: nn.Module, eps: float) -> Pool:
        kind = None if self._is_roto else self.pool  # whose transform pools
        return Pool(kind, log=self.log, eps=eps, transform=module, renormalise=self.renormalise)

    def _check_pooled(self, module: nn.Module) -> None:
        """Of several scales there must be no positions."""
        sides = checked_output(_NAME, "scattering", module)[1:]
        if self.scales > 1 and self.pool is None and sides:
            raise ValueError(
                f"{_NAME}: pool must be 'mean' or 'rotation' where scales is {self.scales}: images "
                "of different sizes have different positions"
            )

    def _images(self, X: Any) -> ImageSource:
        images = ImageSource(X, self.shape, _NAME, self.rank)
        if images.shape != tuple(self.shape_):
            nouns = NOUNS[self.rank][1]
            raise ValueError(
                f"{_NAME}: X must hold {nouns} of shape {tuple(self.shape_)}, as in fit; "
                f"got {images.shape}"
            )
        return images

    def _plan(self, shape: tuple[int, ...]) -> Plan:
        J: Any = self.J  # whose check says that None is no integer
        return checked_plan(_NAME, J, shape[-2:], self.L, self.max_order, False)

    def channels(self) -> tuple[tuple[int, ...], Mapping[str, NDArray[Any]], int | None]:
        """Of the transform its ``output_shape``, ``meta()`` and number of angles; of ours without
        making its filters."""
        if self.scattering is None and self.Q is None:
            plan = self._plan(self.shape_)
            return (plan.channels, *plan.output), plan.meta(), plan.L
        module = self._modules(self.shape_)[0]
        output = checked_output(_NAME, "scattering", module)
        return output, meta_of(_NAME, module), getattr(module, "L", None)

    def _modules(self, shape: tuple[int, ...]) -> list[nn.Module]:
        """The transform of each scale, made once for these arguments: its filters take some
        time."""
        size = shape[-self.rank :]
        arguments = (self.J, size, self.L, self.max_order, self.filters, self.Q, self.scales)
        key = (*arguments, self.scattering, self.pool, self._torch_device, self.dtype)
        if self.__dict__.get("_made", (None,))[0] != key:
            sizes = ScalePyramid(self.scales).sizes(*size) if self.scales > 1 else [size]
            modules = [self._transform(each) for each in sizes]
            if self.dtype == "float64":
                modules = [module.double() for module in modules]
            self._made = key, [module.to(self._torch_device) for module in modules]
        found: list[nn.Module] = self._made[1]
        return found

    def _transform(self, size: tuple[int, ...]) -> nn.Module:
        given, J = self.scattering, cast(Any, self.J)
        if self.Q is not None and (self.L, self.filters) != (8, "morlet"):
            raise ValueError(f"{_NAME}: L and filters are of images; with Q, leave them out")
        if given is None:
            if self.Q is not None:
                return Scattering1D(J, size[0], self.Q, max_order=self.max_order)
            return Scattering2D(J, size, self.L, self.max_order, filters=self.filters)
        if isinstance(given, str):
            return RotoTranslationScattering2D(
                J, size, self.L, pool=None if self.pool is None else "mean",
                max_order=self.max_order, filters=self.filters,
            )  # fmt: skip
        own = (self.J, self.L, self.max_order, self.filters, self.Q)
        if own != (None, 8, 2, "morlet", None):
            raise ValueError(
                f"{_NAME}: J, L, max_order, filters and Q are those of scattering, which is "
                "given; leave them out"
            )
        # a copy: it is moved to a device and a dtype
        module = copy.deepcopy(given) if isinstance(given, nn.Module) else given(size)
        checked_output(_NAME, "scattering", module)
        meta_of(_NAME, module)
        return module

    @property
    def rank(self) -> int:
        """Axes of what is transformed: 1 for signals, 3 for densities."""
        made = self.scattering is not None and not isinstance(self.scattering, nn.Module | str)
        said = self.shape if made else getattr(self.scattering, "input_shape", None)
        axes = len(said or ())
        return 1 if self.Q is not None or axes == 1 else 3 if axes == 3 and not made else 2

    @property
    def _is_roto(self) -> bool:
        return isinstance(self.scattering, str)

    @property
    def _dtype(self) -> torch.dtype:
        return _DTYPES[self.dtype]

    @property
    def _torch_device(self) -> torch.device:
        if self.device != "auto":
            return known_device(f"{_NAME}: ", self.device, "auto, cpu or cuda")
        usable = torch.cuda.is_available() and _C.cuda_architectures()
        return torch.device("cuda", torch.cuda.current_device()) if usable else torch.device("cpu")

    def _check_arguments(self) -> None:
        if self.dtype not in _DTYPES:
            raise ValueError(f"{_NAME}: dtype must be one of {list(_DTYPES)}; got {self.dtype!r}")
        if self.pool not in KINDS:
            raise ValueError(f"{_NAME}: pool must be one of {list(KINDS)}; got {self.pool!r}")
        if self.pool is not None and self.rank == 3:
            raise ValueError(
                f"{_NAME}: pool must be None where scattering takes densities, whose coefficients "
                f"are integrals; got {self.pool!r}"
            )
        if self._is_roto:
            if self.scattering != "roto-translation":
                raise ValueError(
                    f"{_NAME}: scattering must be a transform, a function that makes it, "
                    f"'roto-translation' or None; got {self.scattering!r}"
                )
            if self.pool == "rotation" or self.Q is not None:
                raise ValueError(
                    f"{_NAME}: of 'roto-translation' pool must be None or 'mean', and Q None; got "
                    f"{self.pool!r} and {self.Q!r}"
                )
        for name in ("log", "normalise", "renormalise", "views"):
            boolean(_NAME, name, getattr(self, name))
        scales = integer(_NAME, "scales", self.scales, 1, 16)
        if scales > 1 and self.rank != 2:
            raise ValueError(f"{_NAME}: scales must be 1 but for images; got {scales}")
        if scales > 1 and isinstance(self.scattering, nn.Module):
            raise TypeError(
                f"{_NAME}: scattering must be a function of (M, N) where scales is {scales}: each "
                "has its own size"
            )
        integer(_NAME, "batch_size", self.batch_size, 1)
        if self.device != "auto":
            known_device(f"{_NAME}: ", self.device, "auto, cpu or cuda", here=False)

    def loaded(self) -> None:
        """What a file says is within its budget when it is built, too."""
        self._check_arguments()
        if self.scattering is not None and not self._is_roto:
            raise ValueError("scattering is no parameter that a file can hold")
        positive(_NAME, "eps_", self.eps_)
        if self.shape is not None:
            sides(_NAME, "shape", self.shape)
        if self.Q is not None:
            if len(self.shape_) not in (1, 2):
                raise ValueError(f"shape_ must be (N,) or (C, N); got {self.shape_}")
            ask("its filters", _BANDS * self.shape_[-1])
            return
        plan = self._plan(self.shape_)
        ask("its filters", 8 * (plan.J * plan.L + 1) * math.prod(plan.padded))

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_made"}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.shape is not None
        tags.input_tags.three_d_array = True
        return tags
