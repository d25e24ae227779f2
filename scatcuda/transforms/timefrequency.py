"""The joint time-frequency scattering transform of signals as a PyTorch module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, cast, overload

import torch
from torch import Tensor
from torch.fx import Proxy
from typing_extensions import TypeVar

from ..arguments import one_of
from ..banks.signals import levels_of, lowpass_band, morlet_band, pack_joint, wavelet_along
from ..ops.reference import in_full_precision
from ..program.arrays import Band
from ..program.asked import checked_joint
from ..program.packing import Packed, numpy_dtype, tensors
from ..program.rows import Row, Rows
from ..program.signals import Morlet
from ..program.steps import PADDING
from ..typing import Backend, BackendObject, Tier
from .base import Engined

_CALLER = "TimeFrequencyScattering"
_OUT_TYPES = ("array", "list", "dict")
_FORMATS = ("time", "joint")

Listed = list[dict[str, Any]]
Named = dict[tuple[int, ...], Tensor]
Output = TypeVar("Output", bound="Tensor | Listed | Named", default=Tensor)


class TimeFrequencyScattering(Engined, Generic[Output]):
    """Joint time-frequency scattering of real signals: the scalogram ``U1(n1, t) =
    |x * psi_n1|(t)`` is filtered by wavelets of time and log-frequency ``n1``,

    ``S2(n2, n_fr) = A |U1 * psi_n2 (t) * psi_n_fr (n1)|``, ``S1(n_fr) = A |U1 * phi (t) * psi_n_fr
    (n1)|``,

    where ``psi_n_fr`` has a spin, up or down, so that chirps that rise are told from those that
    fall. ``A`` averages over ``T`` samples and ``F`` places ``n1``. Replaces
    ``TimeFrequencyScattering`` of Kymatio's development branch (11552ed): the same numbers; all
    arguments by keyword.

    Args:
        J: the largest scale of the wavelets in time is ``2^J`` samples.
        J_fr: of those along log-frequency ``2^J_fr`` places, of which an octave has ``Q``.
        Q: wavelets an octave in time; of the first order, or a tuple with those of both.
        shape: length ``N`` of the signals, an integer or ``(N,)``.
        T: samples that are averaged over, from 1 to ``N``; None: ``2^J``; 0: no average;
            ``"global"``: the sum over the whole padded signal; what is reflected falls where the
            signal rises, so that ``padding="zeros"`` keeps the two apart.
        stride: samples from one coefficient to the next, a power of two; None: the largest in T.
        Q_fr: wavelets an octave along log-frequency.
        F: places along log-frequency that are averaged over; None: ``2^J_fr``; 0: no average;
            ``"global"``: the sum over all places.
        stride_fr: places from one coefficient to the next, a power of two; None: the largest in F.
        out_type: ``"array"``: one tensor; ``"list"``: a dictionary for each path; ``"dict"``: the
            coefficients by their paths.
        format: ``"time"``: of each ``n1`` a channel of its own, ``[..., C, n]``, of paths ``()``,
            ``(n1, n_fr)``, ``(n1, n2, n_fr)``; ``"joint"``: ``[..., C, places, n]`` of paths
            ``(n_fr,)`` and ``(n2, n_fr)``, in a list ``()``, too.
        backend: ``"native"``, or ``"reference"``, plain PyTorch.
        padding: how a signal goes on: ``"reflect"``, ``"symmetric"``, ``"zeros"`` or
            ``"periodic"``.
        paths: the joint paths that are computed: a list of ``()``, ``(n_fr,)``, ``(n2, n_fr)``, or
            a function of the ``joint_meta()`` of all that returns a mask; None: all.
        tier, workspace: as for :class:`~scatcuda.Scattering2D`.
    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range; in a call, the
            input is no real tensor of the right length and device.
    Source: J. Andén, V. Lostanlen and S. Mallat, "Joint time-frequency scattering", IEEE TSP 2019.
    Example:
        >>> scattering = TimeFrequencyScattering(J=6, J_fr=3, Q=8, shape=4096, format="joint")
        >>> scattering(torch.randn(2, 4096)).shape
        torch.Size([2, 41, 15, 64])
        >>> scattering.meta()["spin"][-2:], scattering.meta()["key"][-1]
        (array([-1., -1.]), (6, 8))
    """

    @overload
    def __init__(
        self: TimeFrequencyScattering[Tensor], *, J: int, J_fr: int, Q: int | tuple[int, ...],
        shape: int | tuple[int], T: float | Literal["global"] | None = ...,
        stride: int | None = ..., Q_fr: int | tuple[int] = ...,
        F: float | Literal["global"] | None = ..., stride_fr: int | None = ...,
        out_type: Literal["array"] = ..., format: Literal["time", "joint"] = ...,
        backend: Backend | BackendObject = ..., padding: str = ..., paths: Any = ...,
        tier: Tier = ..., workspace: int | None = ...,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: TimeFrequencyScattering[Listed], *, J: int, J_fr: int, Q: int | tuple[int, ...],
        shape: int | tuple[int], T: float | Literal["global"] | None = ...,
        stride: int | None = ..., Q_fr: int | tuple[int] = ...,
        F: float | Literal["global"] | None = ..., stride_fr: int | None = ...,
        out_type: Literal["list"], format: Literal["time", "joint"] = ...,
        backend: Backend | BackendObject = ..., padding: str = ..., paths: Any = ...,
        tier: Tier = ..., workspace: int | None = ...,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: TimeFrequencyScattering[Named], *, J: int, J_fr: int, Q: int | tuple[int, ...],
        shape: int | tuple[int], T: float | Literal["global"] | None = ...,
        stride: int | None = ..., Q_fr: int | tuple[int] = ...,
        F: float | Literal["global"] | None = ..., stride_fr: int | None = ...,
        out_type: Literal["dict"], format: Literal["time", "joint"] = ...,
        backend: Backend | BackendObject = ..., padding: str = ..., paths: Any = ...,
        tier: Tier = ..., workspace: int | None = ...,
    ) -> None: ...  # fmt: skip
    def __init__(
        self,
        *,
        J: int,
        J_fr: int,
        Q: int | tuple[int, ...],
        shape: int | tuple[int],
        T: float | Literal["global"] | None = None,
        stride: int | None = None,
        Q_fr: int | tuple[int] = 1,
        F: float | Literal["global"] | None = None,
        stride_fr: int | None = None,
        out_type: Literal["array", "list", "dict"] = "array",
        format: Literal["time", "joint"] = "time",
        backend: Backend | BackendObject = "native",
        padding: str = "reflect",
        paths: Any = None,
        tier: Tier = "auto",
        workspace: int | None = None,
    ) -> None:
        super().__init__()
        plan = checked_joint(
            _CALLER, J, J_fr, Q, shape, T, stride, Q_fr, F, stride_fr, padding, paths
        )
        self._plan = plan
        self.input_shape: tuple[int, ...] = (plan.time.N,)
        self._use(backend, tier, workspace)
        self._out_type: str = one_of(_CALLER, "out_type", out_type, _OUT_TYPES)
        self._format: str = one_of(_CALLER, "format", format, _FORMATS)
        self._lay_out()
        self._start()

    _caller = _CALLER
    _assignable = ("out_type",)
    frontend_name = "torch"  # Kymatio's word

    # --- what it is ---

    @property
    def J(self) -> int:
        """The largest scale of the wavelets in time is ``2^J``."""
        return self._plan.time.J

    @property
    def J_fr(self) -> int:
        """Of those along log-frequency ``2^J_fr``."""
        return self._plan.J

    @property
    def Q(self) -> tuple[int, ...]:
        """Wavelets an octave in time, by order."""
        return self._plan.time.Q

    @property
    def Q_fr(self) -> tuple[int]:
        """Those along log-frequency."""
        return (self._plan.Q,)

    @property
    def shape(self) -> tuple[int]:
        """Length ``(N,)`` of the signals."""
        return (self._plan.time.N,)

    @property
    def T(self) -> float:
        """Samples that are averaged over."""
        return self._plan.time.T

    @property
    def F(self) -> float:
        """Places along log-frequency that are averaged over."""
        return self._plan.F

    @property
    def average(self) -> Literal["local", "global", False]:
        """How coefficients are averaged over time."""
        found = self._plan.time.average
        return False if found == "none" else found

    @property
    def average_fr(self) -> Literal["local", "global", False]:
        """How along log-frequency."""
        found = self._plan.average
        return False if found == "none" else found

    @property
    def stride(self) -> int:
        """Samples from one coefficient to the next."""
        return 1 << self.log2_stride

    @property
    def stride_fr(self) -> int:
        """Places from one coefficient to the next."""
        return 1 << self.log2_stride_fr

    @property
    def log2_T(self) -> int:
        """The largest power of two in ``T``."""
        return self._plan.time.log2_T

    @property
    def log2_F(self) -> int:
        """The largest power of two in ``F``."""
        return self._plan.log2_F

    @property
    def pad_left(self) -> int:
        """Samples before the signal."""
        return self._plan.time.before

    @property
    def pad_right(self) -> int:
        """Samples behind it."""
        return self._plan.time.padded - self._plan.time.N - self.pad_left

    @property
    def ind_start(self) -> dict[int, int]:
        """The first sample of the signal itself, by resolution."""
        return {res: self._plan.time.inside(res)[0] for res in self._resolutions()}

    @property
    def ind_end(self) -> dict[int, int]:
        """Behind its last sample."""
        return {res: self._plan.time.inside(res)[1] for res in self._resolutions()}

    @property
    def log2_stride(self) -> int:
        """Of the coefficients in time."""
        return self._plan.time.coarsest if self.average == "local" else self.log2_T

    @property
    def log2_stride_fr(self) -> int:
        """Along log-frequency."""
        return self._plan.log2_stride

    @property
    def phi_f(self) -> dict[str, Any]:
        """The low-pass as Kymatio lists it, at all resolutions."""
        deepest = max(psi.j for bank in self._plan.time.banks for psi in bank)
        N, T, j = self._plan.time.padded, self.T, self.log2_T
        return _listed(lowpass_band(N, T), N, max(deepest, 1 + j), Morlet(0, 0.1 / T, j))

    @property
    def psi1_f(self) -> list[dict[str, Any]]:
        """The wavelets in time of the first order."""
        return self._wavelets(0, lambda psi: 1)

    @property
    def psi2_f(self) -> list[dict[str, Any]]:
        """Those of the second."""
        before = min(max(psi.j for psi in self._plan.time.banks[0]), 1 + self.log2_T)
        return self._wavelets(1, lambda psi: max(min(before, psi.j), 1))

    @property
    def filters_fr(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The average along log-frequency, and the filters there."""
        plan, N = self._plan, self._plan.padded
        deepest = max(psi.j for psi in plan.bank[1:])

        def low(width: float, j: int, more: int) -> dict[str, Any]:
            psi = Morlet(0, 0.1 / width, j)
            return _listed(lowpass_band(N, width), N, max(more, 1 + j), psi)

        average = low(plan.F, self.log2_F, 0)
        bands = [
            _listed(wavelet_along(plan, n), N, 1, psi) for n, psi in enumerate(plan.bank) if psi.xi
        ]
        return average, [low(1 << plan.J, plan.J, deepest), *bands]

    @property
    def padding(self) -> str:
        """How a signal goes on."""
        return PADDING[self._plan.time.pad]

    @property
    def out_type(self) -> str:
        """``"array"``, ``"list"`` or ``"dict"``; can be assigned."""
        return self._out_type

    @out_type.setter
    def out_type(self, value: str) -> None:
        self._change(_out_type=one_of(_CALLER, "out_type", value, _OUT_TYPES))

    @property
    def format(self) -> str:
        """``"time"`` or ``"joint"``; can be assigned."""
        return self._format

    @format.setter
    def format(self, value: str) -> None:
        self._change(_format=one_of(_CALLER, "format", value, _FORMATS))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """``(C, n)`` or, of format "joint", ``(C, places, n)``, of ``out_type="array"``."""
        return self._laid.shape

    def output_size(self, detail: bool = False) -> int | tuple[int, ...]:
        """The number of channels; with ``detail`` that of each order."""
        orders = [len(row.path) for row in self._laid.channels]
        return tuple(orders.count(k) for k in range(3)) if detail else len(orders)

    def meta(self) -> dict[str, Any]:
        """Where every channel comes from, in the order of the channels (Kymatio's table is sorted
        otherwise than its channels where ``format`` is "time").

        Returns: ``"order" [C]``; ``"key"``, the paths; ``"n" [C, 2]``, ``n1`` (of format "joint"
            a range of them) and ``n2``; ``"xi"``, ``"sigma"``, ``"j" [C, 2]`` of these wavelets;
            ``"n_fr"``, ``"xi_fr"``, ``"sigma_fr"``, ``"j_fr"`` and ``"spin" [C]`` of that along
            log-frequency; NaN where there is none.
        """
        return self._laid.meta()

    def joint_meta(self) -> dict[str, Any]:
        """The joint paths, whatever the format.

        Returns: ``"key"``, ``()``, ``(n_fr,)`` or ``(n2, n_fr)``, as ``paths`` takes them; of each
            ``"order"``; ``"n2"``, ``"j"`` and ``"xi"`` of the wavelet in time that is not the first
            one; ``"n_fr"``, ``"spin"``, ``"j_fr"``, ``"xi_fr"`` and ``"sigma_fr"`` of that along
            log-frequency; NaN where there is none.
        """
        return self._plan.meta()

    # --- what it does ---

    def forward(self, x: Tensor) -> Output:
        """Coefficients of the signals ``x [..., N]``.

        Integers and half precision are computed in float32, float64 by a module in ``.double()``.

        Returns: ``[..., *output_shape]``, or as ``out_type`` says: of a list the dictionaries have
            ``coef``, ``order``, ``n``, ``j``, ``n_fr``, ``j_fr``, ``spin``, and of format "joint"
            ``n1_max`` and ``n1_stride``.
        """
        if isinstance(x, Proxy):
            return self._leaf(x)
        if self.out_type == "array":
            self._laid.check_array()
        x = self._checked(x, self._phi_0)
        found = [self._averaged(x, i) for i in range(len(self._texts))]
        if self.out_type == "array":
            rows = found[0].index_select(-2, self._index)
            if self.format == "joint":
                rows = rows.unflatten(-2, self._laid.shape[:-1])
            return cast("Output", rows)
        channels = self._laid.channels
        by_row = [self._coefficient(x, found, row) for row in channels]
        if self.out_type == "dict":
            named: Any = {row.n: coef for row, coef in zip(channels, by_row, strict=True)}
            return named
        listed: Any = [
            {"coef": coef, **self._about(row)} for row, coef in zip(channels, by_row, strict=True)
        ]
        return listed

    def scattering(self, x: Tensor) -> Output:
        """The same as calling the module (Kymatio's name)."""
        return self(x)

    def of_paths(self, paths: Any) -> TimeFrequencyScattering[Output]:
        """The same transform of some joint paths alone, as ``paths=`` chooses them.

        Example:
            >>> scattering = TimeFrequencyScattering(J=6, J_fr=3, Q=8, shape=4096, format="joint")
            >>> scattering.of_paths([(3, 2)]).output_shape
            (1, 15, 64)
        """
        plan, build = self._plan, cast("Any", TimeFrequencyScattering)
        T, F = (
            {"local": width, "global": "global", "none": 0}[average]
            for average, width in ((plan.time.average, plan.time.T), (plan.average, plan.F))
        )
        made: Any = build(
            J=self.J, J_fr=self.J_fr, Q=self.Q, shape=self.shape, Q_fr=self.Q_fr,
            T=None if T == 2**self.J else T,  # which may be longer than signals, and F than an axis
            F=None if F == 2**self.J_fr else F,
            stride=None if plan.time.stride is None else 1 << plan.time.stride,
            stride_fr=None if plan.stride is None else 1 << plan.stride,
            out_type=self.out_type, format=self.format, backend=self._backend,
            padding=self.padding, paths=paths, tier=self._tier, workspace=self._workspace,
        )  # fmt: skip
        made.train(self.training)
        made.to(self._phi_0.device, self._like.dtype)
        return made

    def extra_repr(self) -> str:
        plan = self._plan
        T, F = (
            "'global'" if average == "global" else f"{width if average != 'none' else 0:g}"
            for average, width in ((plan.time.average, plan.time.T), (plan.average, plan.F))
        )
        return (
            f"J={self.J}, J_fr={self.J_fr}, Q={self.Q}, shape={self.shape}, T={T}, "
            f"stride={self.stride}, Q_fr={self.Q_fr}, F={F}, stride_fr={self.stride_fr}, "
            f"out_type={self.out_type!r}, format={self.format!r}, backend={self.backend!r}, "
            f"padding={self.padding!r}"
        )

    # --- how ---

    _phi_0: Tensor
    _index: Tensor

    def _resolutions(self) -> range:
        return range(max(self.log2_T, self.J) + 1)

    def _wavelets(self, order: int, levels: Callable[[Morlet], int]) -> list[dict[str, Any]]:
        N = self._plan.time.padded
        bank = self._plan.time.banks[order]
        return [_listed(morlet_band(N, psi), N, levels(psi), psi) for psi in bank]

    def _why_not(self, x: Tensor) -> str:
        return "" if x.ndim else ": it should have at least one axis"  # as Kymatio says

    def _change(self, **changes: Any) -> None:
        before = {name: getattr(self, name) for name in changes}
        vars(self).update(changes)
        try:
            self._lay_out()
        except ValueError:  # it stays as it was
            vars(self).update(before)
            raise
        self._follow(anew=True)

    def _lay_out(self) -> None:
        """The programs, and which rows of theirs the channels are."""
        alike = self.format == "joint" and self.out_type == "array" and bool(self.average_fr)
        self._laid = Rows(self._plan, self.format, alike)
        self._texts = [joint.program.text for joint in self._laid.joints]

    def _averaged(self, x: Tensor, i: int) -> Tensor:
        """The rows ``[..., rows, n]`` of a program, averaged along log-frequency."""
        joint = self._laid.joints[i]
        packed = Packed(*(getattr(self, f"_{name}_{i}") for name in Packed._fields))
        S = self._scattered(x, packed, self._texts[i])
        if self.average == "global":
            S = (S * getattr(self, f"_points_{i}"))[..., None]
        first = joint.planes[0].first if joint.planes else S.shape[-2]
        parts = [S[..., :first, :]] if first else []
        for planes in joint.planes:
            places = self._plan.padded >> planes.kind.resolution
            count = len(planes.paths)
            part = S[..., planes.first : planes.first + count * places, :]
            kind = planes.kind
            matrix = getattr(self, f"_along_{i}_{kind.resolution}_{kind.later:d}", None)
            if matrix is not None:
                part = _along(part.unflatten(-2, (count, places)), matrix).flatten(-3, -2)
            parts.append(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts, -2)

    def _coefficient(self, x: Tensor, found: list[Tensor], row: Row) -> Tensor:
        if row.program < 0:
            return x.clone()  # nobody's but the caller's
        rows = found[row.program][..., row.first : row.first + row.rows, :]
        return rows if self.format == "joint" and row.path else rows.squeeze(-2)

    def _about(self, row: Row) -> dict[str, Any]:
        """What Kymatio lists of a path, but its coefficients."""
        if not row.path:
            return {"j": (), "n": (), "order": 0}
        plan, n_fr = self._plan, row.path[-1]
        j = (-1, plan.time.banks[1][row.path[0]].j) if len(row.path) == 2 else (-1,)
        found = {"j": j, "n": row.n, "order": len(row.path), "n_fr": (n_fr,)}
        found |= {"j_fr": (plan.bank[n_fr].j,), "spin": plan.spin(n_fr)}
        if self.format == "joint":
            found |= {"n1_max": plan.length(row.path), "n1_stride": row.n1.step}
        return found

    def _make(self, dtype: torch.dtype) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for i, joint in enumerate(self._laid.joints):
            packed = tensors(pack_joint(self._plan, joint, numpy_dtype(dtype)))
            made |= {f"_{name}_{i}": tensor for name, tensor in packed._asdict().items()}
            for planes in joint.planes:
                matrix = self._laid.matrix(planes.kind)
                name = f"_along_{i}_{planes.kind.resolution}_{planes.kind.later:d}"
                if matrix is not None:
                    made[name] = torch.tensor(matrix, dtype=dtype, device="cpu")
            if self.average == "global":
                points = torch.tensor(self._laid.points(joint), dtype=dtype, device="cpu")
                made[f"_points_{i}"] = points
        if self.out_type == "array":
            made["_index"] = torch.tensor(self._laid.index, dtype=torch.int64, device="cpu")
        if not self._texts:  # order 0 alone, not averaged: its dtype and device
            made["_phi_0"] = torch.zeros(0, dtype=dtype)
        made["_phi_0"] = made.pop("_phi_0")  # what is looked at last tells the dtype
        return made


def _listed(band: Band, N: int, levels: int, psi: Morlet) -> dict[str, Any]:
    """A filter as Kymatio lists it."""
    made = list(map(torch.from_numpy, levels_of(band, N, levels, "sum")))
    return {"levels": made, "N": N} | psi._asdict()


@in_full_precision
def _along(part: Tensor, matrix: Tensor) -> Tensor:
    """A matrix along log-frequency, ``[..., places, n]``."""
    return matrix @ part
