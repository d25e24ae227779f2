"""What :func:`scatcuda.kymatio.accelerate` has built in place of Kymatio's classes.

In place of a module, ours, with what programs written for Kymatio find on its own. In place of an
object of NumPy or scikit-learn, Kymatio's without its filters: they are made when asked for, and
ours computes.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..arguments import ArgumentError, BackendError, InputError, integer
from ..transforms.base import KYMATIO_BUFFER, Learning
from ..transforms.harmonic3d import HarmonicScattering3D
from ..transforms.scattering1d import Scattering1D
from ..transforms.scattering2d import Scattering2D
from ..transforms.timefrequency import TimeFrequencyScattering
from ..typing import Backend
from .backends import Pad2D, backend1d, backend2d, backend3d

# --- modules ----------------------------------------------------------------------------------


def _order(caller: str, max_order: Any) -> None:
    if not integer(caller, "max_order", max_order, 0, 2):
        raise ArgumentError(f"{caller}: max_order must be 1 or 2; got 0, which Kymatio takes for 1")


class _Module(Learning):
    """What modules of ours and of Kymatio's differ in, whatever they transform."""

    _backend: Backend
    _primitives: Any  # the backend as an object

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "max_order":
            _order(type(self).__name__, value)
        super().__setattr__(name, value)

    @property
    def most_order(self) -> int:
        """The largest ``max_order``."""
        return 2

    @property
    def backend(self) -> Any:
        """The primitives, as an object."""
        return self._backend if self._backend == "reference" else self._primitives

    @backend.setter
    def backend(self, value: Any) -> None:
        ours: Any = super(_Module, type(self))  # of which it is a property, too
        ours.backend.fset(self, value)

    def build(self) -> None:
        """Nothing: all is made."""

    create_filters = register_filters = build

    def _kymatio_filters(self) -> list[dict[str, Any]]:
        """In Kymatio's order, ``{"levels": [tensor at resolution 0, …]}``."""
        raise NotImplementedError

    def _kymatio_buffers(self) -> dict[str, Tensor]:
        """As Kymatio's module names its filters, ``tensor0`` …; those that are learned are
        parameters."""
        filters = [] if self.learned is not None else self._kymatio_filters()
        levels = [tensor for filter in filters for tensor in filter["levels"]]
        return {f"tensor{n}": tensor for n, tensor in enumerate(levels)}

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        tensors = self._kymatio_buffers()
        destination.update({prefix + name: tensor for name, tensor in tensors.items()})

    def _load_from_state_dict(self, *args: Any) -> None:
        """Kymatio's filters must all be there, in their sizes; their values are passed over."""
        buffers = self._buffers
        like = {name: torch.empty_like(t) for name, t in self._kymatio_buffers().items()}
        self._buffers = {**buffers, **like}
        try:
            nn.Module._load_from_state_dict(self, *args)
        finally:
            self._buffers = buffers

    def __getattr__(self, name: str) -> Any:
        if KYMATIO_BUFFER.fullmatch(name):  # what is in a state_dict can be read
            tensors = self._kymatio_buffers()
            if name in tensors:
                return tensors[name]
        return super().__getattr__(name)


class _Sides:
    """Sides by Kymatio's letters."""

    shape: Any

    @property
    def M(self) -> int:
        """``shape[0]``: of images 0.3.0 deprecates it and fails."""
        return int(self.shape[0])

    @property
    def N(self) -> int:
        """``shape[1]``"""
        return int(self.shape[1])


class _ImageModule(_Module, _Sides, Scattering2D):
    _primitives = backend2d

    def __init__(self, *args: Any, **options: Any) -> None:
        build: Any = Scattering2D.__init__  # whose overloads tell out_types apart
        build(self, *args, **options)
        _order("Scattering2D", self.max_order)

    @property
    def pad(self) -> Callable[[Tensor], Tensor]:
        """``[..., M, N] -> [..., Mp, Np, 1]``"""
        if self.pre_pad:
            return lambda x: x.unsqueeze(-1)
        wanted = [p - size for p, size in zip(self._plan.padded, self.shape, strict=True)]
        return Pad2D([side for w in wanted for side in (w // 2, (w + 1) // 2)], self.shape)

    @property
    def unpad(self) -> Callable[[Tensor], Tensor]:
        """``[..., m + 2, n + 2, 1] -> [..., m, n]``"""
        return backend2d.unpad

    def scattering(self, input: Tensor) -> Any:
        """The same as calling the module."""
        return self(input)

    def load_filters(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """``phi`` and ``psi`` with tensors ``[Mp / 2^res, Np / 2^res, 1]`` for arrays."""
        like = self._packed.phi

        def as_tensors(filter: Mapping[str, Any]) -> dict[str, Any]:
            levels = [like.new_tensor(level).unsqueeze(-1) for level in filter["levels"]]
            return {**filter, "levels": levels}

        return as_tensors(self.phi), [as_tensors(psi) for psi in self.psi]

    def _kymatio_filters(self) -> list[dict[str, Any]]:
        made = dict(self._made)
        phi, psi = self.load_filters()
        self._made = made  # not kept for this
        return [phi, *psi]


class _SignalModule(_Module, Scattering1D):
    _primitives = backend1d
    r_psi, sigma0, alpha = math.sqrt(0.5), 0.1, 5.0

    def __init__(self, J: Any, shape: Any, Q: Any = 1, *args: Any, **options: Any) -> None:
        if isinstance(Q, list):  # which ours takes under its own name
            raise TypeError("Scattering1D: Q must be an integer or a tuple")
        build: Any = Scattering1D.__init__
        build(self, J, shape, Q, *args, **options)
        _order("Scattering1D", self.max_order)

    @property
    def _N_padded(self) -> int:
        return self._plan.padded

    def output_size(self, detail: bool = False) -> Any:
        """The number of paths; with ``detail`` that of each order, of 0.3.0 a list."""
        size: Any = super().output_size(detail)
        return list(size) if detail and self.aliases == "mean" else size

    @property
    def log2_stride(self) -> int:
        """Of the coefficients."""
        return self._plan.coarsest

    def load_filters(self) -> None:
        """Nothing: ``phi_f``, ``psi1_f`` and ``psi2_f`` are as the module is."""

    def _kymatio_filters(self) -> list[dict[str, Any]]:
        like = self._lengths
        filters: list[dict[str, Any]] = [self.phi_f, *self.psi1_f, *self.psi2_f]
        return [{"levels": [level.to(like) for level in f["levels"]]} for f in filters]


class _DensityModule(_Module, _Sides, HarmonicScattering3D):
    _primitives = backend3d
    learned = None

    def __init__(self, *args: Any, **options: Any) -> None:
        HarmonicScattering3D.__init__(self, *args, **options)
        integer("HarmonicScattering3D", "max_order", self.max_order, 1, self.most_order)
        # At the highest frequency of an even side a harmonic of odd degree has no opposite; on odd
        # sides Kymatio 0.3.0 has the grid a bin off
        if not self.rotation_covariant or any(side % 2 and side > 1 for side in self.shape):
            raise ArgumentError(
                "HarmonicScattering3D: its numbers differ from Kymatio's where "
                "rotation_covariant is False or a side is odd"
            )

    def scattering(self, input_array: Tensor) -> Tensor:
        """The same as calling the module."""
        return super().scattering(input_array)

    @property
    def O(self) -> int:  # noqa: E743, Kymatio's
        """``shape[2]``"""
        return self.shape[2]

    @property
    def filters(self) -> list[Tensor]:
        """``[J + 1, 2 l + 1, M, N, O, 2]`` of each degree, as Kymatio makes them."""
        bank = importlib.import_module("kymatio.scattering3d.filter_bank")
        made = bank.solid_harmonic_filter_bank(*self.shape, self.J, self.L, self.sigma_0)
        return [torch.view_as_real(torch.from_numpy(several)).to(self._phi) for several in made]

    @property
    def gaussian_filters(self) -> Tensor:
        """``[J + 2, M, N, O, 2]``"""
        bank = importlib.import_module("kymatio.scattering3d.filter_bank")
        made = bank.gaussian_filter_bank(*self.shape, self.J + 1, self.sigma_0)
        return torch.view_as_real(torch.from_numpy(made)).to(self._phi)

    def _kymatio_buffers(self) -> dict[str, Tensor]:
        found = {f"tensor{degree}": several for degree, several in enumerate(self.filters)}
        return {**found, "tensor_gaussian_filter": self.gaussian_filters}


class _JointModule(_Module, TimeFrequencyScattering):
    _primitives = backend1d
    learned = None
    r_psi, sigma0, alpha = math.sqrt(0.5), 0.1, 5.0
    max_order, oversampling_fr = 2, 0

    def __init__(self, **options: Any) -> None:
        build: Any = TimeFrequencyScattering.__init__  # whose overloads tell out_types apart
        build(self, **options)

    def _lay_out(self) -> None:
        if self.format == "time" and self.average_fr == "local" and self.stride_fr < 1 << self.J_fr:
            raise ArgumentError(
                "TimeFrequencyScattering: of spin 0 Kymatio lists too few places where format is "
                f"'time' and stride_fr below 2^J_fr; got {self.stride_fr}"
            )
        super()._lay_out()

    @property
    def _N_padded(self) -> int:
        return self._plan.time.padded

    @property
    def _N_padded_fr(self) -> int:
        return self._plan.padded

    def load_filters(self) -> None:
        """Nothing: the filters are as the module is."""

    def _kymatio_filters(self) -> list[dict[str, Any]]:
        average, bank = self.filters_fr
        filters = [self.phi_f, *self.psi1_f, *self.psi2_f, average, *bank]
        return [{"levels": [level.to(self._phi_0) for level in f["levels"]]} for f in filters]


class _EndOfConstructors(nn.Module):
    """Between our class and Kymatio's: what follows lends its name, and is not constructed."""

    def __init__(self) -> None:
        nn.Module.__init__(self)


# --- objects of NumPy and scikit-learn --------------------------------------------------------


class _Arrays:
    """Arrays in, arrays out. Kymatio's constructor in its steps, but for the filters."""

    _theirs: Any  # Kymatio's class
    _rank: int
    _module_class: Any
    _filter_names: tuple[str, ...]
    _given: dict[str, Any]

    def _start(self, **given: Any) -> None:
        self._made: dict[torch.dtype, Any] = {}
        self._made_of: dict[str, Any] = {}
        self._given = given
        self.frontend_name: str = "numpy"
        base = self._base()
        base.__init__(self, **given)
        base._instantiate_backend(self, f"kymatio.scattering{self._rank}d.backend.")
        if not str(getattr(self.backend, "__module__", "")).startswith("kymatio."):
            raise BackendError(f"{self._name()}: backend must be Kymatio's own; got {self.backend}")
        base.build(self)
        self._built = {name: value for name, value in vars(self).items() if name in given}
        self._own = {*vars(self), *self._filter_names, "_own"}
        self._module(torch.float32)  # what ours refuses, it refuses now

    def __getstate__(self) -> dict[str, Any]:
        """What it was built from, and what was assigned since: the rest is not pickled."""
        now = vars(self).items()
        kept = {k: v for k, v in now if k in _CHANGEABLE or k not in self._own}
        return {"given": self._given, "assigned": kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._start(**state["given"])
        for name, value in state["assigned"].items():
            setattr(self, name, value)

    def _base(self) -> Any:
        name = f"kymatio.scattering{self._rank}d.frontend.base_frontend"
        return getattr(importlib.import_module(name), f"ScatteringBase{self._rank}D")

    def _name(self) -> str:
        return f"Scattering{self._rank}D"

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "max_order":
            _order(self._name(), value)
        if name in vars(self).get("_own", ()) and name not in _CHANGEABLE:
            raise AttributeError(
                f"{self._name()}: {name} is fixed when the object is built, like its filters; "
                "build another one"
            )
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name in self._filter_names and "_own" in vars(self):
            bare = object.__new__(self._theirs)
            vars(bare).update(vars(self))
            self._base().create_filters(bare)
            made = {name: _read_only(vars(bare)[name]) for name in self._filter_names}
            vars(self).update(made)
            return made[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def build(self) -> None:
        """Nothing: all is made, or is when asked for."""

    create_filters = build

    def scattering(self, x: NDArray[Any]) -> Any:
        """Coefficients of an array, of its dtype: float32 or float64, all else float32."""
        if not isinstance(x, np.ndarray):
            found = "not empty" if x is None else f"a numpy array, got type {type(x)}"
            raise TypeError(f"{self._name()}: The input should be {found}.")
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError(f"{self._name()}: The input should not be masked; fill it first")
        if x.dtype.kind not in "biuf" or x.dtype.itemsize > 8:
            raise TypeError(f"{self._name()}: The input should be real; got {x.dtype}")
        double = x.dtype.kind == "f" and x.dtype.itemsize == 8
        module = self._module(torch.float64 if double else torch.float32)
        self._check_shape(x.shape, module.input_shape)
        x = np.ascontiguousarray(x, dtype=np.float64 if double else np.float32)
        return _as_arrays(module(torch.from_numpy(x if x.flags.writeable else x.copy())))

    def _check_shape(self, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
        if found[-len(wanted) :] == wanted:
            return
        sides = ",".join(map(str, wanted))
        kind = "Padded" if getattr(self, "pre_pad", False) else "NumPy"
        why = f"{kind} array must be of spatial size ({sides})"
        if len(found) < len(wanted):
            least = ("one axis", "two dimensions", "three dimensions")[self._rank - 1]
            why = f"Input array must have at least {least}"
        raise InputError(f"{self._name()}: x must have shape (..., {sides}); got {found}: {why}")

    def _options(self) -> dict[str, Any]:
        """What ours is built from."""
        changeable = self._own.intersection(_CHANGEABLE)  # the rest is no option of this class
        return self._given | {k: v for k, v in vars(self).items() if k in changeable}

    def _module(self, dtype: torch.dtype) -> Any:
        """Ours of the attributes as they are now, which is kept while they are."""
        options = self._options()
        if options != self._made_of:
            vars(self).update(_made={}, _made_of=options)
        if dtype not in self._made:
            arguments = {name: value for name, value in options.items() if name != "backend"}
            with torch.device("cpu"), warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # Kymatio's build said it
                self._made[dtype] = self._module_class(**arguments).to(dtype)
        return self._made[dtype]


# What may be assigned afterwards, in Kymatio too
_CHANGEABLE = (
    "max_order", "average", "oversampling", "out_type", "format", "method", "integral_powers"
)  # fmt: skip


def _read_only(filters: Any) -> Any:
    """Arrays that cannot be written to: ours would not compute with what was."""
    if isinstance(filters, np.ndarray):
        filters.setflags(write=False)
    elif isinstance(filters, dict | list | tuple):
        for part in filters.values() if isinstance(filters, dict) else filters:
            _read_only(part)
    return filters


def _as_arrays(S: Any) -> Any:
    if isinstance(S, Tensor):
        return S.numpy()
    if isinstance(S, dict):
        return {key: _as_arrays(value) for key, value in S.items()}
    return [{**path, "coef": path["coef"].numpy()} for path in S]


class _ImageArrays(_Arrays):
    _rank, _module_class, _filter_names = 2, Scattering2D, ("phi", "psi")

    def scattering(self, input: NDArray[Any]) -> Any:
        """Coefficients of an array, of its dtype."""
        return super().scattering(input)

    @property
    def M(self) -> int:
        """``shape[0]``: 0.3.0 deprecates it and fails."""
        return int(self._given["shape"][0])

    @property
    def N(self) -> int:
        """``shape[1]``"""
        return int(self._given["shape"][1])


class _SignalArrays(_Arrays):
    _rank, _module_class, _filter_names = 1, Scattering1D, ("phi_f", "psi1_f", "psi2_f")

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        average = options.pop("average", None)
        if average is not None:
            T = self._given["T"]
            options["T"] = (None if T == 0 else T) if average else 0
        return options | {"aliases": "sum" if _adds_aliases(self._theirs) else "mean"}


class _JointArrays(_Arrays):
    _rank, _module_class, _filter_names = 1, _JointModule, ("filters_fr",)

    def _name(self) -> str:
        return "TimeFrequencyScattering"

    def _base(self) -> Any:
        name = "kymatio.scattering1d.frontend.base_frontend"
        return importlib.import_module(name).TimeFrequencyScatteringBase

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        del options["max_order"]  # Kymatio takes it from its class of signals, and ignores it
        return options


class _DensityArrays(_Arrays):
    _rank, _module_class, _filter_names = 3, _DensityModule, ("filters", "gaussian_filters")

    def scattering(self, input_array: NDArray[Any]) -> Any:
        """Coefficients of an array, of its dtype."""
        return super().scattering(input_array)

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        powers = options["integral_powers"]
        if isinstance(powers, list | np.ndarray):  # as they are now
            options["integral_powers"] = tuple(powers)
        return options

    def _name(self) -> str:
        return "HarmonicScattering3D"


class _Estimator:
    """Of scikit-learn: its parameters are what was given, so that clones are alike."""

    _given: dict[str, Any]
    _built: dict[str, Any]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What the object was built from, or was assigned since."""
        now, missing = vars(self), object()
        return {
            name: value
            if name not in self._built or now.get(name, missing) is self._built[name]
            else now[name]
            for name, value in self._given.items()
        }

    def set_params(self, **params: Any) -> Any:
        """Builds the object anew from other parameters.

        Raises: TypeError, ValueError: they do not do. Then it is as it was.
        """
        unknown = [name for name in params if name not in self._given]
        if unknown:
            raise ValueError(
                f"Invalid parameter {unknown[0]!r} for {type(self).__name__}; "
                f"it has {', '.join(self._given)}"
            )
        again: Any = type(self)
        self.__dict__ = again(**(self.get_params() | params)).__dict__
        return self


# --- which -------------------------------------------------------------------------------------


class Replacement(NamedTuple):
    """Where Kymatio has a class, and what ours is made of."""

    module: str
    name: str
    bases: tuple[type, ...]

    def make(self, theirs: Any) -> tuple[tuple[type, ...], dict[str, Any]]:
        """Bases and attributes of the class that takes the place of theirs."""
        if issubclass(self.bases[0], nn.Module):
            options = {}
            if self.bases[0] is _SignalModule and _adds_aliases(theirs):
                options["__init__"] = functools.partialmethod(_SignalModule.__init__, aliases="sum")
            doc = {"__doc__": self.bases[0].__bases__[-1].__doc__}
            return (*self.bases, _EndOfConstructors, theirs), {**doc, **options}
        signature = inspect.signature(theirs.__init__)

        @functools.wraps(theirs.__init__)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            _, *names = bound.arguments
            self._start(**{name: bound.arguments[name] for name in names})

        attributes = {"__init__": __init__, "__doc__": theirs.__doc__, "_theirs": theirs}
        return (*self.bases, theirs), attributes


def _adds_aliases(theirs: Any) -> bool:
    """Whether it is of Kymatio's development branch, where coarse filters are sums of aliases."""
    return "stride" in inspect.signature(theirs.__init__).parameters


def _replacements() -> dict[str, Replacement]:
    kinds = (
        (1, "Scattering{}1D", _SignalModule, _SignalArrays),
        (2, "Scattering{}2D", _ImageModule, _ImageArrays),
        (3, "HarmonicScattering{}3D", _DensityModule, _DensityArrays),
        (1, "TimeFrequencyScattering{}", _JointModule, _JointArrays),  # the development branch's
    )
    found = {}
    for rank, name, module, arrays in kinds:
        for prefix, frontend, word, bases in (
            ("", "torch", "Torch", (module,)),
            ("NumPy", "numpy", "NumPy", (arrays,)),
            ("Sklearn", "sklearn", "Transformer", (_Estimator, arrays)),
        ):
            place = f"kymatio.scattering{rank}d.frontend.{frontend}_frontend"
            called = f"{prefix}{name.format('')}"
            found[called] = Replacement(place, name.format(word), bases)
    return found


#: By the names that pickles know
REPLACEMENTS: dict[str, Replacement] = _replacements()
