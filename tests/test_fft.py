"""The Fourier transforms of the CPU engine, ``csrc/core/fft.h`` and ``csrc/cpu/fft_line.h``,
for the instruction set in use, against NumPy's in a wider type.

Rounding: a pass of radix r sums r products for each point. With independent roundings of relative
size eps its error is about eps sqrt(log2 r) where the butterfly is a tree and eps sqrt(r) where it
follows the definition, as odd primes do; the passes add up in squares. So

    |error|_2 / |result|_2 <= eps C sqrt(sum of the prime factors of n + 2)

with C = 2 and eps = 2^-24 or 2^-53, the unit roundoff; the lines here stay below half of it.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable

import native
import numpy as np
import pytest
import torch

import scatcuda

REALS = {"float": np.float32, "double": np.float64}
SIZES = [*range(1, 201), 240, 272, 289, 331, 512, 1009]
BUTTERFLIES = [*range(1, 14), 15, 16]  # 14 is 2 · 7
MAX_PASSES = 24


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    source = native.HERE / "fft.cpp"
    isa = scatcuda.cpu_isa()
    units = [native.engine_unit(isa, real, source, ["-O1"], "fft") for real in REALS]
    name = f"libfft_{isa}.so"
    return ctypes.CDLL(str(native.build("fft", {name: (units, ["-shared"])}) / name))


def function(library: ctypes.CDLL, name: str, real: str) -> Callable[..., int]:
    """``name_real`` of fft.cpp; an array is passed as its address."""
    call = getattr(library, f"{name}_{real}")
    call.argtypes = {
        "transform_line": [ctypes.c_int64, ctypes.c_int64, ctypes.c_int, *[ctypes.c_void_p] * 2],
        "butterfly": [ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p],
    }.get(name)
    return call


def prime_factors(n: int) -> list[int]:
    found, p = [], 2
    while n > 1:
        while n % p == 0:
            found.append(p)
            n //= p
        p = p + 1 if p * p <= n else max(n, 2)
    return found


def bound(n: int, dtype: type) -> float:
    return float(np.finfo(dtype).eps) * math.sqrt(sum(prime_factors(n)) + 2)  # finfo: 2 eps


def random_lines(points: int, lanes: int, dtype: type) -> np.ndarray:
    return torch.randn(points, 2, lanes, dtype=torch.float64).numpy().astype(dtype)


def exact(x: np.ndarray, sign: int) -> np.ndarray:
    """``X_k = sum_n x_n exp(sign 2 pi i n k / N)`` along the first axis, in long double."""
    z = x.astype(np.longdouble)
    z = z[:, 0] + 1j * z[:, 1]
    return np.fft.fft(z, axis=0) if sign < 0 else np.fft.ifft(z, axis=0) * len(z)


def relative_error(x: np.ndarray, expected: np.ndarray) -> float:
    """Largest over the lanes, in the 2-norm."""
    ours = x[:, 0].astype(np.longdouble) + 1j * x[:, 1]
    return float((np.linalg.norm(ours - expected, axis=0) / np.linalg.norm(expected, axis=0)).max())


def test_radices_with_a_butterfly(library):
    has_butterfly = function(library, "has_butterfly", "float")
    assert [n for n in range(1, 100) if has_butterfly(n)] == BUTTERFLIES


LARGE = [2**k for k in range(13, 31)] + [3**15, 5**10, 7**9, 11**6, 13**6, 17**5, 65537, 2**31 - 1]
LARGE += [3 * 2**20, 2 * 17 * 19 * 23, 4 * 9973, 14**5, 2**10 * 1009, 46341**2 - 2 * 46341]


@pytest.mark.parametrize("sizes", [range(1, 5000), LARGE], ids=["small", "large"])
def test_factorize(library, sizes):
    factorize = function(library, "factorize", "float")
    for n in sizes:
        buffer = (ctypes.c_int * MAX_PASSES)()
        count = factorize(n, buffer)
        radices = list(buffer[:count])
        assert min(n, 2) <= count <= MAX_PASSES, n
        assert math.prod(radices) == n
        *others, last = radices
        assert last in BUTTERFLIES, f"{n}: {radices}"
        for radix in others:
            prime = radix > 13 and prime_factors(radix) == [radix]
            twiddled = radix in BUTTERFLIES and 1 < radix < 15
            assert prime or twiddled, f"{n}: {radices}"


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("real", REALS)
def test_line_of_any_length(library, real, sign):
    transform, lanes = function(library, "transform_line", real), function(library, "lanes", real)()
    for n in SIZES:
        x = random_lines(n, lanes, REALS[real])
        out = np.full_like(x, np.nan)
        transform(n, 1, sign, x.ctypes.data, out.ctypes.data)
        error = relative_error(out, exact(x, sign))
        assert error <= bound(n, REALS[real]), f"{n} points: {error:.3g}"


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("real", REALS)
def test_line_in_place(library, real, sign):
    """The results are written when the whole line has been read."""
    transform, lanes = function(library, "transform_line", real), function(library, "lanes", real)()
    for n in SIZES:
        x = random_lines(n, lanes, REALS[real])
        out = np.full_like(x, np.nan)
        transform(n, 1, sign, x.ctypes.data, out.ctypes.data)
        transform(n, 1, sign, x.ctypes.data, x.ctypes.data)
        np.testing.assert_array_equal(x, out)


@pytest.mark.parametrize("step", [2, 8])
@pytest.mark.parametrize("real", REALS)
def test_line_with_the_twiddles_of_a_longer_one(library, real, step):
    """A coarser resolution takes every ``step``-th entry of the table of resolution 0."""
    transform, lanes = function(library, "transform_line", real), function(library, "lanes", real)()
    for n in (1, 12, 17, 34, 72, 105, 289):
        x = random_lines(n, lanes, REALS[real])
        out = np.empty_like(x)
        transform(n, step, 1, x.ctypes.data, out.ctypes.data)
        assert relative_error(out, exact(x, 1)) <= bound(n, REALS[real])


@pytest.mark.parametrize("real", REALS)
def test_lanes_do_not_mix(library, real):
    transform, lanes = function(library, "transform_line", real), function(library, "lanes", real)()
    for n in (12, 16, 19, 77):
        x = random_lines(n, lanes, REALS[real])
        out, spoilt = np.empty_like(x), np.empty_like(x)
        transform(n, 1, -1, x.ctypes.data, out.ctypes.data)
        x[:, :, lanes // 2] = np.nan
        transform(n, 1, -1, x.ctypes.data, spoilt.ctypes.data)
        assert np.isnan(spoilt[:, :, lanes // 2]).all()
        others = np.arange(lanes) != lanes // 2
        np.testing.assert_array_equal(spoilt[:, :, others], out[:, :, others])


@pytest.mark.parametrize("scalar", [False, True], ids=["vector", "scalar"])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("points", BUTTERFLIES)
def test_butterfly(library, points, real, sign, scalar):
    """Of vectors as on the CPU and of single numbers as on a GPU."""
    x = random_lines(points, function(library, "lanes", real)(), REALS[real])
    expected = exact(x, sign)
    assert function(library, "butterfly", real)(points, sign, scalar, x.ctypes.data)
    assert relative_error(x, expected) <= bound(points, REALS[real])
