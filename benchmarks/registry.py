"""The registry of benchmark cases.

A `Case` is a set-up with a `Problem` (sizes; the input follows from a fixed seed). Setting it up
gives a `Work`: for each implementation a function that does the same work, and the exact answer
in float64. The implementations are

    scatcuda        the native engine of the device
    kymatio         kymatio.torch.Scattering2D of Kymatio 0.3.0, left out when it cannot be imported
                    (jointly in time and frequency its development branch's, where the variable
                    KYMATIO_DEVELOPMENT has the place of a checkout)
    per-path loop   on a GPU, stands in for Kymatio where that cannot be imported: per_path.py
    twin            scatcuda's plain-PyTorch twin: backend="reference", or scatcuda.reference; of
                    order 3 scatcuda.Cascade, the cascade by the stages' operators
    compiled twin   the same under torch.compile
    … tier          scatcuda with one of the two tiers of its GPU engine forced

and in cases of the kind "backend" scatcuda is Kymatio's class on scatcuda.kymatio.backend2d.

A new kind of case (with a gradient, on another device) is a new set-up function and lines in
`CASES`; nothing that times, checks or prints needs to know.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import itertools
import math
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import scatcuda
from scatcuda import banks, ops
from scatcuda.kymatio import backend2d
from scatcuda.ops import reference

from . import process
from .per_path import PerAngle, PerPath

OURS = "scatcuda"
STAND_IN = "per-path loop"
ON_OUR_BACKEND = "kymatio on our backend"
TIERS = {"general tier": "general", "fused tier": "fused"}
CHECKED = 8  # images of a batch whose coefficients are held against float64


@dataclass(frozen=True)
class Problem:
    """`batch` images of size `shape`, scattered at scale 2^J with `L` angles up to order 2; a
    colour image is three planes. Signals of one length have `L` wavelets an octave, densities
    degrees up to `L`."""

    J: int
    shape: tuple[int, ...]
    batch: int = 1
    L: int = 8
    colour: bool = False

    def __str__(self) -> str:
        rgb = " RGB" if self.colour else ""
        octaves = {1: f" Q={self.L}", 2: "", 3: f" L={self.L}"}[len(self.shape)]
        sides = "x".join(map(str, self.shape))
        return f"{sides} J={self.J}{octaves} batch {self.batch}{rgb}"

    @property
    def planes(self) -> int:
        return self.batch * (3 if self.colour else 1)

    def tiny(self) -> Problem:
        """The same transform, of few scales, of at most two small images, or signals."""
        times, scales = {1: (16, 6), 2: (4, 3), 3: (2, 2)}[len(self.shape)]
        J = min(self.J, scales)
        shape = tuple(min(size, times * 2**J) for size in self.shape)
        return replace(self, J=J, shape=shape, batch=min(self.batch, 2))

    def images(self, device: torch.device | str = "cpu") -> Tensor:
        """White noise, float32 [batch, M, N] or in colour [batch, 3, M, N], the same in every
        process and on every device."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(self.planes, *self.shape, generator=generator)
        return (x.unflatten(0, (self.batch, 3)) if self.colour else x).to(device)

    def some(self, batch: Tensor) -> Tensor:
        """The images that are checked, from the first to the last of a batch."""
        picked = torch.linspace(0, self.batch - 1, min(self.batch, CHECKED)).round().long()
        return batch[picked.to(batch.device)]


@dataclass(frozen=True)
class Peer:
    """One implementation's run; `threads` overrides the thread count of the whole report, `--quick`
    leaves out what is `slow`."""

    run: Callable[[], Any]
    threads: int | None = None
    slow: bool = False


@dataclass(frozen=True)
class Work:
    """A case that has been set up. `peers` starts with ours; `exact` is the float64 answer, and
    `values` takes out of a run's result the tensor to hold against it."""

    peers: dict[str, Peer]
    exact: Callable[[], Tensor]
    values: Callable[[Any], Tensor] = field(default=lambda result: result)
    images: int = 1


@dataclass(frozen=True)
class Case:
    """One line of the report. `target` is the wanted ratio (time of `rival`) / (our time), `most`
    the wanted microseconds an image; `--quick` leaves out what is `slow`."""

    name: str
    setup: Callable[[Problem, torch.device], Work]
    problem: Problem
    kind: str
    target: float | None = None
    most: float | None = None
    rival: str = "kymatio"
    device: str = "cpu"
    slow: bool = False

    def start(self, tiny: bool = False) -> Work:
        """Build inputs and modules, `tiny` ones for the tests; nothing here is timed."""
        problem = self.problem.tiny() if tiny else self.problem
        return self.setup(problem, torch.device(self.device))


@dataclass(frozen=True)
class Probe:
    """A quantity that is measured in processes of its own and should be at most `target`.

    `measure(quick)` returns one figure for each implementation, in `unit`.
    """

    name: str
    measure: Callable[[bool], dict[str, float]]
    unit: str
    target: float


# ---------------------------------------------------------------- implementations


@functools.cache
def kymatio_missing() -> str | None:
    """Why there is no Kymatio to compare with, as a sentence; None when it can be imported."""
    try:
        importlib.import_module("kymatio.torch")
    except Exception as error:  # an incompatible SciPy raises more than ImportError
        return (
            f"Kymatio is left out, it cannot be imported ({type(error).__name__}: {error}). "
            'It can be had with: pip install kymatio==0.3.0 "scipy<1.17"'
        )
    return None


def implementations(device: torch.device | str = "cpu") -> list[str]:
    """Names of the implementations of the whole transform that can run here, ours first."""
    stand_in = [STAND_IN] if torch.device(device).type == "cuda" else []
    return [OURS, *(stand_in if kymatio_missing() else ["kymatio"]), "twin"]


def build(name: str, problem: Problem) -> Any:
    """A new order-2 Scattering2D module of the named implementation."""
    arguments: dict[str, Any] = {
        "J": problem.J,
        "shape": problem.shape,
        "L": problem.L,
        "max_order": 2,
    }
    if name in ("kymatio", ON_OUR_BACKEND):
        arguments["backend"] = "torch" if name == "kymatio" else backend2d
        return importlib.import_module("kymatio.torch").Scattering2D(**arguments)
    if name == STAND_IN:
        return PerPath(problem.J, problem.shape, problem.L)
    if name in TIERS:
        return scatcuda.Scattering2D(**arguments, tier=TIERS[name])
    backend = {OURS: "native", "twin": "reference"}[name]
    return scatcuda.Scattering2D(**arguments, backend=backend)


@functools.cache
def _module(name: str, J: int, shape: tuple[int, int], L: int) -> Any:
    """Cases that differ only in the batch share their modules: Kymatio's take seconds to build."""
    return build(name, Problem(J, shape, L=L))


def module(name: str, problem: Problem, device: torch.device | str = "cpu") -> Any:
    """A shared Scattering2D module of the named implementation, on `device`."""
    return _module(name, problem.J, problem.shape, problem.L).to(device)


def exact_transform(problem: Problem, device: torch.device | str = "cpu") -> Tensor:
    """The plain-PyTorch twin in float64, of the images that are checked."""
    x = problem.some(problem.images(device)).double()
    return build("twin", problem).to(device).double()(x)


def coefficients_like(problem: Problem, device: torch.device | str) -> Tensor:
    """White noise in the shape of the coefficients [batch, C, m, n], the same everywhere."""
    C, m, n = module(OURS, problem, device).output_shape
    noise = Problem(problem.J, (m, n), problem.planes * C).images(device)
    lead = (problem.batch, 3) if problem.colour else (problem.batch,)
    return noise.reshape(*lead, C, m, n)


def gradient(transform: Any, x: Tensor, g: Tensor) -> Tensor:
    """Of <g, S x> for the images x."""
    S = transform(x)
    return torch.autograd.grad(S, x, g.reshape(S.shape))[0]


def exact_gradient(problem: Problem, g: Tensor) -> Tensor:
    """The twin's in float64, of the images that are checked."""
    x = problem.some(problem.images(g.device)).double().requires_grad_()
    S = build("twin", problem).to(g.device).double()(x)
    return torch.autograd.grad(S, x, problem.some(g).double())[0]


# ---------------------------------------------------------------- set-ups


def setup_transform(problem: Problem, device: torch.device) -> Work:
    """x [batch, M, N] -> S [batch, C, M/2^J, N/2^J]."""
    x = problem.images(device)
    peers = {
        name: Peer(functools.partial(module(name, problem, device), x))
        for name in implementations(device)
    }
    exact = functools.partial(exact_transform, problem, device)
    return Work(peers, exact, problem.some, problem.batch)


@functools.cache
def _signals(name: str, J: int, N: int, Q: int) -> Any:
    """A shared Scattering1D module of the named implementation."""
    if name == "kymatio":
        return importlib.import_module("kymatio.torch").Scattering1D(J, N, Q)
    if name in TIERS:
        return scatcuda.Scattering1D(J, N, Q, tier=TIERS[name])
    backend = {OURS: "native", "twin": "reference"}[name]
    return scatcuda.Scattering1D(J, N, Q, backend=backend)


def _with_peers(
    problem: Problem, x: Tensor, modules: dict[str, Any], exact: Any, wants_gradient: bool
) -> Work:
    """S x by each of the modules, or the gradient of <g, S x>."""
    some = problem.some(x).double().requires_grad_(wants_gradient)
    g = torch.rand_like(modules[OURS](x))
    x.requires_grad_(wants_gradient)
    if wants_gradient:
        runs = {name: functools.partial(gradient, module, x, g) for name, module in modules.items()}
        right = functools.partial(gradient, exact, some, problem.some(g).double())
    else:
        runs = {name: functools.partial(module, x) for name, module in modules.items()}
        right = functools.partial(exact, some)
    return Work({name: Peer(run) for name, run in runs.items()}, right, problem.some, problem.batch)


def setup_signals(problem: Problem, device: torch.device, wants_gradient: bool = False) -> Work:
    """Signals x [batch, N] -> S [batch, C, N / 2^J]; or the gradient of <g, S x>."""
    sizes = (problem.J, *problem.shape, problem.L)
    names = [OURS, "twin"] if kymatio_missing() else [OURS, "kymatio", "twin"]
    if device.type == "cuda":
        names += TIERS
    modules = {name: _signals(name, *sizes).to(device) for name in names}
    exact = scatcuda.Scattering1D(*sizes, backend="reference").double().to(device)
    return _with_peers(problem, problem.images(device), modules, exact, wants_gradient)


#: The places of checkouts of packages of statistics, which are on no package index
COVARIANCES, PHASES = "SCATTERING_TRANSFORM", "PYWPH"


@contextlib.contextmanager
def _from_checkout(variable: str) -> Iterator[bool]:
    """Whether there is a checkout; what it holds can be imported meanwhile."""
    place = os.environ.get(variable)
    if place is None:
        yield False
        return
    sys.path.insert(0, place)
    try:
        yield True
    finally:
        sys.path.remove(place)


def setup_covariances(problem: Problem, device: torch.device, wants_gradient: bool = False) -> Work:
    """Fields x [batch, M, N] -> S1 to S4 [batch, K]; or the gradient of <g, S x>. The rival, of
    SihaoCheng/scattering_transform, has other conventions: it answers with what is known."""
    build = functools.partial(scatcuda.ScatteringCovariance, problem.shape, problem.J, problem.L)
    modules = {OURS: build().to(device), "twin": build(backend="reference").to(device)}
    exact = build(backend="reference").double().to(device)
    x = problem.images(device)
    work = _with_peers(problem, x, modules, exact, wants_gradient)
    with _from_checkout(COVARIANCES) as there:
        if not there or device.type != "cpu":
            return work
        np.math = math  # which it asks NumPy for
        kind = importlib.import_module("scattering.Scattering2d").Scattering2d
    theirs = kind(*problem.shape, problem.J, problem.L, device="cpu")
    return _beside(
        work, "scattering_transform", x, lambda x: theirs.scattering_cov(x)["for_synthesis"]
    )


def setup_phases(problem: Problem, device: torch.device, wants_gradient: bool = False) -> Work:
    """Fields x [batch, M, N] -> wavelet phase harmonics [batch, K], dn = 2, A = 4; or the gradient
    of <g, S x>. The rival, pywph, computes at full resolution: it answers with what is known."""
    build = functools.partial(scatcuda.WaveletPhaseHarmonics, problem.shape, problem.J, problem.L)

    def real(module: Any) -> Callable[[Tensor], Tensor]:
        return lambda x: torch.view_as_real(module(x)).flatten(-2)

    modules = {OURS: real(build().to(device)), "twin": real(build(backend="reference").to(device))}
    exact = real(build(backend="reference").double().to(device))
    x = problem.images(device)
    work = _with_peers(problem, x, modules, exact, wants_gradient)
    work.peers["twin"] = replace(work.peers["twin"], slow=True)
    with _from_checkout(PHASES) as there:
        if not there or device.type != "cpu":
            return work
        kind = importlib.import_module("pywph").WPHOp
    theirs = kind(*problem.shape, problem.J, L=problem.L, dn=2, A=4, device="cpu")
    theirs.load_model(["S11", "S00", "S01", "C01", "Cphase"])

    def run(x: Tensor) -> Tensor:
        if not x.requires_grad:
            return torch.as_tensor(theirs.apply(x, norm=None))
        data, chunks = theirs.preconfigure(x, requires_grad=True)
        return torch.cat(
            [theirs.apply(data, i, norm=None)[0].flatten() for i in range(chunks)]
        ).abs()

    return _beside(work, "pywph", x, run)


def _beside(work: Work, name: str, x: Tensor, run: Callable[[Tensor], Tensor]) -> Work:
    """With a peer whose numbers mean something else."""
    known = work.peers[OURS].run()

    def answer() -> Tensor:
        found = run(x)
        if x.requires_grad:
            torch.autograd.grad(found.square().sum(), x)
        return known

    return replace(work, peers={**work.peers, name: Peer(answer, slow=True)})


@functools.cache
def _densities(name: str, J: int, shape: tuple[int, ...], L: int) -> Any:
    """A shared HarmonicScattering3D module of the named implementation."""
    if name == "kymatio":
        return importlib.import_module("kymatio.torch").HarmonicScattering3D(J, shape, L)
    backend: Any = "reference" if name == "twin" else "native"
    return scatcuda.HarmonicScattering3D(J, shape, L, backend=backend)


def _rotations(problem: Problem, **options: Any) -> Any:
    J, L, shape = problem.J, problem.L, problem.shape
    return scatcuda.RotoTranslationScattering2D(J, shape, L, **({"pool": "mean"} | options))


def setup_rotations(problem: Problem, device: torch.device, wants_gradient: bool = False) -> Work:
    """Images x [batch, M, N] -> means [batch, C] of roto-translation scattering; or the gradient of
    <g, S x>."""
    loop = PerAngle(problem.J, problem.shape, problem.L)
    modules = {OURS: _rotations(problem), STAND_IN: loop}
    if wants_gradient:  # of ours alone: the loop's are the same, but for 0
        modules["twin"] = _rotations(problem, backend="reference")
    modules = {name: module.to(device) for name, module in modules.items()}
    exact = _rotations(problem, backend="reference").double().to(device)
    return _with_peers(problem, problem.images(device), modules, exact, wants_gradient)


def setup_rotations_beside(problem: Problem, device: torch.device, backward: bool = False) -> Work:
    """Roto-translation scattering (ours) against plain scattering of the same scales and angles; or
    its backward pass against its forward pass."""
    ours, x = _rotations(problem).to(device), problem.images(device)
    plain = scatcuda.Scattering2D(problem.J, problem.shape, problem.L).to(device)
    exact = _rotations(problem, backend="reference").double().to(device)
    S = ours(x.requires_grad_(backward))
    g = torch.rand_like(S)

    def back() -> Tensor:
        return torch.autograd.grad(S, x, g, retain_graph=True)[0]

    def forward() -> Tensor:
        return ours(x.detach())

    def other() -> Tensor:  # answers with what is known
        (forward if backward else functools.partial(plain, x))()
        return found

    some = problem.some(x).double()
    right = functools.partial(exact, some)
    if backward:
        right = functools.partial(gradient, exact, some.requires_grad_(), problem.some(g).double())
    run = back if backward else forward
    found = run()
    rival = "forward" if backward else "plain"
    return Work({OURS: Peer(run), rival: Peer(other)}, right, problem.some, problem.batch)


def setup_rotations_of_fewer(problem: Problem, device: torch.device) -> Work:
    """Roto-translation scattering averaged in space alone, of as few angles as the bandwidths of
    the wavelets of angles allow (ours) against all of them."""
    whole = functools.partial(_rotations, problem, average="space", pool=None)
    fewer = functools.partial(whole, oversampling=0)
    ours, every = fewer().to(device), whole().to(device)
    exact = fewer(backend="reference").double().to(device)
    x = problem.images(device)
    found = ours(x)

    def other() -> Tensor:  # answers with what is known
        every(x)
        return found

    peers = {OURS: Peer(functools.partial(ours, x)), "all angles": Peer(other)}
    right = functools.partial(exact, problem.some(x).double())
    return Work(peers, right, problem.some, problem.batch)


def setup_densities(problem: Problem, device: torch.device, wants_gradient: bool = False) -> Work:
    """Densities x [batch, M, N, O] -> sums of powers [batch, paths, L + 1, 3]; or the gradient of
    <g, S x>."""
    sizes = (problem.J, problem.shape, problem.L)
    names = [OURS, "twin"] if kymatio_missing() else [OURS, "kymatio", "twin"]
    modules = {name: _densities(name, *sizes).to(device) for name in names}
    exact = scatcuda.HarmonicScattering3D(*sizes, backend="reference").double().to(device)
    return _with_peers(problem, problem.images(device).abs(), modules, exact, wants_gradient)


#: The place of a checkout of Kymatio's development branch, which is on no package index
DEVELOPMENT = "KYMATIO_DEVELOPMENT"


@functools.cache
def _development(problem: Problem, J_fr: int) -> Any:
    """Kymatio's TimeFrequencyScattering; None without a checkout."""
    place = os.environ.get(DEVELOPMENT)
    if place is None:
        return None
    installed = {name: sys.modules.pop(name) for name in [*sys.modules] if _is_kymatio(name)}
    sys.path.insert(0, place)
    try:
        kind = importlib.import_module("kymatio.torch").TimeFrequencyScattering
        return kind(J=problem.J, J_fr=J_fr, Q=problem.L, shape=problem.shape[0])
    finally:
        sys.path.remove(place)
        for name in [*sys.modules]:
            if _is_kymatio(name):
                del sys.modules[name]
        sys.modules.update(installed)


def _is_kymatio(name: str) -> bool:
    return name.partition(".")[0] == "kymatio"


def setup_joint(
    problem: Problem, device: torch.device, J_fr: int = 3, wants_gradient: bool = False
) -> Work:
    """Signals x [batch, N] -> S [batch, C, N / 2^J], jointly in time and log-frequency; or the
    gradient of <g, S x>."""
    build = functools.partial(
        scatcuda.TimeFrequencyScattering,
        J=problem.J, J_fr=J_fr, Q=problem.L, shape=problem.shape[0],
    )  # fmt: skip
    modules = {OURS: build().to(device), "twin": build(backend="reference").to(device)}
    theirs = _development(problem, J_fr) if device.type == "cpu" else None
    modules |= {} if theirs is None else {"kymatio": theirs}
    exact = build(backend="reference").double().to(device)
    return _with_peers(problem, problem.images(device), modules, exact, wants_gradient)


def setup_joint_path(problem: Problem, device: torch.device, J_fr: int = 3) -> Work:
    """A random joint path, another one in each call (ours), against all of them. What is checked
    is the last path."""
    build = functools.partial(
        scatcuda.TimeFrequencyScattering,
        J=problem.J, J_fr=J_fr, Q=problem.L, shape=problem.shape[0],
        format="joint", out_type="dict",
    )  # fmt: skip
    x, whole = problem.images(device), build().to(device)
    last = whole.joint_meta()["key"][-1]
    drawn = [path for path in whole.joint_meta()["key"] if len(path) == 2]
    random.Random(0).shuffle(drawn)
    modules = {path: build(paths=[path]).to(device) for path in drawn}
    turn = itertools.cycle(drawn)

    def values(found: dict[Any, Tensor]) -> Tensor:
        return problem.some(found[last] if last in found else modules[last](x)[last])

    def exact() -> Tensor:
        only = build(paths=[last], backend="reference").double().to(device)
        return problem.some(only(x.double())[last])

    peers = {
        OURS: Peer(lambda: modules[next(turn)](x)),
        "whole": Peer(functools.partial(whole, x)),
    }
    return Work(peers, exact, values, problem.batch)


def setup_backend(problem: Problem, device: torch.device) -> Work:
    """The same by Kymatio's class, on our backend object and on its own."""
    x = problem.images(device)
    names = {OURS: ON_OUR_BACKEND, "kymatio": "kymatio"}
    peers = {
        peer: Peer(functools.partial(module(name, problem, device), x))
        for peer, name in names.items()
    }
    exact = functools.partial(exact_transform, problem, device)
    return Work(peers, exact, problem.some, problem.batch)


def setup_deep(problem: Problem, device: torch.device) -> Work:
    """The transform to order 3, by the engine and by a cascade of the stages' operators."""
    x, sizes = problem.images(device), (problem.J, problem.shape, problem.L)
    cascade = scatcuda.Cascade(*sizes, depth=3).to(device)
    peers = {
        OURS: Peer(functools.partial(scatcuda.Scattering2D(*sizes, max_order=3).to(device), x)),
        "twin": Peer(functools.partial(cascade, x)),
    }

    def exact() -> Tensor:
        deep = scatcuda.Cascade(*sizes, depth=3).to(device).double()
        return deep(problem.some(x).double())

    return Work(peers, exact, problem.some, problem.batch)


def setup_paths(scales: tuple[int, ...], problem: Problem, device: torch.device) -> Work:
    """The paths whose first wavelets have these scales (ours) against the whole transform."""

    def chosen(meta: dict[str, Any]) -> Any:
        return (meta["j"][:, : len(scales)] == scales).all(1)

    x, whole = problem.images(device), module(OURS, problem, device)
    arguments = (problem.J, problem.shape, problem.L)
    some = scatcuda.Scattering2D(*arguments, paths=chosen).to(device)
    kept = torch.from_numpy(chosen(whole.meta())).nonzero().flatten().to(device)

    def values(S: Tensor) -> Tensor:
        return problem.some(S if S.shape[-3] == len(kept) else S[..., kept, :, :])

    def exact() -> Tensor:
        return exact_transform(problem, device)[..., kept, :, :]

    peers = {OURS: Peer(functools.partial(some, x)), "whole": Peer(functools.partial(whole, x))}
    return Work(peers, exact, values, problem.batch)


def setup_every_way(problem: Problem, device: torch.device) -> Work:
    """The same, with the twin compiled and ours in one tier and in the other."""
    work, x = setup_transform(problem, device), problem.images(device)
    ways = {name: Peer(functools.partial(module(name, problem, device), x)) for name in TIERS}
    compiled = torch.compile(module("twin", problem, device))
    ways["compiled twin"] = Peer(functools.partial(compiled, x), slow=True)
    return replace(work, peers=work.peers | ways)


def setup_threads(problem: Problem, device: torch.device) -> Work:
    """The native transform on two threads (ours) against itself on one."""
    run = functools.partial(module(OURS, problem, device), problem.images(device))
    peers = {OURS: Peer(run, threads=2), "one thread": Peer(run, threads=1)}
    return Work(peers, lambda: exact_transform(problem), problem.some, problem.batch)


def setup_learned_threads(problem: Problem, device: torch.device) -> Work:
    """The gradient of <g, S x> by all numbers of the filters, on two threads (ours) and on one."""
    g, x = coefficients_like(problem, device), problem.images(device)

    def learned(backend: str = "native") -> Any:
        sizes = problem.J, problem.shape
        return scatcuda.Scattering2D(*sizes, trainable="filters", backend=backend).to(device)

    def step(module: Any, x: Tensor, g: Tensor) -> Tensor:
        gradients = torch.autograd.grad(module(x), list(module.parameters()), g)
        return torch.cat([of_one.flatten() for of_one in gradients])

    run = functools.partial(step, learned(), x, g)
    peers = {OURS: Peer(run, threads=2), "one thread": Peer(run, threads=1)}
    right = functools.partial(step, learned("reference").double(), x.double(), g.double())
    return Work(peers, right, images=problem.batch)


def setup_learned_signals(problem: Problem, device: torch.device, learned: str) -> Work:
    """The gradient of <g, S x> by all that is learned of the filters, which are made anew."""
    sizes, x = (problem.J, *problem.shape, problem.L), problem.images(device)

    def module(backend: str = "native") -> Any:
        return scatcuda.Scattering1D(*sizes, trainable=learned, backend=backend).to(device)

    def step(module: Any, x: Tensor, g: Tensor) -> Tensor:
        gradients = torch.autograd.grad(module(x), list(module.parameters()), g)
        return torch.cat([of_one.flatten() for of_one in gradients])

    modules = {OURS: module(), "twin": module("reference")}
    with torch.no_grad():
        g = torch.randn_like(modules[OURS](x))
    right = functools.partial(step, module("reference").double(), x.double(), g.double())
    peers = {name: Peer(functools.partial(step, of, x, g)) for name, of in modules.items()}
    return Work(peers, right, images=problem.batch)


def setup_signal_threads(problem: Problem, device: torch.device) -> Work:
    """The transform of signals on two threads (ours) against itself on one."""
    sizes, x = (problem.J, *problem.shape, problem.L), problem.images(device)
    run = functools.partial(_signals(OURS, *sizes), x)
    peers = {OURS: Peer(run, threads=2), "one thread": Peer(run, threads=1)}
    exact = scatcuda.Scattering1D(*sizes, backend="reference").double()
    right = functools.partial(exact, problem.some(x).double())
    return Work(peers, right, problem.some, problem.batch)


def setup_signal_construction(problem: Problem, device: torch.device) -> Work:
    """Sizes -> a module of signals; the widths of its filters in time are the result."""
    sizes = (problem.J, *problem.shape, problem.L)
    peers = {OURS: Peer(functools.partial(scatcuda.Scattering1D, *sizes))}
    if not kymatio_missing():
        theirs = importlib.import_module("kymatio.torch").Scattering1D
        peers["kymatio"] = Peer(functools.partial(theirs, *sizes))

    def sums(built: Any) -> Tensor:
        levels = (psi["levels"][0] for psi in built.psi1_f[::16])
        return torch.stack([torch.as_tensor(level).double().sum() for level in levels])

    return Work(peers, lambda: sums(scatcuda.Scattering1D(*sizes)), sums)


def setup_gradient(problem: Problem, device: torch.device) -> Work:
    """x, g -> the gradient of <g, S x>: forward and backward."""
    g, x = coefficients_like(problem, device), problem.images(device).requires_grad_()
    peers = {
        name: Peer(functools.partial(gradient, module(name, problem, device), x, g))
        for name in implementations(device)
    }
    exact = functools.partial(exact_gradient, problem, g)
    return Work(peers, exact, problem.some, problem.batch)


def setup_backward(problem: Problem, device: torch.device) -> Work:
    """The backward pass alone (ours) against the forward pass alone."""
    g, x = coefficients_like(problem, device), problem.images(device).requires_grad_()
    transform = module(OURS, problem, device)
    S = transform(x)

    def backward() -> Tensor:
        return torch.autograd.grad(S, x, g, retain_graph=True)[0]

    found = backward()

    def forward() -> Tensor:  # answers with what is known
        transform(x.detach())
        return found

    peers = {OURS: Peer(backward), "forward": Peer(forward)}
    exact = functools.partial(exact_gradient, problem, g)
    return Work(peers, exact, problem.some, problem.batch)


def setup_training(problem: Problem, device: torch.device) -> Work:
    """A step of training through the transform: the gradients of a convolution before it, with a
    linear classifier behind it; ours is compiled."""
    x = problem.images(device).unsqueeze(1)
    labels = torch.arange(problem.planes, device=device) % 10

    def network(name: str, dtype: torch.dtype = torch.float32) -> nn.Module:
        transform = build(name, problem)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            features = math.prod(coefficients_like(problem, device).shape[1:])
            layers = nn.Conv2d(1, 1, 5, padding=2), transform, nn.Flatten(), nn.Linear(features, 10)
        return nn.Sequential(*layers).to(device, dtype)

    def step(run: Callable[[Tensor], Tensor], model: nn.Module, x: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(run(x), labels)
        return torch.autograd.grad(loss, next(model.parameters()))[0]

    def peer(name: str, compiled: bool = False) -> Peer:
        model = network(name)
        run = torch.compile(model, fullgraph=True) if compiled else model
        return Peer(functools.partial(step, run, model, x))

    def exact() -> Tensor:
        model = network("twin", torch.float64)
        return step(model, model, x.double())

    names = [name for name in implementations(device) if name != OURS]
    peers = {OURS: peer(OURS, compiled=True), "not compiled": peer(OURS)}
    peers |= {name: peer(name) for name in names}
    return Work(peers, exact, images=problem.batch)


def setup_recorded(problem: Problem, device: torch.device) -> Work:
    """The forward pass of an image whose gradient is wanted."""
    x = problem.images(device).requires_grad_()
    peers = {
        name: Peer(functools.partial(module(name, problem, device), x))
        for name in implementations(device)
    }
    exact = functools.partial(exact_transform, problem, device)
    return Work(peers, exact, lambda S: problem.some(S.detach()), problem.batch)


def setup_construction(problem: Problem, device: torch.device) -> Work:
    """Sizes -> a module with its filter bank; the twin's constructor is ours, hence no peer."""
    names = [name for name in implementations() if name != "twin"]
    peers = {name: Peer(functools.partial(build, name, problem)) for name in names}

    def exact() -> Tensor:
        padded = banks.padded_shape(problem.shape, problem.J)
        bank = banks.morlet_bank(padded, problem.J, problem.L)
        return bank.psi.flatten(0, 1)

    def wavelets(built: Any) -> Tensor:  # [J*L, Mp, Np]
        levels = [torch.tensor(psi["levels"][0]) for psi in built.psi]
        return torch.stack([level.reshape(built._M_padded, built._N_padded) for level in levels])

    return Work(peers, exact, wavelets)


def setup_filter_fold(problem: Problem, device: torch.device) -> Work:
    """x_hat [batch, Mp, Np], psi of scale 1 [L, Mp, Np], k = 2 -> [batch, L, Mp/2, Np/2]."""
    padded = banks.padded_shape(problem.shape, problem.J)
    x_hat = torch.fft.fft2(Problem(problem.J, padded, problem.planes).images(device))
    psi = banks.morlet_bank(padded, problem.J, problem.L).psi[1].to(x_hat.real)
    return _operator("filter_fold", problem, x_hat, psi, 2)


def setup_modulus(problem: Problem, device: torch.device) -> Work:
    """z [batch, L, Mp/2, Np/2] complex -> |z|."""
    parts = _maps(problem, device, angles=2 * problem.L)
    z = torch.complex(*parts.chunk(2, dim=1))
    return _operator("modulus", problem, z)


def setup_lowpass(problem: Problem, device: torch.device) -> Work:
    """u [batch, L, Mp/2, Np/2] -> A_m u A_n^T [batch, L, M/2^J, N/2^J]."""
    u = _maps(problem, device, angles=problem.L).abs()
    padded = banks.padded_shape(problem.shape, problem.J)
    factors = banks.separable_factors(banks.morlet_bank(padded, problem.J, problem.L).phi)
    a_m, a_n = (banks.lowpass_matrix(factor, 1, problem.J).to(u) for factor in factors)
    return _operator("lowpass", problem, u, a_m, a_n)


def _maps(problem: Problem, device: torch.device, angles: int) -> Tensor:
    """Noise in the shape of first-order maps at resolution 1: [batch, angles, Mp/2, Np/2]."""
    Mp, Np = banks.padded_shape(problem.shape, problem.J)
    noise = Problem(problem.J, (Mp // 2, Np // 2), problem.planes * angles).images(device)
    return noise.unflatten(0, (problem.planes, angles))


def _operator(name: str, problem: Problem, *arguments: Any) -> Work:
    """The operator `name` of `scatcuda.ops` against its namesake in `scatcuda.reference`."""
    native, twin = getattr(ops, name), getattr(reference, name)

    def exact() -> Tensor:
        return twin(*(_double(a) if isinstance(a, Tensor) else a for a in arguments))

    peers = {
        OURS: Peer(functools.partial(native, *arguments)),
        "twin": Peer(functools.partial(twin, *arguments)),
    }
    return Work(peers, exact, images=problem.batch)


def _double(tensor: Tensor) -> Tensor:
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


# ---------------------------------------------------------------- probes


def probe_import(quick: bool) -> dict[str, float]:
    """Milliseconds that `import scatcuda` adds to `import torch`."""
    return {OURS: 1e3 * process.import_seconds(rounds=3 if quick else 7)}


def memory(
    problem: Problem, threads: int, names: list[str], what: str = "memory"
) -> dict[str, float]:
    """Megabytes beyond input and output at the peak of each implementation's first call; with
    `what` "gradient" of call and gradient, beyond the gradients too; no figures on systems that do
    not tell."""
    if not process.knows_peak():
        return {}
    sizes = (problem.J, problem.shape, problem.batch)
    return {name: process.call_memory(name, *sizes, threads, what) / 1e6 for name in names}


def _memory_probes(problem: Problem, threads: int) -> list[Probe]:
    def measure(what: str, quick: bool) -> dict[str, float]:
        return memory(problem, threads, [OURS] if quick else implementations(), what)

    return [
        Probe(
            f"memory beyond input and output {problem}, threads: {threads}",
            functools.partial(measure, "memory"),
            "MB",
            target=32 + 16 * threads,
        ),
        Probe(
            f"memory of the gradient beyond those and gradients {problem}, threads: {threads}",
            functools.partial(measure, "gradient"),
            "MB",
            target=64 + 24 * threads,
        ),
    ]


# ---------------------------------------------------------------- the cases


def _transform(problem: Problem, target: float | None = None, **options: Any) -> Case:
    """The case of a transform; where a time is wanted it is looked at in every way."""
    setup = setup_every_way if "most" in options else setup_transform
    return Case(str(problem), setup, problem, "transform", target, **options)


def _operators(problem: Problem, device: str = "cpu") -> list[Case]:
    setups = [setup_filter_fold, setup_modulus, setup_lowpass]
    names = [setup.__name__.removeprefix("setup_") for setup in setups]
    return [
        Case(f"{name} {problem}", setup, problem, "operator", rival="twin", device=device)
        for name, setup in zip(names, setups, strict=True)
    ]


def _gradients(problem: Problem, target: float | None, device: str = "cpu") -> list[Case]:
    """Forward and backward; the backward alone, which may take three times the forward."""
    alone = Case(f"backward {problem}", setup_backward, problem, "backward", 1 / 3, rival="forward")
    return [
        Case(f"gradient {problem}", setup_gradient, problem, "gradient", target, device=device),
        replace(alone, device=device),
    ]


def _paths(problem: Problem, targets: dict[tuple[int, ...], float | None]) -> list[Case]:
    return [
        Case(
            f"paths of scales {', '.join(map(str, scales))}, … {problem}",
            functools.partial(setup_paths, scales), problem, "paths", target, rival="whole",
        )
        for scales, target in targets.items()
    ]  # fmt: skip


def _sounds(
    problem: Problem, target: float | None, back: float | None, **options: Any
) -> list[Case]:
    """Signals: the transform, and with its gradient."""
    with_gradient = functools.partial(setup_signals, wants_gradient=True)
    return [
        Case(f"signals {problem}", setup_signals, problem, "signals", target, **options),
        Case(f"signals' gradient {problem}", with_gradient, problem, "signals", back, **options),
    ]


def _molecules(problem: Problem, target: float | None, **options: Any) -> list[Case]:
    """Densities: the transform, and with its gradient."""
    with_gradient = functools.partial(setup_densities, wants_gradient=True)
    return [
        Case(f"densities {problem}", setup_densities, problem, "densities", target, **options),
        Case(f"densities' gradient {problem}", with_gradient, problem, "densities", **options),
    ]


def _turns(problem: Problem, **options: Any) -> list[Case]:
    """Images along positions and angles: the transform, beside plain scattering, of which it may
    take six times; with its gradient; and the backward pass, which may take three times the
    forward."""
    with_gradient = functools.partial(setup_rotations, wants_gradient=True)
    beside = functools.partial(setup_rotations_beside, backward=True)
    made = [
        Case(f"rotations {problem}", setup_rotations, problem, "rotations", 12, **options),
        Case(f"rotations' gradient {problem}", with_gradient, problem, "rotations", **options),
    ]
    made = [replace(case, rival=STAND_IN) for case in made]
    plain = Case(f"rotations beside plain {problem}", setup_rotations_beside, problem, "beside")
    back = Case(f"rotations' backward {problem}", beside, problem, "backward")
    plain = replace(plain, target=1 / 6, rival="plain", **options)
    back = replace(back, target=1 / 3, rival="forward", **options)
    name = f"rotations of fewer angles {problem}"
    fewer = Case(name, setup_rotations_of_fewer, problem, "fewer angles", **options)
    return [*made, plain, back, replace(fewer, rival="all angles")]


def _joint(
    problem: Problem, target: float | None, back: float | None, **options: Any
) -> list[Case]:
    """Signals jointly in time and frequency: the transform, and with its gradient."""
    with_gradient = functools.partial(setup_joint, wants_gradient=True)
    return [
        Case(f"joint {problem}", setup_joint, problem, "joint", target, **options),
        Case(f"joint gradient {problem}", with_gradient, problem, "joint", back, **options),
    ]


def _statistics(covariances: Problem, phases: Problem, **options: Any) -> list[Case]:
    """Statistics of fields, and with their gradients."""
    cases = []
    for name, setup, problem, rival in (
        ("covariances", setup_covariances, covariances, "scattering_transform"),
        ("phase harmonics", setup_phases, phases, "pywph"),
    ):
        target = 8 if options.get("device", "cpu") == "cpu" else None
        back = functools.partial(setup, wants_gradient=True)
        cases += [
            Case(f"{name} {problem}", setup, problem, "statistics", target, rival=rival, **options),
            Case(f"{name} gradient {problem}", back, problem, "statistics",
                 target if name == "covariances" else None, rival=rival, **options),
        ]  # fmt: skip
    return cases


def _backend(problem: Problem, **options: Any) -> list[Case]:
    """A case of Kymatio's own class: there is none where Kymatio is not."""
    if importlib.util.find_spec("kymatio") is None:
        return []
    return [Case(f"backend {problem}", setup_backend, problem, "backend", 1, **options)]


def _calls(problem: Problem) -> list[Case]:
    """An image so small that the way to the engine is most of the time."""
    return [
        Case(f"call {problem}", setup_transform, problem, "call", most=20),
        Case(f"call with gradient {problem}", setup_recorded, problem, "call", most=40),
    ]


DIGITS = Problem(J=2, shape=(32, 32), batch=96)
PHOTOS = Problem(J=3, shape=(224, 224), batch=4)
PHOTO = Problem(J=3, shape=(224, 224), batch=1)
DEEP = Problem(J=4, shape=(64, 64), batch=4)
TEXTURES = Problem(J=5, shape=(200, 200), batch=4)
SOUNDS = Problem(J=6, shape=(4096,), batch=4, L=8)

MANY_RGB = Problem(J=2, shape=(32, 32), batch=1024, colour=True)
PHOTOS_RGB = Problem(J=3, shape=(224, 224), batch=64, colour=True)

CASES: list[Case] = [
    _transform(DIGITS, target=15),
    _transform(Problem(J=2, shape=(28, 28), batch=96), target=15),
    _transform(Problem(J=2, shape=(32, 32), batch=1), target=40),
    _transform(Problem(J=3, shape=(128, 128), batch=8), target=8),
    _transform(PHOTOS, target=8, slow=True),
    _transform(PHOTO, target=8),
    Case("order 3 64x64 J=4 batch 4", setup_deep, DEEP, "depth", 8, rival="twin"),
    *_paths(PHOTO, {(0,): 1 / 0.45, (1,): 1 / 0.2, (2,): None, (0, 1): None, (0, 2): None}),
    Case("construction 224x224 J=3", setup_construction, PHOTO, "construction", 10, slow=True),
    *_operators(DIGITS),
    *_operators(PHOTOS),
    *_gradients(DIGITS, 12),
    *_gradients(PHOTOS, 8),
    Case(f"training step {DIGITS}", setup_training, DIGITS, "training", slow=True),
    *_backend(DIGITS),
    *_backend(PHOTO, slow=True),
    *_calls(Problem(J=1, shape=(8, 8))),
    *_calls(Problem(J=2, shape=(8, 8))),
    *_sounds(Problem(6, (8192,), 16, 8), 13, 11),
    *_sounds(Problem(6, (8192,), 1, 8), 25, 15, slow=True),
    *_sounds(Problem(8, (2048,), 32, 8), 22, 20, slow=True),
    *_sounds(Problem(6, (1024,), 32, 1), 15, 13, slow=True),
    *_sounds(Problem(10, (65536,), 4, 8), 10, 6, slow=True),
    *_joint(SOUNDS, 30, 30),
    Case(f"joint path {SOUNDS}", setup_joint_path, SOUNDS, "paths", 1 / 0.03, rival="whole"),
    *_joint(Problem(8, (16384,), 1, 8), 30, 30, slow=True),
    *_turns(TEXTURES),
    *_statistics(Problem(7, (256, 256), 1, 4), Problem(5, (256, 256), 1, 8)),
    *_molecules(Problem(2, (32, 32, 32), 1, 2), 4),
    *_molecules(Problem(2, (64, 64, 64), 1, 3), 4, slow=True),
    *(
        Case(
            f"learned {what} of signals 8192 J=6 Q=8 batch 16",
            functools.partial(setup_learned_signals, learned=what),
            Problem(6, (8192,), 16, 8),
            "signals",
            rival="twin",
            slow=True,
        )
        for what in ("wavelets", "filters")
    ),
    Case(
        "signals on two threads 8192 J=6 Q=8 batch 16",
        setup_signal_threads,
        Problem(6, (8192,), 16, 8),
        "threads",
        1.8,
        rival="one thread",
    ),
    Case(
        "construction of signals 131072 J=12 Q=8",
        setup_signal_construction,
        Problem(12, (131072,), 1, 8),
        "construction",
        5,
        slow=True,
    ),
    Case(f"two threads {DIGITS}", setup_threads, DIGITS, "threads", 1.7, rival="one thread"),
    Case(f"two threads {PHOTO}", setup_threads, PHOTO, "threads", 1.8, rival="one thread"),
    Case(
        f"filters' gradients on two threads {PHOTO}",
        setup_learned_threads,
        PHOTO,
        "threads",
        rival="one thread",
        slow=True,
    ),
    # On a GPU; the most telling first, since time there may run out
    _transform(MANY_RGB, 20, most=1e6 / 600_000, device="cuda"),
    _transform(PHOTOS_RGB, most=100, device="cuda"),
    *_gradients(replace(MANY_RGB, batch=128), None, "cuda"),
    *_gradients(replace(PHOTOS_RGB, batch=8), None, "cuda"),
    _transform(replace(MANY_RGB, batch=1), 20, device="cuda"),
    *_operators(MANY_RGB, "cuda"),
    *_operators(PHOTOS_RGB, "cuda"),
    _transform(replace(PHOTOS_RGB, batch=1), device="cuda"),
    _transform(replace(PHOTOS_RGB, J=4), device="cuda", slow=True),
    *_sounds(Problem(6, (8192,), 256, 8), None, None, device="cuda"),
    *_sounds(Problem(6, (1024,), 1024, 1), None, None, device="cuda", slow=True),
    *_joint(replace(SOUNDS, batch=64), None, None, device="cuda"),
    *_molecules(Problem(2, (64, 64, 64), 8, 3), None, device="cuda"),
    *_turns(replace(TEXTURES, batch=32), device="cuda"),
    *_statistics(Problem(7, (256, 256), 16, 4), Problem(5, (256, 256), 4, 8), device="cuda"),
    _transform(replace(MANY_RGB, shape=(28, 28)), device="cuda"),
    _transform(replace(PHOTOS_RGB, shape=(64, 64), batch=256), device="cuda", slow=True),
    _transform(replace(PHOTOS_RGB, shape=(128, 128)), device="cuda", slow=True),
]

PROBES: list[Probe] = [
    Probe("import scatcuda beyond import torch", probe_import, "ms", target=150),
    *_memory_probes(PHOTOS, threads=1),
    *_memory_probes(PHOTOS, threads=2),
]
