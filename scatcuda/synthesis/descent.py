"""Descents on sums of losses, which can be followed, interrupted and taken up again."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..arguments import ArgumentError, InputError, boolean, integer, number, one_of, positive, told
from ..files import look_at
from ..terminal import Bar, wanted
from ..typing import Optimiser

_REMEMBERED = 256 << 20  # bytes of gradients
_WORDS = 200  # of what a loss is called, at most
#: of what a function or a module is called: where it lies, and how it is computed
_HOW = re.compile(r" at 0x[0-9a-fA-F]+|, (backend|tier|workspace)=[^,)]*")
_ALIKE = 1e-4  # of numbers that another device, or another number of threads, has summed

#: of an iteration: its number, the loss, and each of the losses that it is the sum of
Entry = dict[str, float]


@dataclass(frozen=True)
class Loss:
    """A term of what is minimised: ``weight |statistics(of(x)) - target|^2 / |target|^2``, of which
    the blocks that ``blocks`` gives, if it does, count alike.

    Args:
        statistics: from fields ``[n, *shape]`` to ``[n, …]``: a module or a function.
        target: what they should be, ``[…]`` or ``[n, …]``; complex is allowed.
        weight: a positive number.
        of: what of the unknown ``x`` is meant; default itself.
        blocks: how many numbers of the last dimension belong together, one after the other.
        counts: how much each block counts; default 1.
        least: for each block, the size ``|target|`` below which its distances are not relative to
            it but to this; default 0.
        mean: the mean over all fields at once should be the target, not each field's.
    Example: as smooth as possible, and 1 on the whole
        >>> flat = Loss(lambda x: x.diff(dim=1), torch.zeros(3))
        >>> one = Loss(lambda x: x.mean(1), torch.tensor(1.0))
        >>> descend(torch.rand(1, 4), [flat, one], steps=30).x.round(decimals=3)
        tensor([[1., 1., 1., 1.]])
    """

    statistics: Callable[[Tensor], Tensor]
    target: Tensor
    weight: float = 1.0
    of: Callable[[Tensor], Tensor] | None = None
    blocks: Sequence[int] | None = None
    counts: Sequence[float] | None = None
    mean: bool = False
    least: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not callable(self.statistics) or not (self.of is None or callable(self.of)):
            raise TypeError("Loss: statistics and of must be functions")
        if not isinstance(self.target, Tensor) or not bool(self.target.isfinite().all()):
            raise InputError("Loss: target must be a tensor of finite numbers")
        own: dict[str, Any] = {
            "weight": positive("Loss", "weight", self.weight),
            "mean": boolean("Loss", "mean", self.mean),
        }
        count, last = 0, self.target.shape[-1] if self.target.ndim else 0
        if self.blocks is not None:
            each = _list("blocks", self.blocks)
            own["blocks"] = [integer("Loss", "a number in blocks", n, 1) for n in each]
            count = len(each)
            if sum(own["blocks"]) != last:
                raise ArgumentError(
                    f"Loss: blocks must have {last} numbers together, as target has; got "
                    f"{sum(own['blocks'])}"
                )
        for name, given in (("counts", self.counts), ("least", self.least)):
            if given is None:
                continue
            each = _list(name, given)
            own[name] = [number("Loss", f"a number in {name}", n, 0) for n in each]
            if len(each) != count:
                raise ArgumentError(
                    f"Loss: {name} must be {count}, one for each of blocks; got {len(each)}"
                )
        for name, value in own.items():
            object.__setattr__(self, name, value)

    def __call__(self, x: Tensor) -> Tensor:
        """The mean over the fields."""
        target = self.target.detach()
        found = self.statistics(x if self.of is None else self.of(x))
        if not isinstance(found, Tensor) or not found.ndim:
            raise InputError(f"Loss: statistics must give a tensor [n, …]; got {told(found)}")
        if self.mean:
            found = found.mean(0, keepdim=True)
        if target.shape not in (found.shape[1:], (1, *found.shape[1:]), found.shape):
            raise InputError(
                f"Loss: target must have the shape that statistics have, {tuple(found.shape[1:])}; "
                f"got {tuple(target.shape)}"
            )
        if self.blocks is None:
            return self.weight * _relative(found, target)
        parts = zip(
            self.counts or [1.0] * len(self.blocks),
            found.split([*self.blocks], -1),
            target.split([*self.blocks], -1),
            self.least or [0.0] * len(self.blocks),
            strict=True,
        )
        total = sum(count * _relative(a, b, least) for count, a, b, least in parts)
        return self.weight * torch.as_tensor(total)


def _list(name: str, values: Any) -> list[Any]:
    try:
        return list(values)
    except TypeError:
        raise TypeError(f"Loss: {name} must be a sequence of numbers; got {told(values)}") from None


def _relative(found: Tensor, target: Tensor, least: float = 0.0) -> Tensor:
    found = found.reshape(len(found), -1)
    target = target.reshape(-1, found.shape[1])
    size = target.abs().square().sum(-1).clamp(min=least**2)
    # of a target of zeros the distance itself
    return ((found - target).abs().square().sum(-1) / torch.where(size > 0, size, 1.0)).mean()


@dataclass
class Descent:
    """Where a descent has come.

    Attributes:
        x: the fields ``[n, *shape]``.
        history: of every iteration from 0, the start, ``"iteration"``, ``"loss"`` and, of several
            losses, ``"loss_0"``, ….
        seconds: the time it took.
    Example:
        >>> one = Loss(lambda x: x.mean(1), torch.tensor(1.0))
        >>> found = descend(torch.zeros(2, 4), [one], steps=5)
        >>> found.x.shape, found.history[0]["iteration"], found.history[0]["loss"]
        (torch.Size([2, 4]), 0, 1.0)
    """

    x: Tensor
    history: list[Entry]
    seconds: float = 0.0
    state: dict[str, Any] = field(default_factory=dict, repr=False)  # of the optimiser
    signature: list[Any] = field(default_factory=list, repr=False, kw_only=True)  # of the losses

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file of safetensors, from which :func:`descend` goes on."""
        from ..files import write_tensors

        history = torch.tensor([[*entry.values()] for entry in self.history], dtype=torch.float64)
        tensors = {"x": self.x.detach().cpu(), "history": history}
        about = {"seconds": repr(self.seconds), "losses": json.dumps(self.signature)}
        write_tensors(path, {**tensors, **_flattened(self.state)}, about)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Descent:
        """What was written.

        Raises: scatcuda.files.DataError, ValueError: it is no such file.
        """
        from ..files import read_tensors

        tensors, metadata = read_tensors(path)
        try:
            x, history = tensors.pop("x"), tensors.pop("history")
            seconds = float(metadata["seconds"])
            losses = [f"loss_{i}" for i in range(history.shape[1] - 2)]
            names = ("iteration", "loss", *losses)
            rows = [dict(zip(names, row, strict=True)) for row in history.tolist()]
            signature = _checked_signature(json.loads(metadata.get("losses", "[]")))
        except (KeyError, IndexError, ValueError, TypeError, RecursionError):
            raise ValueError(f"{os.fspath(path)!r} holds no descent") from None
        return Descent(x, rows, seconds, _restored(tensors), signature=signature)


def descend(
    start: Tensor,
    losses: Sequence[Callable[[Tensor], Tensor]],
    *,
    of: Callable[[Tensor], Tensor] | None = None,
    steps: int = 300,
    optimiser: Optimiser = "lbfgs",
    lr: float | None = None,
    memory: int | None = None,
    callback: Callable[[Entry, Tensor], object] | None = None,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 50,
    resume: Descent | str | os.PathLike[str] | None = None,
) -> Descent:
    """Minimise the sum of ``losses`` of a tensor.

    Args:
        start: where from, ``[n, *shape]``, real and floating.
        losses: functions of such a tensor to a number, :class:`Loss` for one.
        of: what is meant by the unknown: ``of(x)`` are the fields of ``losses``, of ``callback``
            and of the result; default itself.
        steps: iterations at most, those of what is resumed among them. It ends before where
            nothing gets smaller.
        optimiser: ``"lbfgs"``, with a line search (strong Wolfe); or ``"adam"``.
        lr: the step's size; default 1 of L-BFGS, a hundredth of the start's deviation of Adam.
        memory: gradients that L-BFGS remembers; default 300, or as many as 256 MB hold.
        callback: called with every iteration's entry of the history and ``x``; where it returns
            True the descent ends.
        progress: a bar on stderr; needs tqdm.
        checkpoint: a file that is written every ``every`` iterations and at the end.
        resume: a descent, or the file of one, that goes on: as if it had not been interrupted. It
            has to be of the same losses: of the same targets, and of functions and modules that
            are called the same.
    Raises:
        ValueError, TypeError: an argument is none of these.
        FloatingPointError: the loss of the start is not finite.
    Source: D. C. Liu and J. Nocedal, "On the limited memory BFGS method", 1989.
    Example:
        >>> one = Loss(lambda x: x.mean(1), torch.tensor(1.0))
        >>> descend(torch.zeros(1, 3), [one]).x.round(decimals=3)
        tensor([[1., 1., 1.]])
    """
    caller = "descend"
    if not isinstance(start, Tensor) or not start.is_floating_point() or not start.numel():
        raise InputError(f"{caller}: start must be a real floating tensor; got {told(start)}")
    losses = functions(caller, losses)
    if not losses:
        raise ArgumentError(f"{caller}: losses must not be empty")
    for name, function in (("of", of), ("callback", callback)):
        if function is not None and not callable(function):
            raise TypeError(f"{caller}: {name} must be a function; got {told(function)}")
    one_of(caller, "optimiser", optimiser, ("lbfgs", "adam"))
    lr = None if lr is None else positive(caller, "lr", lr)
    boolean(caller, "progress", progress)
    if resume is not None and not isinstance(resume, Descent | str | os.PathLike):
        raise TypeError(f"{caller}: resume must be a descent or a file's name; got {told(resume)}")
    steps = integer(caller, "steps", steps, 0)
    every = integer(caller, "every", every, 1)
    look_at(checkpoint)
    if memory is None:  # each takes two of ``start``
        memory = max(1, min(300, _REMEMBERED // max(1, 2 * start.nbytes)))
    memory = integer(caller, "memory", memory, 1, 1000)
    began = time.monotonic()
    with torch.inference_mode(False), torch.enable_grad():
        size = (float(start.detach().std()) if start.numel() > 1 else 0.0) or 1.0
        unit = 2.0 ** round(math.log2(size)) if math.isfinite(size) else 1.0
        before = resume
        if isinstance(before, str | os.PathLike):
            before = Descent.load(before)
        state = dict(before.state) if before is not None else {}
        if "unit" in state:
            unit = _checked_unit(state.pop("unit"))
        unknown = state.pop("unknown", before.x if before is not None else None)
        x = (start.detach() / unit).requires_grad_()
        method: torch.optim.Optimizer
        if optimiser == "lbfgs":
            method = torch.optim.LBFGS(
                [x], lr=lr or 1.0, max_iter=1, max_eval=25, history_size=memory,
                tolerance_grad=0.0, tolerance_change=0.0, line_search_fn="strong_wolfe",
            )  # fmt: skip
        else:
            method = torch.optim.Adam([x], lr=(lr or 0.01 * size) / unit)
        terms = _Terms(caller, x, losses, of, unit)
        signature = [_signature(term) for term in (*losses, *([of] if of is not None else []))]
        history: list[Entry] = []
        spent = 0.0
        if before is not None:
            if not isinstance(unknown, Tensor) or unknown.shape != x.shape or unknown.is_complex():
                raise ArgumentError(
                    f"{caller}: resume must be of fields {tuple(x.shape)}; got {told(unknown)}"
                )
            _check_signature(caller, before.signature, signature)
            x.data.copy_(unknown / unit)
            history, spent = list(before.history), before.seconds
            if state:
                _check_state(state, optimiser, x)
                groups = method.state_dict()["param_groups"]
                method.load_state_dict({"state": {0: _on(state, x)}, "param_groups": groups})
        terms()
        if history:
            terms.check(history[-1]["loss"], history[0]["loss"])
        else:
            history.append(terms.entry(0))
        if not math.isfinite(history[-1]["loss"]):
            raise FloatingPointError(f"{caller}: the loss of the start is {history[-1]['loss']}")

        def reached() -> Descent:
            kept = {"unit": unit, **method.state_dict()["state"].get(0, {})}
            if of is not None:
                kept["unknown"] = unit * x.detach()
            seconds = spent + time.monotonic() - began
            return Descent(terms.fields(), list(history), seconds, kept, signature=signature)

        for i in _counted(range(len(history), steps + 1), progress):
            previous = x.detach().clone()
            method.step(terms)
            terms()
            entry = terms.entry(i)
            if not math.isfinite(entry["loss"]):
                x.data.copy_(previous)
                break
            history.append(entry)
            if checkpoint is not None and i % every == 0:
                reached().save(checkpoint)
            if callback is not None and callback(entry, terms.fields()) is True:
                break
            if torch.equal(previous, x.detach()):
                break
        found = reached()
        if checkpoint is not None:
            found.save(checkpoint)
    return found


class _Terms:
    """The losses at ``unit x``, and their gradient. Optimisers have constants that ask for numbers
    of about 1; a power of two for a unit changes no digit. A line search comes back to where it has
    been."""

    def __init__(
        self,
        caller: str,
        x: Tensor,
        losses: Sequence[Callable[[Tensor], Tensor]],
        of: Callable[[Tensor], Tensor] | None,
        unit: float,
    ) -> None:
        self.caller, self.x, self.losses, self.of, self.unit = caller, x, losses, of, unit
        self.known: list[tuple[Tensor, Tensor, list[float]]] = []
        self.values: list[float] = []

    def __call__(self) -> float:
        x = self.x.detach()
        here = next((known for known in self.known if torch.equal(known[0], x)), None)
        if here is None:
            parts = self.parts()
            total = torch.stack([part.reshape(()) for part in parts]).sum()
            if not total.requires_grad:
                raise ArgumentError(f"{self.caller}: losses must depend on the fields")
            (gradient,) = torch.autograd.grad(total, self.x)
            here = x.clone(), gradient, [float(part.detach()) for part in parts]
            self.known = [here, *self.known[:2]]
        self.x.grad, self.values = here[1].clone(), here[2]
        return sum(self.values)

    def parts(self) -> list[Tensor]:
        fields = self.unit * self.x if self.of is None else self.of(self.unit * self.x)
        found = [loss(fields) for loss in self.losses]
        for part in found:
            if not isinstance(part, Tensor) or part.numel() != 1 or not part.is_floating_point():
                raise InputError(
                    f"{self.caller}: losses must give a tensor of one real number; got {told(part)}"
                )
        return found

    def fields(self) -> Tensor:
        """What is shown of it."""
        with torch.no_grad():
            x = self.unit * self.x.detach()
            return x if self.of is None else self.of(x)

    def check(self, loss: float, first: float) -> None:
        """That what is resumed had this loss here; of random losses nothing is known."""
        with torch.no_grad():
            again = sum(float(part) for part in self.parts())
        found = sum(self.values)
        if math.isclose(again, found, rel_tol=1e-4) and not math.isclose(
            found, loss, rel_tol=0.05, abs_tol=1e-5 * abs(first)
        ):
            raise ArgumentError(
                f"{self.caller}: resume must be of the same losses, whose sum was {loss:g} where "
                f"it ended; that of these losses is {found:g} there"
            )

    def entry(self, i: int) -> Entry:
        found: Entry = {"iteration": i, "loss": sum(self.values)}
        if len(self.values) > 1:
            found |= {f"loss_{k}": value for k, value in enumerate(self.values)}
        return found


# --- of what a descent is -------------------------------------------------------------------------


def functions(caller: str, losses: Any) -> tuple[Callable[[Tensor], Tensor], ...]:
    """A sequence of functions."""
    try:
        given = tuple(losses)
    except TypeError:
        given = (None,)
    if not all(map(callable, given)):
        raise TypeError(f"{caller}: losses must be a sequence of functions; got {told(losses)}")
    return given


def called(function: Any) -> str:
    """What a function or a module is called, the same in every process."""
    if isinstance(function, functools.partial):
        plain = [f"{value:g}" for value in function.args if isinstance(value, int | float)]
        return f"{called(function.func)}({', '.join(plain)})"
    text = getattr(function, "__qualname__", "")
    if not text:
        bare = type(function).__repr__ is object.__repr__
        text = type(function).__qualname__ if bare else repr(function)
    return _short(re.sub(_HOW, "", text))


def _short(text: str) -> str:
    text = " ".join(text.split())
    if len(text) <= _WORDS:
        return text
    return f"{text[:_WORDS]}… {hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def _signature(term: Any) -> list[Any]:
    """Words, and numbers of the tensors in it."""
    tensors: list[Tensor] = []
    words = [called(term)]
    if isinstance(term, Loss):
        parts = [term.statistics] if term.of is None else [term.statistics, term.of]
        words = [called(part) for part in parts]
        words += [
            _short(f"{name}={value}")
            for name in ("weight", "blocks", "counts", "mean", "least")
            if (value := getattr(term, name)) != getattr(Loss, name)
        ]
        tensors = [term.target, *itertools.chain.from_iterable(map(_tensors_of, parts))]
    else:
        tensors = _tensors_of(term)
    return [", ".join(words), [n for tensor in tensors for n in _digest(tensor)]]


def _tensors_of(function: Any) -> list[Tensor]:
    if not isinstance(function, functools.partial):
        return []
    given = (*function.args, *function.keywords.values())
    return [value for value in given if isinstance(value, Tensor)]


def _digest(tensor: Tensor) -> list[float]:
    """Its size, its norm and two sums with weights."""
    x = tensor.detach().cpu()
    x = torch.view_as_real(x.resolve_conj()) if x.is_complex() else x
    x = x.double().flatten()
    k = torch.arange(x.numel(), dtype=torch.float64, device="cpu")
    sums = [float((x * torch.cos(w * k * k)).sum()) for w in (0.7, 1.3)]
    return [float(x.numel()), float(x.norm()), *sums]


def _checked_signature(found: Any) -> list[Any]:
    """Files may hold anything."""
    for words, numbers in found:
        if not isinstance(words, str) or not all(isinstance(n, float) for n in numbers):
            raise ValueError
    return list(found)


def _check_signature(caller: str, before: list[Any], now: list[Any]) -> None:
    """That a descent is of these losses, where it tells of which it is."""
    if not before:
        return
    there, here = ([words for words, _ in of] for of in (before, now))
    if there != here:
        differ = next(
            (pair for pair in zip(there, here, strict=False) if pair[0] != pair[1]),
            (f"{len(there)} of them", f"{len(here)}"),
        )
        raise ArgumentError(
            f"{caller}: resume must be of the same losses; it is of {differ[0]}, and these are of "
            f"{differ[1]}"
        )
    for (words, theirs), (_, ours) in zip(before, now, strict=True):
        same = len(theirs) == len(ours) and all(
            theirs[i] == ours[i]
            and all(
                abs(theirs[k] - ours[k]) <= _ALIKE * abs(ours[i + 1]) for k in range(i + 1, i + 4)
            )
            for i in range(0, len(ours), 4)
        )
        if not same:
            raise ArgumentError(f"{caller}: resume must be of the same target of {words}")


# --- the optimisers' states -----------------------------------------------------------------------


def _counted(steps: range, progress: bool) -> Iterator[int]:
    with Bar(len(steps), "step", shown=wanted(True) if progress else None) as bar:
        for i in steps:
            yield i
            bar.update(1)


def _flattened(state: dict[str, Any]) -> dict[str, Tensor]:
    """An optimiser's state, tensors and numbers and lists of them, by names."""
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if value is None or name == "al":  # which L-BFGS only ever writes
            continue
        for i, item in enumerate(value) if isinstance(value, list) else [(-1, value)]:
            if item is None:
                continue
            tensor = item if isinstance(item, Tensor) else torch.tensor(item, dtype=torch.float64)
            kind = "tensor" if isinstance(item, Tensor) else type(item).__name__
            found[f"state.{name}.{i}.{kind}"] = tensor.detach().cpu().contiguous()
    return found


def _restored(tensors: dict[str, Tensor]) -> dict[str, Any]:
    state: dict[str, Any] = {}
    lists: dict[str, dict[int, Any]] = {}
    for key, tensor in tensors.items():
        try:
            _, name, index, kind = key.split(".")
            value = tensor if kind == "tensor" else {"int": int, "float": float}[kind](tensor)
            number = int(index)
        except (KeyError, ValueError, RuntimeError):
            raise ValueError(f"a descent has no {key!r:.80}") from None
        if number < 0:
            state[name] = value
        else:
            lists.setdefault(name, {})[number] = value
    for name, items in lists.items():
        state[name] = [items[i] for i in sorted(items)]
    if "n_iter" in state:  # lists that are empty as yet
        state = {**{name: [] for name in ("old_dirs", "old_stps", "ro")}, **state}
    return state


#: What the optimisers keep: of each name whether it is as large as what is optimised
_STATES: dict[str, dict[str, bool]] = {
    "lbfgs": {
        "func_evals": False, "n_iter": False, "d": True, "t": False, "old_dirs": True,
        "old_stps": True, "ro": False, "H_diag": False, "prev_flat_grad": True, "prev_loss": False,
        "al": False,
    },
    "adam": {"step": False, "exp_avg": True, "exp_avg_sq": True},
}  # fmt: skip


def _checked_unit(unit: Any) -> float:
    """Files may hold anything."""
    if not (isinstance(unit, float) and 0 < unit < math.inf):
        raise ArgumentError(f"descend: resume has a unit that is none, {unit!r:.80}")
    return unit


def _check_state(state: dict[str, Any], optimiser: str, x: Tensor) -> None:
    """Files may hold anything."""
    names = _STATES[optimiser]
    if not set(state) <= set(names):
        raise ArgumentError(f"descend: resume must be of the optimiser {optimiser!r}")
    for name, value in state.items():
        for item in value if isinstance(value, list) else [value]:
            size = item.numel() if isinstance(item, Tensor) else 1
            if item is not None and size != (x.numel() if names[name] else 1):
                raise ArgumentError(f"descend: resume has a {name!r} that is of other fields")


def _on(state: dict[str, Any], like: Tensor) -> dict[str, Any]:
    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(item) for item in value]
        return value.clone().to(like.device) if isinstance(value, Tensor) else value

    return {name: moved(value) for name, value in state.items()}
