"""The scattering transform of signals as a PyTorch module."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, Literal, TypedDict, cast, get_args, overload

import torch
from torch import Tensor
from torch.fx import Proxy
from typing_extensions import TypeVar

from .. import limits
from ..arguments import InputError, boolean, integer, one_of
from ..banks.learned_signals import SIGNAL_KINDS, LearnedSignals
from ..banks.signals import Aliases, levels_of, lowpass_band, morlet_band, pack_signals
from ..program.arrays import Band
from ..program.asked import checked_signals
from ..program.packing import Packed, numpy_dtype, tensors
from ..program.signals import (
    Cascade,
    Criterion,
    Morlet,
    cascades_of,
    morlets,
)
from ..program.steps import PADDING
from ..typing import Backend, BackendObject, Tier, Trainable
from .base import Learning
from .streaming import Stream

_CALLER = "Scattering1D"
_OUT_TYPES = ("array", "list", "dict")


class Coefficient(TypedDict):
    """A channel of ``out_type="list"``."""

    coef: Tensor
    j: tuple[int, ...]
    n: tuple[int, ...]
    order: int


Listed = list[Coefficient]
Named = dict[tuple[int, ...], Tensor]
Output = TypeVar("Output", bound="Tensor | Listed | Named", default=Tensor)


class Scattering1D(Learning, Generic[Output]):
    """Scattering transform of real signals, ``S x = [A x, A|W1 x|, A|W2|W1 x||, …]``.

    ``W1`` filters with ``Q`` wavelets an octave, ``W2`` with one; ``|.|`` is the complex modulus,
    ``A`` averages over ``T`` samples and subsamples by as much. Replaces
    ``kymatio.torch.Scattering1D`` of Kymatio 0.3.0: same arguments, output, channel order,
    ``meta()`` and attributes; and by ``aliases``, ``stride`` and ``T="global"`` that of its
    development branch. On a CPU signals have passes of their own (``csrc/cpu/signals``), many
    times as fast as Kymatio's (``python -m benchmarks --cases signals``).

    Args:
        J: the largest scale of the wavelets is ``2^J`` samples.
        shape: length ``N`` of the signals, an integer or ``(N,)``.
        Q: wavelets an octave; of the first order, or a tuple with those of each. Where it says
            nothing: 1.
        T: samples that are averaged over, from 1 to ``N``; None: ``2^J``; 0: no average, each path
            has its own length; ``"global"``: over the whole padded signal, what it goes on as
            included, the sum where ``aliases`` are summed. Order 0 has the signs of the signal:
            take logarithms of the others.
        max_order: the largest number of wavelets on a path, whose scales ``j`` increase.
        average: Kymatio's older word for ``T``: False is ``T=0``.
        oversampling: every step is finer by so many octaves.
        out_type: ``"array"``: one tensor; ``"list"``: a dictionary for each path; ``"dict"``: the
            coefficients by their paths.
        backend: ``"native"``, the engine for the device of the signal, where there is one;
            ``"reference"``, plain PyTorch. Kymatio's ``"torch"`` and ``"torch_skcuda"``: native.
        aliases: how a filter becomes one of fewer samples: ``"mean"`` over its aliases, as in
            Kymatio 0.3.0, or ``"sum"``, as in its development branch, where order 1 is ``2^j1`` and
            order 2 ``2^(j1 + j2)`` times as large.
        stride: samples from one coefficient to the next, a power of two; None: the largest below
            ``T``.
        padding: how a signal goes on: ``"reflect"``, ``"symmetric"``, ``"zeros"`` or
            ``"periodic"``.
        criterion: with which wavelets a path goes on: ``"scale"``, of larger ``j``, as in Kymatio;
            ``"frequency"``, of lower frequency ``xi``, as in ScatNet: more paths, also those of
            two wavelets of one octave.
        paths: the paths that are computed: a list of tuples ``(n1, n2, …)`` of ``meta()["key"]``,
            or a function of the ``meta()`` of all that returns a mask; None: all.
        tier, workspace: as for :class:`~scatcuda.Scattering2D`.
        trainable: what is learned: ``"wavelets"``, of each the frequency and the quality factor,
            the parameters ``learned.d_xi_1``, ``learned.d_q_1`` … of each order; ``"filters"``, all
            their values in Fourier and those of the low-pass. ``learned`` has them; ``meta()``
            says how they began. A step that learns keeps every bin and goes the engine's general
            way, and takes many times that of fixed filters; :meth:`freeze` ends that.
    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range; in a call, the
            input is no real tensor of the right length and device.
    Source: J. Andén and S. Mallat, "Deep scattering spectrum", IEEE TSP 2014.
    Example:
        >>> scattering = Scattering1D(J=6, shape=4096, Q=8)
        >>> scattering(torch.randn(3, 4096)).shape
        torch.Size([3, 126, 64])
        >>> scattering.meta()["key"][-1]
        (32, 6)
        >>> U = Scattering1D(4, 256, T=0, out_type="dict")(torch.randn(256))
        >>> len(U[()]), len(U[0,]), len(U[4,])
        (256, 256, 64)
    """

    @overload
    def __init__(
        self: Scattering1D[Tensor], J: int, shape: int | tuple[int], Q: int | tuple[int, ...] = ...,
        T: float | Literal["global"] | None = ..., max_order: int = ...,
        average: bool | None = ..., oversampling: int = ..., out_type: Literal["array"] = ...,
        backend: Backend | BackendObject = ..., *, aliases: Aliases = ...,
        stride: int | None = ...,
        padding: str = ..., criterion: Criterion = ..., paths: Any = ..., tier: Tier = ...,
        workspace: int | None = ..., trainable: Trainable | None = ...,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: Scattering1D[Listed], J: int, shape: int | tuple[int], Q: int | tuple[int, ...] = ...,
        T: float | Literal["global"] | None = ..., max_order: int = ...,
        average: bool | None = ..., oversampling: int = ..., *, out_type: Literal["list"],
        backend: Backend | BackendObject = ..., aliases: Aliases = ..., stride: int | None = ...,
        padding: str = ..., criterion: Criterion = ..., paths: Any = ..., tier: Tier = ...,
        workspace: int | None = ..., trainable: Trainable | None = ...,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: Scattering1D[Named], J: int, shape: int | tuple[int], Q: int | tuple[int, ...] = ...,
        T: float | Literal["global"] | None = ..., max_order: int = ...,
        average: bool | None = ..., oversampling: int = ..., *, out_type: Literal["dict"],
        backend: Backend | BackendObject = ..., aliases: Aliases = ..., stride: int | None = ...,
        padding: str = ..., criterion: Criterion = ..., paths: Any = ..., tier: Tier = ...,
        workspace: int | None = ..., trainable: Trainable | None = ...,
    ) -> None: ...  # fmt: skip
    def __init__(
        self,
        J: int,
        shape: int | tuple[int],
        Q: int | tuple[int, ...] = 1,
        T: float | Literal["global"] | None = None,
        max_order: int = 2,
        average: bool | None = None,
        oversampling: int = 0,
        out_type: Literal["array", "list", "dict"] = "array",
        backend: Backend | BackendObject = "native",
        *,
        aliases: Aliases = "mean",
        stride: int | None = None,
        padding: str = "reflect",
        criterion: Criterion = "scale",
        paths: Any = None,
        tier: Tier = "auto",
        workspace: int | None = None,
        trainable: Trainable | None = None,
    ) -> None:
        super().__init__()
        plan = checked_signals(
            _CALLER, J, shape, Q, T, max_order, average, oversampling, stride=stride,
            padding=padding, criterion=criterion, paths=paths,
        )  # fmt: skip
        self._plan = plan
        self.input_shape: tuple[int, ...] = (plan.N,)
        self.out_type: str = one_of(_CALLER, "out_type", out_type, _OUT_TYPES)
        self._use(backend, tier, workspace)
        self._aliases: Aliases = one_of(_CALLER, "aliases", aliases, get_args(Aliases))
        self._write()
        # how it averaged before that was switched off
        self._averaged: tuple[Any, int | None] | None = None
        self._trainable = trainable
        self.learned: LearnedSignals | None = None
        if trainable is None:
            self._start()
        else:
            kind = SIGNAL_KINDS[one_of(_CALLER, "trainable", trainable, SIGNAL_KINDS)]
            if not plan.max_order:
                raise ValueError(f"{_CALLER}: max_order must be at least 1 for what is trainable")
            self.learned = kind(plan, self._cascades, self._aliases)
            self._fix()

    def _write(self) -> None:
        """The programs of the plan."""
        self._cascades = cascades_of(self._plan)
        self._texts = [cascade.program.text for cascade in self._cascades]

    def _change(self, name: str, **changes: Any) -> None:
        if self._plan.chosen is not None or self.learned is not None:
            why = "paths are chosen" if self.learned is None else "filters are learned"
            raise AttributeError(f"{_CALLER}: {name} is fixed when {why}; build another module")
        before = self._plan, self._cascades, self._texts
        self._plan = replace(self._plan, **changes)
        try:
            self._write()
        except ValueError:  # it stays as it was
            self._plan, self._cascades, self._texts = before
            raise
        self._follow(anew=True)

    _caller = _CALLER
    _assignable = ("out_type",)
    frontend_name = "torch"  # Kymatio's word

    # --- what it is ---

    @property
    def J(self) -> int:
        """The largest scale of the wavelets is ``2^J``."""
        return self._plan.J

    @property
    def Q(self) -> tuple[int, ...]:
        """Wavelets an octave, by order."""
        return self._plan.Q

    @property
    def T(self) -> float:
        """Samples that are averaged over."""
        return self._plan.T

    @property
    def max_order(self) -> int:
        """The largest number of wavelets on a path; can be assigned unless paths are chosen."""
        return self._plan.max_order

    @max_order.setter
    def max_order(self, value: int) -> None:
        max_order = integer(_CALLER, "max_order", value, 0, self.most_order)
        more = max(max_order - len(self.Q), 0)
        self._change("max_order", max_order=max_order, Q=self.Q + (1,) * more)

    @property
    def most_order(self) -> int:
        """The largest ``max_order``."""
        return limits.LEVELS

    @property
    def oversampling(self) -> int:
        """Octaves by which every step is finer; can be assigned unless paths are chosen or a stride
        is."""
        return self._plan.finer

    @oversampling.setter
    def oversampling(self, value: int) -> None:
        finer = integer(_CALLER, "oversampling", value, 0, limits.SCALES, InputError)
        if finer and self._plan.stride is not None:
            raise AttributeError(f"{_CALLER}: oversampling must be 0 where a stride is given")
        self._change("oversampling", finer=finer)

    @property
    def log2_T(self) -> int:
        """The largest power of two in ``T``."""
        return self._plan.log2_T

    @property
    def pad_left(self) -> int:
        """Samples before the signal."""
        return self._plan.before

    @property
    def shape(self) -> tuple[int]:
        """Length ``(N,)`` of the signals."""
        return (self._plan.N,)

    @property
    def average(self) -> bool:
        """Whether coefficients are averaged; can be assigned unless paths are chosen."""
        return self._plan.average != "none"

    @average.setter
    def average(self, value: bool) -> None:
        if boolean(_CALLER, "average", value) != self.average:
            averaged = self._averaged or ("local", None)
            kind, stride = averaged if value else ("none", None)
            before = self._plan.average, self._plan.stride
            self._change("average", average=kind, stride=stride)
            self._averaged = None if value else before

    @property
    def stride(self) -> int:
        """Samples from one coefficient to the next."""
        return 1 << self._plan.coarsest

    @property
    def aliases(self) -> Aliases:
        """How a filter becomes one of fewer samples."""
        return self._aliases

    @property
    def trainable(self) -> Trainable | None:
        """What is learned: ``"filters"``, ``"wavelets"`` or nothing."""
        return self._trainable

    @property
    def padding(self) -> str:
        """How a signal goes on."""
        return PADDING[self._plan.pad]

    @property
    def criterion(self) -> Criterion:
        """With which wavelets a path goes on."""
        return self._plan.criterion

    @property
    def pad_right(self) -> int:
        """Samples behind the signal."""
        return self._plan.padded - self._plan.N - self._plan.before

    @property
    def ind_start(self) -> dict[int, int]:
        """The first sample of the signal itself, by resolution."""
        return {res: self._plan.inside(res)[0] for res in self._resolutions()}

    @property
    def ind_end(self) -> dict[int, int]:
        """Behind its last sample, by resolution."""
        return {res: self._plan.inside(res)[1] for res in self._resolutions()}

    @property
    def psi1_f(self) -> list[dict[str, Any]]:
        """The wavelets of order 1 as Kymatio lists them: ``{"levels": [[N, 1]], "xi", "sigma",
        "j"}``, float32 in Fourier."""
        return self._filters(0, lambda j: 0)

    @property
    def psi2_f(self) -> list[dict[str, Any]]:
        """Those of order 2, at the resolutions of what they may filter; as in Kymatio they are
        listed whatever ``max_order`` is."""
        before = [wavelet.j for wavelet in self._bank(0)]
        if self.aliases == "sum":  # as the development branch counts
            most = min(max(before, default=0), 1 + self.log2_T)
            return self._filters(1, lambda j: max(min(most, j), 1) - 1)
        return self._filters(1, lambda j: max([i for i in before if i < j], default=0))

    @property
    def phi_f(self) -> dict[str, Any]:
        """The low-pass likewise, at all resolutions that it may average."""
        scales = [wavelet.j for order in (0, 1) for wavelet in self._bank(order)]
        deepest = min(max(scales, default=0), self.log2_T)
        if self.aliases == "sum":
            deepest = max(max(scales, default=0) - 1, self.log2_T)
        phi = lowpass_band(self._plan.padded, self.T)
        levels = self._levels(phi, deepest)
        return {"levels": levels, "xi": 0, "sigma": 0.1 / self.T, "j": self.log2_T}

    @property
    def output_shape(self) -> tuple[int, int]:
        """Channels and coefficients ``(C, n)`` of a signal, where they are averaged."""
        if not self.average:
            raise AttributeError(f"{_CALLER}: without an average each path has its own length")
        return len(self._plan.paths), self._plan.outputs

    def output_size(self, detail: bool = False) -> int | tuple[int, ...]:
        """The number of paths; with ``detail`` that of each order.

        Example:
            >>> Scattering1D(6, 4096, Q=8).output_size(detail=True)
            (1, 38, 87)
        """
        orders = [len(path) for path in self._plan.paths]
        if detail:
            return tuple(orders.count(k) for k in range(self.max_order + 1))
        return len(orders)

    def meta(self) -> dict[str, Any]:
        """Where every channel comes from.

        Returns: ``"order" [C]``; ``"xi"``, ``"sigma"``, ``"j"`` and ``"n" [C, max_order]``: of each
            wavelet its frequency and width in cycles a sample, its scale and its number, NaN where
            there is none; ``"key"``, the paths.
        """
        return self._plan.meta()

    # --- what it does ---

    def forward(self, x: Tensor) -> Output:
        """Scattering coefficients of the signals ``x [..., N]``.

        Integers and half precision are computed in float32, float64 by a module in ``.double()``.

        Returns: ``[..., C, n]``, see ``output_shape``; or as ``out_type`` says.
        """
        if isinstance(x, Proxy):
            return self._leaf(x)
        out_type = one_of(_CALLER, "out_type", self.out_type, _OUT_TYPES)
        if out_type == "array" and not self.average:
            raise ValueError(
                f"{_CALLER}: Cannot convert to out_type='array' where nothing is averaged, T = 0. "
                "Please set out_type to 'list' or 'dict'"
            )
        packs = self._packs() if self.learned is None else self.learned()
        x = self._checked(x, packs[0].phi if packs else self._example())
        found: Any = [self._run(x, *pair) for pair in zip(packs, self._texts, strict=True)]
        if out_type == "array":
            return found[0]
        by_path: Named = {} if self.average else {(): x.clone()}  # nobody's but the caller's
        for S, cascade in zip(found, self._cascades, strict=True):
            by_path |= {path: S[..., c, :] for c, path in enumerate(cascade.paths)}
        if out_type == "dict":
            named: Any = {path: by_path[path] for path in self._plan.paths}
            return named
        listed: Any = [
            {"coef": by_path[path], "j": self._plan.scales(path), "n": path, "order": len(path)}
            for path in self._plan.paths
        ]
        return listed

    def save_plan(self, path: str | os.PathLike[str], dtype: torch.dtype | None = None) -> int:
        """Write the problem and its filters to a plan file, as :meth:`Scattering2D.save_plan`.

        Returns: the number of bytes written.
        Raises: ValueError: coefficients are not averaged, or summed over all of the signal: then no
            one program makes them.
        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     Scattering1D(J=3, shape=128).save_plan(f"{folder}/plan.scat") > 0
            True
        """
        from ..program import planfile  # and what writes files safely, which few need

        if not self.average or (self._plan.average == "global" and self.aliases == "sum"):
            raise ValueError("save_plan: T must not be 0, nor 'global' with aliases='sum'")
        wanted = self._example().dtype if dtype is None else dtype
        if wanted not in (torch.float32, torch.float64):
            raise TypeError(
                f"save_plan: dtype must be torch.float32, torch.float64 or None; got {dtype!r}"
            )
        if self.learned is not None:
            packed = self.learned.packed_in(wanted)[0]
        else:
            packed = self._pack(self._cascades[0], wanted)
        return planfile.write(path, self._texts[0], packed)

    def scattering(self, x: Tensor) -> Output:
        """The same as calling the module (Kymatio's name)."""
        return self(x)

    def of_length(self, N: int) -> Scattering1D[Output]:
        """The same transform of signals of another length, of the same dtype and device.

        Example:
            >>> Scattering1D(J=3, shape=128, Q=4).of_length(1000).output_shape
            (16, 125)
        """
        if self.trainable == "filters":
            raise ValueError("of_length: filters that are learned value by value have one length")
        chosen = self._plan.chosen
        return self._again(integer("of_length", "N", N, 2, limits.SIDE), chosen)

    def of_paths(self, paths: Any) -> Scattering1D[Output]:
        """The same transform of some paths alone, as ``paths=`` chooses them.

        Example:
            >>> Scattering1D(J=3, shape=128, Q=4).of_paths([(2,), (0, 3)]).output_shape
            (2, 16)
        """
        if self.learned is not None:
            raise ValueError(
                "of_paths: filters that are learned belong to the paths that they have"
            )
        return self._again(self._plan.N, paths)

    def _again(self, N: int, paths: Any, shared: bool = False) -> Scattering1D[Output]:
        """The same of another length or other paths; what is learned is copied, or `shared`."""
        plan = self._plan
        T: Any = {"local": plan.T, "global": "global", "none": 0}[plan.average]
        T = None if T == 2**plan.J else T  # which may be longer than signals
        paths = list(paths) if isinstance(paths, tuple) else paths
        build: Any = Scattering1D  # whose overloads tell out_types apart
        made: Any = build(
            plan.J, N, plan.Q[: max(plan.max_order, 2)], T, plan.max_order, None, plan.finer,
            self.out_type, self._backend, aliases=self.aliases,
            stride=None if plan.stride is None else 1 << plan.stride, padding=self.padding,
            criterion=plan.criterion, paths=paths, tier=self._tier,
            workspace=self._workspace, trainable=self.trainable,
        )  # fmt: skip
        made.train(self.training)
        if self.learned is None:
            made.to(self._phi_0.device, self._like.dtype)
            return made
        made.to(self._example())
        made.load_state_dict(self.state_dict())
        for parameter, own in zip(made.parameters(), self.parameters(), strict=True):
            parameter.requires_grad_(own.requires_grad)
        if shared:
            made.learned.share(self.learned)
        elif self.learned.frozen:
            made.freeze()
        return made

    def _example(self) -> Tensor:
        """A tensor of the dtype and on the device that is computed with."""
        return self._phi_0 if self.learned is None else self.learned.example()

    def stream(self) -> Stream:
        """Coefficients of a signal of any length, as it comes in chunks: see
        :class:`~scatcuda.transforms.streaming.Stream`. They lie at the samples ``0, stride, 2
        stride, …``; those of a module of the whole signal do where ``pad_left`` is a multiple of
        ``stride``, as of powers of two, and else up to a stride beside them. Away from the signal's
        ends, by more than its padding reaches, these are the same; memory does not grow. Of
        filters that are learned the gradient reaches the module's parameters.

        Raises: ValueError: ``T`` is 0 or ``"global"``, ``out_type`` not ``"array"``, or filters are
            learned value by value.
        Example:
            >>> stream = Scattering1D(J=6, shape=4096, Q=8).stream()
            >>> chunks = torch.randn(2, 40_000).split(1000, -1)
            >>> sum(S.shape[-1] for S in stream.over(chunks))
            625
        """
        if self.trainable == "filters":
            raise ValueError("stream: filters that are learned value by value have one length")
        if self._plan.average != "local" or self.out_type != "array":
            raise ValueError(
                "stream: T must be a number of samples and out_type 'array'; got "
                f"T={self.T if self.average else 0!r} and out_type={self.out_type!r}"
            )
        return Stream(cast("Scattering1D[Tensor]", self))

    def extra_repr(self) -> str:
        plan = self._plan
        T = "'global'" if plan.average == "global" else f"{plan.T if self.average else 0}"
        return (
            f"J={plan.J}, shape={self.shape}, Q={plan.Q}, T={T}, max_order={plan.max_order}, "
            f"oversampling={plan.finer}, out_type={self.out_type!r}, backend={self.backend!r}, "
            f"aliases={self.aliases!r}, stride={self.stride}, padding={self.padding!r}, "
            f"criterion={self.criterion!r}, trainable={self.trainable!r}"
        )

    # --- how ---

    _lengths: Tensor  # of the planes at the ends of the paths
    _phi_0: Tensor

    def _why_not(self, x: Tensor) -> str:
        return "" if x.ndim else ": it should have at least one axis"  # as Kymatio says

    def _packs(self) -> list[Packed]:
        """The fixed filters, of each program."""
        count = range(len(self._texts))
        return [Packed(*(getattr(self, f"_{name}_{i}") for name in Packed._fields)) for i in count]

    def _run(self, x: Tensor, packed: Packed, text: str) -> Tensor:
        S = self._scattered(x, packed, text)
        if self._plan.average == "global":
            S = S[..., None]
            ends = self._lengths if self.learned is None else self._ends().to(S)
            return S * ends if self.aliases == "sum" else S
        return S

    def _ends(self) -> Tensor:
        """``[C, 1]``: samples of the planes at the ends of the paths."""
        ends = [self._plan.padded >> self._plan.resolution_of(path) for path in self._plan.paths]
        return torch.tensor(ends, device="cpu")[:, None]

    def _pack(self, cascade: Cascade, dtype: torch.dtype) -> Packed:
        return tensors(pack_signals(self._plan, cascade, self.aliases, numpy_dtype(dtype)))

    def _make(self, dtype: torch.dtype) -> dict[str, Tensor]:
        made: dict[str, Tensor] = {}
        for i, cascade in enumerate(self._cascades):
            packed = self._pack(cascade, dtype)
            made |= {f"_{name}_{i}": tensor for name, tensor in packed._asdict().items()}
        if not made:  # order 0 alone, not averaged: its dtype and device
            made["_phi_0"] = torch.zeros(0, dtype=dtype)
        made["_lengths"] = self._ends().to(dtype)
        made["_phi_0"] = made.pop("_phi_0")  # what is looked at last tells the dtype
        return made

    def _resolutions(self) -> range:
        return range(max(self.log2_T, self.J) + 1)

    def _filters(self, order: int, deepest: Callable[[int], int]) -> list[dict[str, Any]]:
        return [
            {
                "levels": self._levels(band, deepest(psi.j)),
                "xi": psi.xi,
                "sigma": psi.sigma,
                "j": psi.j,
            }
            for psi, band in zip(self._bank(order), self._bands(order), strict=True)
        ]

    def _bands(self, order: int) -> list[Band]:
        """The wavelets of an order as they are now."""
        if self.learned is not None and order < self.max_order:
            return [Band(0, values) for values in self.learned.bank_now(order)]
        return [morlet_band(self._plan.padded, psi) for psi in self._bank(order)]

    def _bank(self, order: int) -> tuple[Morlet, ...]:
        return morlets(self.J, self.Q[order])

    def _levels(self, band: Band, deepest: int) -> list[Tensor]:
        levels = levels_of(band, self._plan.padded, deepest + 1, self.aliases)
        return list(map(torch.from_numpy, levels))
