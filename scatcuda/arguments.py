"""Checks of arguments: what a caller gives becomes a plain Python value, or an error that names the
caller, the argument, what was expected and what came.

Where an int or a bool is wanted, NumPy's scalars do as well, and so do arrays and tensors without
dimensions. A bool is no integer, nor is a float that happens to be whole.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import limits

if TYPE_CHECKING:
    import torch


class ArgumentError(ValueError, RuntimeError):
    """A value that does not suit. Python's convention is the ValueError; programs written for
    Kymatio catch the RuntimeError.

    Example:
        >>> from scatcuda import Scattering2D
        >>> Scattering2D(J=4, shape=(8, 8))
        Traceback (most recent call last):
        scatcuda.arguments.ArgumentError: Scattering2D: both sides of shape must be at least 2^J ...
    """


class InputError(ArgumentError, TypeError):
    """The input of a call is not what the module was built for: its kind, shape, dtype or device.
    Kymatio and PyTorch raise a TypeError for some of this, a RuntimeError for the rest, and of an
    ``oversampling`` that is no integer Kymatio's call has a ValueError."""


class BackendError(ImportError, ArgumentError):
    """There is no such backend: an ImportError to Kymatio, which imports them by name."""


def integer(
    caller: str,
    name: str,
    value: Any,
    lowest: int,
    highest: int | None = None,
    error: type[TypeError] = TypeError,
) -> int:
    """An integer from ``lowest`` to ``highest``."""
    try:
        number = _index(value)
    except TypeError:
        raise error(f"{caller}: {name} must be an integer; got {value!r}") from None
    if number < lowest or (highest is not None and number > highest):
        wanted = f"at least {lowest}" if highest is None else f"between {lowest} and {highest}"
        raise ValueError(f"{caller}: {name} must be {wanted}; got {limits.shown(number)}")
    return number


def scales(caller: str, J: Any) -> int:
    """The number of scales."""
    J = integer(caller, "J", J, 1)
    limits.at_most(caller, "J", J, limits.SCALES)
    return J


def angles(caller: str, L: Any) -> int:
    """The number of angles."""
    L = integer(caller, "L", L, 1)
    limits.at_most(caller, "L", L, limits.ANGLES)
    return L


def one_of(
    caller: str,
    name: str,
    value: Any,
    allowed: Collection[Any],
    error: type[ArgumentError] = ArgumentError,
) -> Any:
    """A word among those that are allowed."""
    if not isinstance(value, str) or value not in allowed:
        words = ", ".join(map(repr, allowed))
        raise error(f"{caller}: {name} must be one of {words}; got {value!r}")
    return value


def boolean(caller: str, name: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as one of them."""
    if not _is_boolean(value):
        raise TypeError(f"{caller}: {name} must be a bool; got {value!r}")
    return bool(value)


def number(caller: str, name: str, value: Any, lowest: float = -math.inf) -> float:
    """A finite number from ``lowest`` on."""
    found = _number(caller, name, value)
    if not (math.isfinite(found) and found >= lowest):
        wanted = "finite" if lowest == -math.inf else f"{lowest:g} or more and finite"
        raise ArgumentError(f"{caller}: {name} must be {wanted}; got {told(value)}")
    return found


def positive(caller: str, name: str, value: Any) -> float:
    """A positive number, not infinity."""
    found = _number(caller, name, value)
    if not 0 < found < math.inf:
        raise ArgumentError(f"{caller}: {name} must be positive and finite; got {told(value)}")
    return found


def seconds(name: str, value: Any) -> float:
    """A time, infinity included."""
    number = plain(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(f"{name} must be a number of seconds, got {value!r}")
    if not number >= 0:
        raise ValueError(f"{name} must be at least 0 seconds, got {value!r}")
    return float(number)


def device(
    caller: str, value: Any, allowed: str = "cpu or cuda", here: bool = True
) -> torch.device:
    """A device of PyTorch that the engines know and, unless the work is elsewhere, is here."""
    import torch

    try:
        found = torch.device(value)
    except (RuntimeError, TypeError):
        found = torch.device("meta")
    if found.type not in ("cpu", "cuda") or (found.type == "cpu" and found.index):
        raise ValueError(f"{caller}device must be {allowed}, got {str(value)!r}")
    if found.type == "cuda" and here:
        if not torch.cuda.is_available():
            raise ValueError(f"{caller}device={str(value)!r}, but PyTorch finds no CUDA device")
        if (found.index or 0) >= torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise ValueError(f"{caller}device={str(value)!r}, but there are {count} CUDA devices")
    return found


def finite(name: str, array: NDArray[Any]) -> None:
    """An array whose values are numbers, all of them."""
    if array.size and not (math.isfinite(array.min()) and math.isfinite(array.max())):
        raise ValueError(f"{name} must be finite; it holds NaN or infinity")


def unmasked(caller: str, name: str, value: Any) -> None:
    """An array, or lists of them, that hides no values: NumPy forgets masks within lists."""
    if _is_masked(value):
        raise InputError(f"{caller}: {name} must have no masked values; got {told(value)}")


def array(caller: str, name: str, value: Any) -> NDArray[Any]:
    """What NumPy makes an array of, with all of its values."""
    unmasked(caller, name, value)
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged; tensors with gradients
        raise InputError(f"{caller}: {name} must be an array; got {told(value)}: {error}") from None


def sides(caller: str, name: str, shape: Any) -> tuple[int, ...]:
    """Sides, as many as there are."""
    try:
        found = [_index(side) for side in shape]
    except TypeError:
        raise TypeError(
            f"{caller}: {name} must be a sequence of integers; got {told(shape)}"
        ) from None
    if not found or min(found) < 1:
        raise ValueError(f"{caller}: {name} must have positive sides; got {told(shape)}")
    return tuple(found)


def pair(caller: str, shape: Sequence[int], longest: int = limits.SIDE) -> tuple[int, int]:
    """The sides ``(M, N)``."""
    told = f"{caller}: shape must be a pair of integers (M, N); got "
    try:
        sides = [_index(side) for side in shape]
    except TypeError:
        raise TypeError(f"{told}{shape!r}") from None
    if len(sides) != 2:
        found = ", ".join(map(limits.shown, sides)) + "," * (len(sides) == 1)
        raise ValueError(f"{told}({found}){channels_last(sides)}")
    limits.at_most(caller, "a side of shape", max(sides), longest)
    return sides[0], sides[1]


def divisible(caller: str, name: str, shape: Sequence[int], J: int) -> None:
    """Positive sides that ``2^J`` divides."""
    if any(size < 1 or (size >> J) << J != size for size in shape):
        raise ValueError(
            f"{caller}: {name} must have positive sizes divisible by 2^{J}; got {tuple(shape)}"
        )


def channels_last(shape: Sequence[int]) -> str:
    """What more there is to say of images of a wrong shape, if it is that channels come last.

    Example:
        >>> channels_last((8, 3, 32, 32))
        ''
        >>> channels_last((8, 32, 32, 3))
        '; this looks channels-last: M and N are the last two dimensions, x.movedim(-1, -3) ...'
    """
    if len(shape) < 2 or shape[-1] not in (1, 2, 3, 4) or min(shape[-3:-1]) <= 4:
        return ""
    return (
        "; this looks channels-last: M and N are the last two dimensions, x.movedim(-1, -3) or "
        "np.moveaxis(x, -1, -3) puts the channels before them"
    )


def told(value: Any) -> str:
    """What a value is, for a sentence: of arrays and tensors their kind, type and sides.

    Example:
        >>> told(np.zeros((2, 3))), told(None), told([1, 2])
        ('ndarray float64 (2, 3)', 'None', '[1, 2]')
    """
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} {value.dtype} {tuple(value.shape)}"
    if isinstance(value, int):
        return limits.shown(value)
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:80]}…"


def plain(value: Any) -> Any:
    """NumPy's scalars, and arrays and tensors without dimensions, as Python's number or bool; all
    else as it is."""
    one = getattr(value, "ndim", None) == 0 and not getattr(value, "is_meta", False)
    return value.item() if one and hasattr(value, "item") else value


def _number(caller: str, name: str, value: Any) -> float:
    found = None if getattr(value, "is_meta", False) else plain(value)
    if isinstance(found, bool) or not isinstance(found, int | float | np.floating):
        raise TypeError(f"{caller}: {name} must be a number; got {told(value)}")
    try:
        return float(found)
    except OverflowError:  # an integer that is longer than floating point counts
        return math.inf if found > 0 else -math.inf


def _index(value: Any) -> int:
    # a tensor with one element is an index to PyTorch, and so is a truth value
    one = getattr(value, "ndim", 0) == 0 and not getattr(value, "is_meta", False)
    if _is_boolean(value) or not one:
        raise TypeError
    return operator.index(value)


def _is_masked(value: Any) -> bool:
    if isinstance(value, list | tuple):
        # lists of plain numbers are passed over: asked one by one they would take longest
        return not {*map(type, value)} <= {int, float, bool} and any(map(_is_masked, value))
    return isinstance(value, np.ma.MaskedArray) and bool(np.ma.is_masked(value))


def _is_boolean(value: Any) -> bool:
    dtype = str(getattr(value, "dtype", ""))
    return isinstance(value, bool) or (dtype in ("bool", "torch.bool") and value.ndim == 0)
