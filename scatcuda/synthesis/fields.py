"""Fields of given statistics: textures, noise taken away, mixtures taken apart."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from ..arguments import ArgumentError, InputError, boolean, integer, positive, told
from ..transforms.covariance import ScatteringCovariance
from .descent import Descent, Loss, called, descend, functions

_SEEDS = 1 << 63  # how many there are

#: what gives the statistics of fields ``[n, *shape]``
Statistics = Callable[[Tensor], Tensor]


@dataclass
class Synthesis(Descent):
    """Fields that were made, and how near they are. :func:`scatcuda.draw.synthesis.draw_synthesis`
    draws them.

    Attributes:
        target: the field whose statistics they were to have; None where only those are known.
        errors: of each block of statistics, relative to the target's, the L2 distance of the worst
            field; with ``ensemble`` of their mean.
    Example:
        >>> made = synthesise(torch.randn(16, 16), ScatteringCovariance((16, 16), J=2), steps=2)
        >>> sorted(made.errors)
        ['S1', 'S2', 'S3', 'S4', 'mean']
    """

    target: Tensor | None = None
    errors: dict[str, float] = field(default_factory=dict)


def gaussian_like(target: Tensor, n: int = 1, seed: int = 0) -> Tensor:
    """Gaussian fields ``[n, *shape]`` of the mean and the power spectrum of ``target``: its phases
    are replaced by those of white noise.

    Args:
        target: ``[*shape]``.
        n: how many.
        seed: of the noise.
    Raises: TypeError, ValueError: an argument is none of these.
    Example:
        >>> x = torch.rand(16, 16)
        >>> made = gaussian_like(x, n=3)
        >>> made.shape, bool((made.mean((1, 2)) - x.mean()).abs().max() < 1e-5)
        (torch.Size([3, 16, 16]), True)
    """
    caller = "gaussian_like"
    _check_numbers(caller, "target", target)
    n = integer(caller, "n", n, 1)
    dims = tuple(range(-target.ndim, 0))
    noise = torch.fft.fftn(white_noise(caller, (n, *target.shape), seed, target), dim=dims)
    spectrum = torch.fft.fftn(target - target.mean())
    noise = noise / noise.abs().clamp_min(torch.finfo(target.dtype).tiny)
    return torch.fft.ifftn(noise * spectrum.abs(), dim=dims).real + target.mean()


def power_spectrum(x: Tensor, rank: int | None = None) -> Tensor:
    """The mean of ``|x_hat|^2 / points`` over rings ``r - 1/2 <= |k| < r + 1/2`` of frequencies,
    ``[..., r]`` for r from 0 to half the shortest side.

    Args:
        x: fields ``[..., *shape]``.
        rank: dimensions of a field; default 2, of tensors of one dimension 1.
    Raises: TypeError, ValueError: ``x`` is no such tensor of numbers.
    Example:
        >>> power_spectrum(torch.ones(8, 8))
        tensor([64.,  0.,  0.,  0.,  0.])
    """
    caller = "power_spectrum"
    if not isinstance(x, Tensor) or not x.ndim or not x.numel():
        raise InputError(f"{caller}: x must be a tensor [..., *shape] of fields; got {told(x)}")
    rank = integer(caller, "rank", min(2, x.ndim) if rank is None else rank, 1, x.ndim)
    dims, sides = tuple(range(-rank, 0)), x.shape[-rank:]
    energy = torch.fft.fftn(x, dim=dims).abs().square() / math.prod(sides)
    # k in units of the longest wave of the shortest side
    waves = [torch.fft.fftfreq(n, device=x.device) * min(sides) for n in sides]
    squares = [wave.reshape(-1, *(1,) * (rank - 1 - i)) ** 2 for i, wave in enumerate(waves)]
    ring = (sum(squares[1:], squares[0]).sqrt() + 0.5).long().flatten()
    count = min(sides) // 2 + 1
    kept = ring < count
    index = ring[kept]
    sums = energy.new_zeros(*energy.shape[:-rank], count)
    sums.index_add_(-1, index, energy.flatten(-rank)[..., kept])
    return sums / torch.bincount(index, minlength=count)


def synthesise(
    target: Tensor | Mapping[str, Tensor],
    statistics: Statistics | None = None,
    *,
    n: int = 1,
    init: Literal["gaussian", "noise"] | Tensor = "gaussian",
    losses: Sequence[Callable[[Tensor], Tensor]] = (),
    mask: Tensor | None = None,
    ensemble: bool = False,
    levels: int = 1,
    seed: int = 0,
    **how: Any,
) -> Synthesis:
    """Make fields of the same statistics as another one.

    From noise, by gradient descent on ``sum_blocks |s(x) - s(target)|^2 / |s(target)|^2``. With a
    :class:`~scatcuda.ScatteringCovariance` the statistics are normalised by the powers of the
    target, which stay as they are, and S3 and S4 count twice.

    Args:
        target: a field ``[*shape]``, or several ``[k, *shape]``, the mean of whose statistics is
            wanted; or statistics of a :class:`~scatcuda.ScatteringCovariance` that does not
            normalise, blocks by name as its method ``statistics`` gives them.
        statistics: from fields ``[n, *shape]`` to vectors ``[n, K]``, a module or a function;
            default scattering covariances of all octaves.
        n: how many.
        init: where to start: ``"gaussian"``, noise of the target's power spectrum,
            :func:`gaussian_like`, or where only statistics are known of their powers S2;
            ``"noise"``, white noise of its mean and variance; or fields.
        losses: further losses to be added, :class:`Loss` or any function of the fields; of levels
            at the last.
        mask: 0 where a field stays as it was at the start, 1 where it is made, and from one to the
            other between; ``[*shape]``. Without levels.
        ensemble: whether the mean of the fields' statistics is wanted, not those of each.
        levels: how many resolutions to go through, from fields ``2^(levels - 1)`` times smaller on,
            each beginning with what was made at the one before.
        seed: of the start.
        **how: as :func:`descend` takes it: ``steps`` of every level, ``optimiser``, ``callback``,
            ``progress``, ``checkpoint``, ``resume``, ….
    Raises:
        TypeError, ValueError: an argument is none of these.
    Source: S. Cheng et al., "Scattering spectra models for physics", 2023; S. Zhang and S. Mallat,
        "Maximum entropy models from phase harmonic covariances", 2021.
    Example: see :mod:`scatcuda.synthesis`
    """
    caller = "synthesise"
    n, levels = integer(caller, "n", n, 1), integer(caller, "levels", levels, 1, 24)
    seed = integer(caller, "seed", seed, 0, _SEEDS - 1)
    boolean(caller, "ensemble", ensemble)
    _check_statistics(caller, statistics)
    losses = functions(caller, losses)
    fields: Tensor | None = None
    model: _Model
    if isinstance(target, Mapping):
        if not isinstance(statistics, ScatteringCovariance) or statistics.normalise:
            raise ArgumentError(
                f"{caller}: statistics must be a ScatteringCovariance(normalise=False) where "
                "target is statistics"
            )
        if levels > 1:
            raise ArgumentError(f"{caller}: levels must be 1 where target is statistics")
        sides = statistics.shape
        model = _Covariance.of_blocks(statistics, target)
    else:
        fields = _checked_fields(caller, target, statistics)
        sides = tuple(fields.shape[1:])
        if statistics is None:
            statistics = ScatteringCovariance(sides).to(fields.device, fields.dtype)
        if levels > 1:
            if mask is not None:
                raise ArgumentError(f"{caller}: a mask is for levels = 1; got levels = {levels}")
            init = _coarser(fields, statistics, n, init, ensemble, levels, seed, how)
        model = _model(statistics, fields)
    start = _start(caller, init, fields, model, (n, *sides), seed)
    terms: list[Callable[[Tensor], Tensor]] = [
        Loss(
            model,
            model.target,
            blocks=model.sizes,
            counts=model.counts,
            mean=ensemble,
            least=model.least,
        ),
        *losses,
    ]
    kept = None if mask is None else _kept(caller, mask, start)
    found = descend(start, terms, of=kept, **how)
    shown = fields[0] if fields is not None else None
    with torch.no_grad():
        errors = model.errors(found.x, ensemble)
    return _made(found, shown, errors)


def denoise(
    observed: Tensor, noise: Tensor, statistics: Statistics | None = None, **how: Any
) -> Synthesis:
    """What looks like the observed field once noise is added to it: the least that was there.

    Minimises ``mean_i |s(u + noise_i) - s(observed)|^2`` by blocks, from ``u = observed`` on. Few
    realisations are fitted themselves before long: take more of them, or fewer ``steps``.

    Args:
        observed: ``[*shape]``.
        noise: realisations ``[k, *shape]`` of what was added.
        statistics, how: as for :func:`synthesise`.
    Raises: TypeError, ValueError: an argument is none of these.
    Source: B. Regaldo-Saint Blancard et al., "A new approach for the statistical denoising of
        Planck interstellar dust polarization data", A&A 2021; J.-M. Delouis et al., A&A 2022.
    Example:
        >>> clean = torch.sin(torch.arange(32.0))[:, None].expand(32, 32)
        >>> noise = 0.3 * torch.randn(4, 32, 32)
        >>> denoise(clean + noise[0], noise[1:], steps=1).x.shape
        torch.Size([1, 32, 32])
    """
    caller = "denoise"
    _check_statistics(caller, statistics)
    fields = _checked_fields(caller, observed, statistics)
    _check_numbers(caller, "noise", noise)
    if noise.ndim != fields.ndim or noise.shape[1:] != fields.shape[1:] or len(fields) != 1:
        raise InputError(
            f"{caller}: noise must be [k, *shape] as observed [*shape] is; got "
            f"{tuple(noise.shape)} and {tuple(observed.shape)}"
        )
    if statistics is None:
        statistics = ScatteringCovariance(fields.shape[1:]).to(fields.device, fields.dtype)
    model, noise = _model(statistics, fields), noise.detach().to(fields)
    loss = Loss(
        model,
        model.target,
        blocks=model.sizes,
        counts=model.counts,
        least=model.least,
        of=functools.partial(torch.add, noise),
    )
    found = descend(fields, [loss], **how)
    with torch.no_grad():
        errors = model.errors(found.x + noise, False)
    return _made(found, fields[0], errors)


def separate(
    mixture: Tensor,
    first: Tensor,
    second: Tensor,
    statistics: Statistics | None = None,
    *,
    init: Tensor | None = None,
    weights: tuple[float, float] = (1.0, 1.0),
    **how: Any,
) -> Synthesis:
    """Take a mixture ``u + v`` apart, of whose components other examples are known: ``u`` has the
    statistics of ``first``, what is left of the mixture those of ``second``.

    Args:
        mixture: ``[*shape]``.
        first, second: examples ``[*shape]`` or ``[k, *shape]``, whose mean statistics are meant.
        init: the first ``u``; default half the mixture.
        weights: of the two losses.
        statistics, how: as for :func:`synthesise`.
    Raises: TypeError, ValueError: an argument is none of these.
    Returns: ``x [1, *shape]`` is ``u``; ``mixture - x`` the other.
    Source: C. Auclair et al., "Separation of dust emission from the cosmic infrared background in
        Herschel observations with wavelet phase harmonics", A&A 2024.
    Example:
        >>> lines, dots = torch.zeros(32, 32), torch.zeros(32, 32)
        >>> lines[::4], dots[::8, ::8] = 1.0, 1.0
        >>> separate(lines + dots, lines.roll(1, 0), dots.roll(3, 1), steps=1).x.shape
        torch.Size([1, 32, 32])
    """
    caller = "separate"
    _check_statistics(caller, statistics)
    pair = _pair(caller, weights)
    whole = _checked_fields(caller, mixture, statistics)
    if statistics is None:
        statistics = ScatteringCovariance(whole.shape[1:]).to(whole.device, whole.dtype)
    models = [_model(statistics, _checked_fields(caller, f, statistics)) for f in (first, second)]
    terms = [
        Loss(m, m.target, weight, of=of, blocks=m.sizes, counts=m.counts, least=m.least)
        for m, weight, of in zip(
            models, pair, (None, functools.partial(torch.sub, whole)), strict=True
        )
    ]
    start = whole / 2 if init is None else _checked_fields(caller, init, statistics)
    if start.shape != whole.shape:
        raise InputError(f"{caller}: init must have the mixture's shape {tuple(mixture.shape)}")
    found = descend(start, terms, **how)
    with torch.no_grad():
        both = models[0].errors(found.x, False), models[1].errors(whole - found.x, False)
    errors = {
        f"{name} of {which}": error
        for which, found_errors in zip(("u", "v"), both, strict=True)
        for name, error in found_errors.items()
    }
    return _made(found, whole[0], errors)


def _made(found: Descent, target: Tensor | None, errors: dict[str, float]) -> Synthesis:
    return Synthesis(
        found.x, found.history, found.seconds, found.state, target, errors,
        signature=found.signature,
    )  # fmt: skip


# --- statistics of a target -------------------------------------------------------------------


class _Plain:
    """Any statistics, one block."""

    def __init__(self, statistics: Statistics, fields: Tensor) -> None:
        self.statistics = statistics
        with torch.no_grad():
            self.target = self(fields).mean(0)
        self.sizes: list[int] | None = None
        self.counts: list[float] | None = None
        self.least: list[float] | None = None

    def __repr__(self) -> str:
        return called(self.statistics)

    def __call__(self, x: Tensor) -> Tensor:
        found = self.statistics(x)
        if not isinstance(found, Tensor) or found.shape[:1] != x.shape[:1]:
            raise InputError("statistics must give a tensor [n, K] for fields [n, *shape]")
        return found.flatten(1)

    def errors(self, x: Tensor, ensemble: bool) -> dict[str, float]:
        return {"all": _distance(self(x), self.target, ensemble)}


class _Covariance:
    """Scattering covariances in units of the target's powers, by blocks."""

    def __init__(self, covariance: ScatteringCovariance, power: Tensor) -> None:
        self.covariance = covariance
        if covariance.isotropic:
            power = power.mean(-1, keepdim=True).expand_as(power)
        self.power = power
        self.units = None if covariance.normalise else covariance.units(power)
        self.names, self.sizes = [*covariance.sizes], [*covariance.sizes.values()]
        # the others are near long before these: counting twice they come a quarter nearer
        self.counts: list[float] | None = [1.0 + (name in ("S3", "S4")) for name in self.names]
        # A mean that is but a hundredth of the fluctuations, or 0, is compared with those. It is in
        # units of the root of all powers, of which each angle has its share.
        fluctuation = 1 / math.sqrt(power.shape[-1])
        self.least: list[float] | None = [
            0.01 * fluctuation if name == "mean" else 0.0 for name in self.names
        ]
        self.target: Tensor

    @staticmethod
    def of_fields(covariance: ScatteringCovariance, fields: Tensor) -> _Covariance:
        with torch.no_grad():
            found = _Covariance(covariance, covariance.power(fields).mean(0))
            found.target = found(fields).mean(0)
        return found

    @staticmethod
    def of_blocks(covariance: ScatteringCovariance, blocks: Mapping[str, Tensor]) -> _Covariance:
        with torch.no_grad():
            try:
                vector = covariance.join(dict(blocks))
                power = blocks["S2"]
                if covariance.isotropic:
                    power = power.unsqueeze(-1).expand(*power.shape, covariance.L)
                found = _Covariance(covariance, power)
                assert found.units is not None
                found.target = vector * found.units
            except (KeyError, RuntimeError, AttributeError, IndexError) as error:
                raise InputError(
                    "synthesise: target must be blocks as the method statistics() of the same "
                    f"ScatteringCovariance gives them, of one field: {error}"
                ) from None
        if found.target.shape != covariance.output_shape:
            raise InputError(
                f"synthesise: target must be {covariance.output_shape[0]} statistics of one field; "
                f"got {tuple(found.target.shape)}"
            )
        return found

    def __repr__(self) -> str:
        return called(self.covariance)

    def __call__(self, x: Tensor) -> Tensor:
        if self.units is None:
            return self.covariance(x, self.power)
        return self.covariance(x) * self.units

    def errors(self, x: Tensor, ensemble: bool) -> dict[str, float]:
        found = self(x).split(self.sizes, -1)
        target = self.target.split(self.sizes, -1)
        least = self.least or [0.0] * len(self.names)
        parts = zip(self.names, found, target, least, strict=True)
        return {name: _distance(a, b, ensemble, size) for name, a, b, size in parts}


_Model: TypeAlias = _Plain | _Covariance


def _model(statistics: Statistics, fields: Tensor) -> _Model:
    model: _Model
    if isinstance(statistics, ScatteringCovariance):
        model = _Covariance.of_fields(statistics, fields)
    else:
        model = _Plain(statistics, fields)
    if not bool(model.target.isfinite().all()):
        raise InputError(
            "statistics of a field must be finite: its values are too small, or too large, for "
            f"their products in {fields.dtype}, or its statistics are not; scale it"
        )
    return model


def _distance(found: Tensor, target: Tensor, ensemble: bool, least: float = 0.0) -> float:
    if ensemble:
        found = found.mean(0, keepdim=True)
    size = target.norm().clamp(min=least)
    return float(((found - target).norm(dim=-1) / (size if size > 0 else 1)).max())


# --- where to start ---------------------------------------------------------------------------


def _checked_fields(caller: str, x: Any, statistics: Statistics | None) -> Tensor:
    """Fields ``[k, *shape]``."""
    _check_numbers(caller, "a field", x)
    shape = getattr(statistics, "input_shape", None)
    rank = len(shape) if shape is not None else min(2, x.ndim)
    if x.ndim not in (rank, rank + 1) or (shape is not None and x.shape[-rank:] != shape):
        sides = "*shape" if shape is None else ", ".join(map(str, shape))
        raise InputError(
            f"{caller}: a field must be [{sides}] or [k, {sides}]; got shape {tuple(x.shape)}"
        )
    return x.detach() if x.ndim > rank else x.detach().unsqueeze(0)


def _check_numbers(caller: str, name: str, x: Any) -> None:
    if (
        not isinstance(x, Tensor)
        or x.dtype not in (torch.float32, torch.float64)
        or not x.numel()
        or not x.ndim
        or not bool(x.isfinite().all())
    ):
        raise InputError(
            f"{caller}: {name} must be a real floating tensor of finite numbers, float32 or "
            f"float64; got {told(x)}"
        )


def _check_statistics(caller: str, statistics: Any) -> None:
    if statistics is not None and not callable(statistics):
        raise TypeError(
            f"{caller}: statistics must be a module or a function; got {told(statistics)}"
        )


def _pair(caller: str, weights: Any) -> tuple[float, float]:
    if not isinstance(weights, Sequence) or isinstance(weights, str) or len(weights) != 2:
        raise TypeError(f"{caller}: weights must be a pair of numbers; got {told(weights)}")
    first, second = (positive(caller, "each of weights", weight) for weight in weights)
    return first, second


def white_noise(caller: str, shape: Sequence[int], seed: int, like: Tensor) -> Tensor:
    """White noise that does not depend on the device."""
    seed = integer(caller, "seed", seed, 0, _SEEDS - 1)
    generator = torch.Generator().manual_seed(seed)
    made = torch.randn(tuple(shape), generator=generator, dtype=torch.float64, device="cpu")
    return made.to(like)


def _start(
    caller: str, init: Any, fields: Tensor | None, model: _Model, shape: tuple[int, ...], seed: int
) -> Tensor:
    if isinstance(init, Tensor):
        _check_numbers(caller, "init", init)
        if tuple(init.shape) not in (shape, shape[1:]):
            raise InputError(f"{caller}: init must be fields {shape}; got {tuple(init.shape)}")
        return init.detach().expand(shape).to(model.target)
    if not isinstance(init, str) or init not in ("gaussian", "noise"):
        raise ArgumentError(
            f"{caller}: init must be 'gaussian', 'noise' or fields; got {told(init)}"
        )
    if fields is None:
        assert isinstance(model, _Covariance)
        return _of_powers(model, shape, seed, init == "gaussian")
    picked = fields[torch.arange(shape[0], device=fields.device) % len(fields)]
    if init == "noise":
        dims = tuple(range(1, picked.ndim))
        deviation, mean = picked.std(dims, keepdim=True), picked.mean(dims, keepdim=True)
        return white_noise(caller, shape, seed, fields) * deviation + mean
    made = [gaussian_like(f, 1, (seed + i) % _SEEDS)[0] for i, f in enumerate(picked)]
    return torch.stack(made)


def _of_powers(model: _Covariance, shape: tuple[int, ...], seed: int, coloured: bool) -> Tensor:
    """Noise of the mean and the powers of a target that is not there; white, or of the spectrum
    that the powers tell of the wavelets' frequencies."""
    covariance, dims = model.covariance, tuple(range(1, len(shape)))
    power = model.power.double().cpu()
    given, expected = torch.zeros(shape[1:]).double(), torch.zeros(shape[1:]).double()
    for j in range(len(power)):
        energy = covariance.wavelets(j).square()
        ratio = power[j] / energy.mean(tuple(range(1, energy.ndim)))  # to that of white noise
        given += torch.einsum("l,l...->...", ratio, energy)
        expected += energy.sum(0)
    if coloured:  # of a real field, both halves of the frequencies alike
        given, expected = (
            f + f.flip(*range(f.ndim)).roll((1,) * f.ndim, tuple(range(f.ndim)))
            for f in (given, expected)
        )
        gain = torch.where(expected > 1e-6 * expected.max(), given / expected, 0.0).sqrt()
    else:
        gain = (given.sum() / expected.sum()).sqrt().expand(shape[1:])
    spectrum = torch.fft.fftn(white_noise("synthesise", shape, seed, model.target), dim=dims)
    found = torch.fft.ifftn(spectrum * gain.to(model.target), dim=dims).real
    return found + model.target[0] * model.power.sum().sqrt()


def _coarser(
    fields: Tensor, statistics: Statistics, n: int, init: Any, ensemble: bool, levels: int,
    seed: int, how: Mapping[str, Any],
) -> Tensor:  # fmt: skip
    """Fields made at half the resolution, enlarged, with the fine details of noise."""
    caller = "synthesise"
    if not isinstance(statistics, ScatteringCovariance):
        raise ArgumentError(f"{caller}: levels need a ScatteringCovariance")
    sides = tuple(fields.shape[1:])
    if any(side % 2 or side < 64 for side in sides):
        raise ArgumentError(
            f"{caller}: every level halves the sides, which must be even and at least 64; got "
            f"{sides}"
        )
    if how.get("resume") is not None or how.get("checkpoint") is not None:
        raise ArgumentError(f"{caller}: checkpoint and resume are for levels = 1")
    half = tuple(side // 2 for side in sides)
    coarse = _resized(fields, half)
    smaller = statistics.resized(half)
    start = _resized(init, half) if isinstance(init, Tensor) else init
    made = synthesise(
        coarse, smaller, n=n, init=start, ensemble=ensemble, levels=levels - 1, seed=seed, **how
    ).x
    noise = _start(caller, "gaussian", fields, _model(statistics, fields), (n, *sides), seed)
    return _resized(made, sides) + noise - _resized(_resized(noise, half), sides)


def _resized(x: Tensor, sides: tuple[int, ...]) -> Tensor:
    """Fields with as many of their lowest frequencies as fit in ``sides``."""
    dims = tuple(range(-len(sides), 0))
    spectrum = torch.fft.fftn(x, dim=dims)
    for dim, new in zip(dims, sides, strict=True):
        old = x.shape[dim]
        kept = min(old, new)
        low, high = (kept + 1) // 2, kept // 2
        head = spectrum.narrow(dim, 0, low)
        tail = spectrum.narrow(dim, old - high, high)
        gap = list(spectrum.shape)
        gap[dim] = new - kept
        spectrum = torch.cat([head, spectrum.new_zeros(gap), tail], dim)
    scale = math.prod(sides) / math.prod(x.shape[-len(sides) :])
    return torch.fft.ifftn(spectrum, dim=dims).real * scale


def _kept(caller: str, mask: Any, start: Tensor) -> Callable[[Tensor], Tensor]:
    """What of an unknown is meant where the start stays where the mask is 0."""
    if not isinstance(mask, Tensor) or mask.shape != start.shape[1:]:
        raise InputError(f"{caller}: mask must have the shape of a field, {tuple(start.shape[1:])}")
    if mask.is_complex() or not bool(((mask >= 0) & (mask <= 1)).all()):
        raise InputError(f"{caller}: mask must be from 0 to 1; got {told(mask)}")
    weight = mask.detach().to(start)
    return functools.partial(_between, weight, (1 - weight) * start)


def _between(weight: Tensor, rest: Tensor, x: Tensor) -> Tensor:
    return weight * x + rest
