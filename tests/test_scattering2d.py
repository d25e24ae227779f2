"""Scattering2D: parity with Kymatio 0.3.0, accuracy against float64, and its life as a module.

Images are uniform in [0, 1] where numbers are compared one by one: with noise of mean zero order 0
crosses zero, and there Kymatio's own float32 rounding exceeds an absolute tolerance of 1e-7.
"""

from __future__ import annotations

import copy
import functools
import io
import os
import pathlib
import pickle
import random
import subprocess
import sys

import numpy as np
import oracle
import pytest
import torch
from devices import NONDETERMINISM, SINGLE
from oracle import check_not_a_number_stays, error_by_order, relative_error
from torch import Tensor, nn

import scatcuda
from scatcuda import Scattering2D, banks

BACKENDS = ["native", "reference"]
DOUBLE = 1e-12  # relative error allowed against float64
PARITY = 5e-6  # and against Kymatio


@functools.cache
def kymatio_of(*arguments, **options) -> nn.Module:
    kymatio = pytest.importorskip("kymatio.torch", exc_type=ImportError)
    return kymatio.Scattering2D(*arguments, **options)


def expected_of(module: Scattering2D, x: Tensor) -> Tensor:
    return oracle.scattering2d(x, module.bank, module.max_order, module.pre_pad)


def error(module: Scattering2D, S: Tensor, expected: Tensor) -> float:
    return error_by_order(module.meta()["order"], S, expected)


def copy_by_pickle(module: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(module))


def copy_by_save(module: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(module, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=False)


# --- Kymatio ----------------------------------------------------------------------------------

SIZES = [(s, J) for s in [(32, 32), (64, 64), (28, 28), (37, 32)] for J in range(1, 6)]
SIZES = [(shape, J) for shape, J in SIZES if 2**J <= min(shape)] + [((224, 224), 3)]


@pytest.mark.parametrize(("shape", "J"), SIZES, ids=str)
def test_equals_kymatio(shape, J):
    x = torch.rand(2, *shape)
    expected = kymatio_of(J, shape)(x)
    for backend in BACKENDS:
        module = Scattering2D(J, shape, backend=backend)
        S = module(x)
        assert S.dtype == expected.dtype and error(module, S, expected) <= PARITY
        torch.testing.assert_close(S, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("J", "L"), [(1, 3), (2, 5), (3, 4)])
def test_fewer_orders_and_padded_images_equal_kymatio(J, L, backend):
    shape = 20, 17
    padded = banks.padded_shape(shape, J)
    for max_order, pre_pad in ((1, False), (1, True), (2, True)):
        x = torch.rand(2, 3, *(padded if pre_pad else shape))
        expected = kymatio_of(J, shape, L, max_order, pre_pad)(x)
        module = Scattering2D(J, shape, L, max_order, pre_pad, backend)
        torch.testing.assert_close(module(x), expected, rtol=1e-5, atol=1e-7)
        zero = Scattering2D(J, shape, L, 0, pre_pad, backend)
        assert zero.output_shape == (1, *expected.shape[-2:])
        assert torch.equal(zero(x), module(x)[..., :1, :, :])


@pytest.mark.parametrize("max_order", [1, 2])
def test_list_equals_kymatio(max_order):
    x = torch.rand(2, 1, 16, 24)
    theirs = kymatio_of(2, (16, 24), 4, max_order, out_type="list")(x)
    module = Scattering2D(2, (16, 24), 4, max_order, out_type="list")
    ours = module(x)
    assert [list(path) for path in ours] == [list(path) for path in theirs]
    for path, expected in zip(ours, theirs, strict=True):
        for key in ("j", "n", "theta"):
            assert path[key] == expected[key] and all(type(i) is int for i in path[key])
        torch.testing.assert_close(path["coef"], expected["coef"], rtol=1e-5, atol=1e-7)
    module.out_type = "array"
    assert torch.equal(module(x), torch.stack([path["coef"] for path in ours], -3))


@pytest.mark.parametrize(("J", "L", "max_order"), [(1, 8, 2), (3, 4, 2), (3, 3, 1), (2, 2, 0)])
def test_meta_names_the_paths_of_kymatio(J, L, max_order):
    paths = kymatio_of(J, (9, 8), L, max(max_order, 1), out_type="list")(torch.rand(9, 8))
    paths = [path for path in paths if len(path["n"]) <= max_order]
    meta = Scattering2D(J, (9, 8), L, max_order).meta()
    assert list(meta) == ["order", "j", "theta", "n"]
    assert all(table.dtype == np.int64 for table in meta.values())
    assert meta["order"].tolist() == [len(path["n"]) for path in paths]
    for key in ("j", "theta", "n"):
        assert meta[key].tolist() == [[*path[key], -1, -1][:2] for path in paths]


@pytest.mark.parametrize(("J", "shape", "L"), [(1, (9, 8), 3), (3, (20, 17), 4)])
@pytest.mark.parametrize("pre_pad", [False, True])
def test_attributes_equal_those_of_kymatio(J, shape, L, pre_pad):
    theirs = kymatio_of(J, shape, L, pre_pad=pre_pad)
    ours = Scattering2D(J, shape, L, pre_pad=pre_pad)
    for name in "J L shape max_order pre_pad out_type _M_padded _N_padded".split():
        assert getattr(ours, name) == getattr(theirs, name), name
    for mine, other in zip([ours.phi, *ours.psi], [theirs.phi, *theirs.psi], strict=True):
        assert list(mine) == list(other)
        assert (mine["j"], mine.get("theta")) == (other["j"], other.get("theta"))
        for level, expected in zip(mine["levels"], other["levels"], strict=True):
            assert level.shape == expected.shape and level.dtype == expected.dtype
            np.testing.assert_allclose(level, expected, rtol=0, atol=1e-6)


def test_names_that_users_of_kymatio_know():
    x = torch.rand(16, 16)
    module = Scattering2D(2, (16, 16), backend="torch")
    assert torch.equal(module.scattering(x), module(x))
    assert torch.equal(Scattering2D(2, (16, 16), backend="torch_skcuda")(x), module(x))


# --- float64 ----------------------------------------------------------------------------------


def check(module: Scattering2D, x: Tensor) -> None:
    """The coefficients of x in float32 and in float64."""
    expected = expected_of(module, x)
    S = module(x.float())
    assert S.dtype == torch.float32 and S.shape == (*x.shape[:-2], *module.output_shape)
    assert error(module, S, expected) <= SINGLE
    S = copy.deepcopy(module).double()(x.double())
    assert S.dtype == torch.float64 and error(module, S, expected) <= DOUBLE


def random_arguments(rng: random.Random) -> dict:
    """Arguments of a transform that takes milliseconds."""
    while True:
        J, L = rng.choice([1, 2, 2, 3, 3, 4]), rng.choice([1, 2, 3, 4, 5, 7, 8, 8, 9, 12, 16, 17])
        M, N = (rng.randint(2**J, 2**J + rng.choice([3, 20, 60])) for _ in range(2))
        max_order = rng.choice([0, 1, 2, 2])
        paths = [1, J * L, J * L * (1 + J * L)][max_order]
        if M * N * paths < 500_000:
            bank = rng.choice(["morlet", "tight"]) if L > 1 else "morlet"
            pre_pad = rng.random() < 0.3
            return dict(J=J, shape=(M, N), L=L, max_order=max_order, pre_pad=pre_pad, filters=bank)


DTYPES = [torch.uint8, torch.int64, torch.bool, torch.float16, torch.bfloat16]
DTYPES += [torch.float32, torch.float64] * 2
LAYOUTS = {  # four for any images, two more for a batch, the last for two leading dimensions
    "contiguous": lambda x: x,
    "columns first": lambda x: x.mT.contiguous().mT,
    "every other column": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "middle of a larger tensor": lambda x: nn.functional.pad(x, (3, 2, 1, 4))[..., 1:-4, 3:-2],
    "batch last": lambda x: x.movedim(0, -1).contiguous().movedim(-1, 0),
    "expanded": lambda x: x[:1].expand(x.shape),
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
}


@pytest.mark.everywhere(tiers=True)
@pytest.mark.parametrize("number", range(60))
def test_random_configuration(number, rng):
    arguments = random_arguments(rng)
    dtype, lead = rng.choice(DTYPES), rng.choice([(), (1,), (3,), (2, 3), (2, 1), (1, 2, 1, 2)])
    layout = rng.choice(list(LAYOUTS)[: 4 if len(lead) == 0 else 7 if len(lead) == 2 else 6])
    module = Scattering2D(**arguments)
    size = banks.padded_shape(module.shape, module.J) if module.pre_pad else module.shape
    x = torch.rand(*lead, *size, dtype=torch.float64)
    if not dtype.is_floating_point:
        x = (x * (2 if dtype == torch.bool else 256)).floor()
    x = LAYOUTS[layout](x.to(dtype))
    before = x.clone()
    expected = expected_of(module, x)
    real = torch.float64 if dtype == torch.float64 else torch.float32
    for backend in BACKENDS:
        S = Scattering2D(**arguments, backend=backend).to(real)(x)
        case = f"{backend} {arguments} {dtype} {lead} {layout}"
        assert S.dtype == real and S.shape == (*lead, *module.output_shape), case
        limit = DOUBLE if real == torch.float64 else SINGLE
        assert error(module, S, expected) <= limit, case
    assert torch.equal(x, before)


@pytest.mark.everywhere(tiers=True)
@pytest.mark.parametrize("J", range(1, 7))
def test_smallest_images_of_every_scale(J):
    """2^J = min(shape): the margin is as wide as the image."""
    for shape in ((2**J, 2**J), (2**J, 2**J + 3), (2 ** (J + 1) + 1, 2**J)):
        check(Scattering2D(J, shape, L=3 if J < 5 else 2), torch.rand(2, *shape))


@pytest.mark.everywhere(tiers=True)
@pytest.mark.parametrize("L", [*range(1, 17), 17, 20, 33])
def test_any_number_of_angles(L):
    check(Scattering2D(2, (13, 8), L), torch.rand(2, 13, 8))


@pytest.mark.everywhere(tiers=True)
@pytest.mark.parametrize("prime", [7, 11, 13, 17, 31, 37])
@pytest.mark.parametrize("J", [1, 2, 3])
def test_prime_factors_of_the_padded_sides(prime, J):
    rows, columns = (prime - 2) << J, 3 << J
    module = Scattering2D(J, (rows, columns), L=4)
    assert (module._M_padded, module._N_padded) == (prime << J, 5 << J)
    check(module, torch.rand(1, rows, columns))
    check(Scattering2D(J, (columns, rows + 1), L=4), torch.rand(1, columns, rows + 1))


@pytest.mark.everywhere(tiers=True)
@pytest.mark.parametrize("n", [*range(3, 36), 49, 64, 81, 121, 125, 128, 169, 243, 251, 343])
def test_any_length_of_a_line(n):
    """Padded sides 2 n in each direction: every order of factors, two, three, four … of each."""
    for shape in ((2 * n - 4, 2), (3, 2 * n - 4)):
        check(Scattering2D(1, shape, L=2), torch.rand(1, *shape))


def even(half: Tensor) -> Tensor:
    return torch.cat([half, half[1:-1].flip(0)])


@pytest.mark.everywhere(tiers=True)
@pytest.mark.parametrize("name", ["everywhere", "one box", "islands", "one is zero"])
def test_filters_of_ones_own(name, rng):
    """Any real wavelets in Fourier, with any even separable low-pass."""
    J, L, shape = 3, 5, (19, 26)
    padded = banks.padded_shape(shape, J)
    psi = torch.randn(J, L, *padded, dtype=torch.float64)
    if name == "one box":  # around the highest frequencies, where Morlet wavelets have nothing
        psi[..., : rng.randint(5, 12), :] = 0
        psi[..., -rng.randint(5, 12) :] = 0
    elif name == "islands":
        psi *= torch.rand(J, 1, padded[0], 1) < 0.3
        psi *= torch.rand(J, 1, 1, padded[1]) < 0.3
    elif name == "one is zero":
        psi[1] = 0
    # random values alone would make a kernel of both signs, whose sums cancel and lose digits
    phi = torch.outer(*(even(0.5 + torch.rand(side // 2 + 1).double()) for side in padded))
    phi *= banks.morlet_bank(padded, J, L).phi.to(phi)
    module = Scattering2D(J, shape, L, filters=banks.FilterBank(psi, phi))
    x = torch.rand(2, *shape)
    check(module, x)
    reference = Scattering2D(J, shape, L, backend="reference", filters=module.bank)
    assert error(module, reference(x), expected_of(module, x)) <= SINGLE
    for duplicate in (copy.deepcopy(module), copy_by_pickle(module)):
        assert torch.equal(duplicate(x), module(x))


@pytest.mark.everywhere(tiers=True)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lead", [(0,), (2, 0, 3)])
def test_empty_batch(lead, dtype, backend):
    module = Scattering2D(2, (12, 8), 3, backend=backend).to(dtype)
    x = torch.rand(*lead, 12, 8, dtype=dtype, requires_grad=True)
    S = module(x)
    assert S.shape == (*lead, *module.output_shape) and S.dtype == dtype
    (gradient,) = torch.autograd.grad(S.sum(), x)
    assert gradient.shape == x.shape


# --- threads and instruction sets ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("arguments", "batch"),
    [
        (dict(J=3, shape=(128, 128)), 1),  # the threads share an image
        (dict(J=3, shape=(128, 128), L=3), 5),
        (dict(J=2, shape=(90, 61), L=5), 1),
        (dict(J=2, shape=(130, 33), L=17, max_order=1), 2),
        (dict(J=2, shape=(32, 32), L=4), 1),
        (dict(J=2, shape=(32, 32), L=4), 13),
    ],
    ids=str,
)
def test_thread_count_changes_nothing(arguments, batch, dtype):
    module = Scattering2D(**arguments).to(dtype)
    x = torch.rand(batch, *module.shape, dtype=dtype)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(module(x))
    assert error(module, results[0][:1], expected_of(module, x[:1])) <= SINGLE
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_an_image_does_not_depend_on_its_batch():
    module = Scattering2D(2, (20, 24), 5)
    x = torch.rand(7, 20, 24)
    assert torch.equal(module(x), torch.stack([module(image) for image in x]))


INSTRUCTION_SETS = ["baseline", "avx2", "avx512"]
IN_A_PROCESS = """
import sys, torch, scatcuda
results = []
for arguments, x in torch.load(sys.argv[1]):
    module = scatcuda.Scattering2D(**arguments).to(x.dtype)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(module(x))
torch.save(results, sys.argv[2])
print(scatcuda.cpu_isa())
"""


@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_instruction_sets_agree(isa, tmp_path, rng):
    if INSTRUCTION_SETS.index(isa) > INSTRUCTION_SETS.index(scatcuda.cpu_isa()):
        pytest.skip(f"{isa} is beyond {scatcuda.cpu_isa()}, the best that may be used here")
    # every way to lay the angles out, in one and in several vectors; a line of every kind
    lengths = [(12, 20), (24, 31), (9, 54), (96, 72), (17, 72), (65, 14), (23, 29), (33, 48)]
    angles = [3, 4, 8, 5, 16, 20, 1, 9]
    cases = [
        (dict(J=J, shape=shape, L=L), torch.rand(1, *shape, dtype=dtype))
        for J, shape, L in zip([1, 2, 3] * 3, lengths, angles, strict=False)
        for dtype in (torch.float32, torch.float64)
    ]
    torch.save(cases, tmp_path / "cases.pt")
    package = str(pathlib.Path(scatcuda.__file__).parents[1])
    paths = [package, os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS, tmp_path / "cases.pt", tmp_path / "results.pt"],
        env=os.environ
        | {"SCATCUDA_CPU_ISA": isa, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [isa]
    results = torch.load(tmp_path / "results.pt")
    for i, (arguments, x) in enumerate(cases):
        one, two = results[2 * i : 2 * i + 2]
        assert torch.equal(one, two), arguments
        # so that two of them differ by no more than 1e-6
        limit = 0.5 * SINGLE if x.dtype == torch.float32 else DOUBLE
        module = Scattering2D(**arguments)
        assert error(module, one, expected_of(module, x)) <= limit, arguments


# --- the life of a module -----------------------------------------------------------------------


@pytest.mark.everywhere(tiers=True)
def test_dtype_of_the_module():
    x = torch.rand(2, 20, 16)
    module = Scattering2D(2, (20, 16), 4)
    single, expected = module(x), expected_of(module, x)
    for rounded in (module.half(), module.bfloat16(), nn.Sequential(module).half()):
        assert torch.equal(rounded(x), single)
        S = rounded(x.half())
        assert S.dtype == torch.float32 and torch.equal(S, rounded(x.half().float()))
    module = nn.Sequential(module).double()
    assert relative_error(module(x.double()), expected) <= DOUBLE  # no filter stayed rounded
    assert module(x).dtype == torch.float64 and torch.equal(module(x), module(x.double()))
    assert torch.equal(module.float()(x), single)


def test_default_dtype_and_device_change_nothing():
    x = torch.rand(2, 20, 16)
    expected = Scattering2D(2, (20, 16), 4)(x)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(Scattering2D(2, (20, 16), 4)(x), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        module = Scattering2D(2, (20, 16), 4)
    assert torch.equal(module.to_empty(device="cpu")(x), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_device_without_data_and_back(dtype):
    module = nn.Sequential(Scattering2D(2, (20, 16), 4)).to(dtype)
    x = torch.rand(3, 20, 16, dtype=dtype)
    expected = module(x)
    abstract = module.to("meta")(x.to("meta"))
    assert abstract.is_meta and abstract.shape == expected.shape and abstract.dtype == dtype
    assert torch.equal(module.to_empty(device="cpu")(x), expected)
    assert torch.equal(module.to_empty(device="cpu")(x), expected)  # though it held values


@pytest.mark.everywhere(tiers=True)
@pytest.mark.parametrize("duplicate", [copy_by_pickle, copy_by_save, copy.deepcopy, copy.copy])
@pytest.mark.parametrize("bank", ["morlet", "tight"])
def test_copies(duplicate, bank):
    x = torch.rand(2, 20, 16)
    module = Scattering2D(2, (20, 16), 4, 1, out_type="list", filters=bank)
    for used in (False, True):
        if used:
            module.psi, module.phi, module.bank, module(x)
        other = duplicate(module)
        assert repr(other) == repr(module) and other.output_shape == module.output_shape
        for mine, theirs in zip(module(x), other(x), strict=True):
            assert torch.equal(mine["coef"], theirs["coef"])
    x = x.double()
    module = duplicate(module.double())
    module.out_type = "array"
    assert relative_error(module(x), expected_of(module, x)) <= DOUBLE


def saved_and_loaded(state: dict) -> dict:
    file = io.BytesIO()
    torch.save(state, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=True)


def test_checkpoints():
    x = torch.rand(2, 16, 16)
    ours = [
        nn.Sequential(Scattering2D(2, (16, 16), 2), nn.Flatten(), nn.Linear(144, 3)) for _ in "ab"
    ]
    state = saved_and_loaded(ours[0].state_dict())
    assert list(state) == ["2.weight", "2.bias"]
    assert str(ours[1].load_state_dict(state)) == "<All keys matched successfully>"
    assert torch.equal(ours[0](x), ours[1](x))

    theirs = nn.Sequential(kymatio_of(2, (16, 16), 2), nn.Flatten(), nn.Linear(144, 3))
    state = saved_and_loaded(theirs.state_dict())
    assert {"0.tensor0", "0.tensor5"} <= state.keys()
    ours[1].load_state_dict(state)
    torch.testing.assert_close(ours[1](x), theirs(x), rtol=1e-5, atol=1e-6)
    ours[1][0].load_state_dict(theirs[0].state_dict())
    with pytest.raises(RuntimeError, match="tensor_0"):
        ours[1][0].load_state_dict({"tensor_0": x})


def test_no_parameters_and_a_telling_repr():
    module = Scattering2D(2, (20, 16), filters="tight")
    assert not list(module.parameters()) and not module.state_dict()
    for part in ("J=2", "shape=(20, 16)", "L=8", "max_order=2", "filters='tight'"):
        assert part in repr(module)


# --- bad input ----------------------------------------------------------------------------------

GOOD = dict(J=2, shape=(16, 20))
SMALL_BANK = banks.morlet_bank((24, 28), 2, 4)
BAD_ARGUMENTS = [
    # changed argument, error, what the message tells: name, expected, received
    (dict(J=0), ValueError, "J must be at least 1; got 0"),
    (dict(J=-3), ValueError, "J must be at least 1; got -3"),
    (dict(J=2.0), TypeError, "J must be an integer; got 2.0"),
    (dict(J="2"), TypeError, "J must be an integer; got '2'"),
    (dict(J=True), TypeError, "J must be an integer; got True"),
    (dict(J=5), ValueError, "shape at least 2^J with J = 5; got (16, 20)"),
    (dict(J=10**6), ValueError, "J must be at most 24; got 1000000"),
    (dict(J=20), ValueError, "shape at least 2^J with J = 20; got (16, 20)"),
    (dict(shape=(16, 3)), ValueError, "shape at least 2^J with J = 2; got (16, 3)"),
    (dict(shape=(-16, 16)), ValueError, "shape at least 2^J with J = 2; got (-16, 16)"),
    (dict(shape=(16,)), ValueError, "shape must be a pair of integers (M, N); got (16,)"),
    (dict(shape=(3, 16, 16)), ValueError, "shape must be a pair of integers got (3, 16, 16)"),
    (dict(shape=(16.0, 16)), TypeError, "shape must be a pair of integers got (16.0, 16)"),
    (dict(shape=16), TypeError, "shape must be a pair of integers (M, N); got 16"),
    (dict(L=0), ValueError, "L must be at least 1; got 0"),
    (dict(L=8.5), TypeError, "L must be an integer; got 8.5"),
    (dict(max_order=3), ValueError, "max_order must be between 0 and 2; got 3"),
    (dict(J=1, max_order=3), ValueError, "max_order must be between 0 and 2; got 3"),
    (dict(J=4, max_order=5), ValueError, "max_order must be between 0 and 4; got 5"),
    (dict(max_order=2.0), TypeError, "max_order must be an integer; got 2.0"),
    (dict(max_order=-1), ValueError, "max_order must be between 0 and 2; got -1"),
    (dict(max_order="2"), TypeError, "max_order must be an integer; got '2'"),
    (dict(pre_pad="no"), TypeError, "pre_pad must be a bool; got 'no'"),
    (dict(backend="jax"), ValueError, "backend 'native' 'reference'; got 'jax'"),
    (dict(out_type="dict"), ValueError, "out_type 'array', 'list'; got 'dict'"),
    (dict(filters="gabor"), ValueError, "filters 'morlet', 'tight'; got 'gabor'"),
    (dict(filters=None), TypeError, "filters 'morlet' FilterBank; got NoneType"),
    (dict(filters=torch.ones(2, 8, 24, 28)), TypeError, "filters FilterBank; got Tensor"),
    (dict(filters=SMALL_BANK), ValueError, "filters psi (2, 8, 24, 28); got (2, 4, 24, 28)"),
    (dict(filters=SMALL_BANK, L=4, shape=(16, 16)), ValueError, "filters psi 24, 24) 24, 28)"),
    (dict(filters="tight", L=1), ValueError, "L 2 or more got 1"),
]
BAD_IMAGES = [
    (np.zeros((16, 20)), TypeError, "x must be a torch.Tensor; got ndarray"),
    ([[0.0]], TypeError, "x must be a torch.Tensor; got list"),
    (None, TypeError, "x must be a torch.Tensor; got NoneType"),
    (torch.zeros(()), ValueError, "x must have shape (..., 16, 20); got ()"),
    (torch.zeros(20), ValueError, "x must have shape (..., 16, 20); got (20,)"),
    (torch.zeros(2, 20, 16), ValueError, "x must have shape (..., 16, 20); got (2, 20, 16)"),
    (torch.zeros(24, 28), ValueError, "x must have shape (..., 16, 20); got (24, 28)"),
    (torch.zeros(16, 20) + 0j, TypeError, "x must be real; got torch.complex64"),
    (torch.zeros(16, 20, device="meta"), ValueError, "x meta module cpu"),
    (torch.zeros(16, 20).double(), TypeError, "x float64 float32 .double()"),
]


def assert_told(caught: pytest.ExceptionInfo, told: str) -> None:
    message = str(caught.value)
    assert message.startswith(("Scattering2D: ", "tight_bank: ")) and "\n" not in message
    assert all(word in message for word in told.split(" ")), message


@pytest.mark.parametrize(("changed", "kind", "told"), BAD_ARGUMENTS, ids=lambda v: str(v)[:40])
def test_bad_argument(changed, kind, told):
    with pytest.raises(kind) as caught:
        Scattering2D(**(GOOD | changed))
    assert_told(caught, told)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("x", "kind", "told"), BAD_IMAGES, ids=lambda v: str(v)[-40:])
def test_bad_image(x, kind, told, backend):
    with pytest.raises(kind) as caught:
        Scattering2D(**GOOD, backend=backend)(x)
    assert_told(caught, told)


def test_bad_padded_image():
    with pytest.raises(ValueError) as caught:
        Scattering2D(**GOOD, pre_pad=True)(torch.zeros(1, 16, 20))
    assert_told(caught, "x must have shape (..., 24, 28); got (1, 16, 20): Padded tensor")


def test_out_type_changed_to_a_wrong_one():
    module = Scattering2D(**GOOD)
    module.out_type = "dict"
    with pytest.raises(ValueError) as caught:
        module(torch.zeros(16, 20))
    assert_told(caught, "out_type 'array', 'list'; got 'dict'")


@pytest.mark.parametrize(
    ("phi", "told"),
    [
        (torch.rand(24, 28), "phi must be the outer product"),
        (torch.outer(torch.rand(24), torch.rand(28)), "phi_1d must be even"),
        (torch.zeros(24, 28), "phi must not be zero"),
    ],
)
def test_lowpass_that_is_no_lowpass(phi, told):
    bank = banks.FilterBank(SMALL_BANK.psi, phi)
    with pytest.raises(ValueError, match=f"filters cannot be used: .*{told}"):
        Scattering2D(**GOOD, L=4, filters=bank)


@pytest.mark.parametrize("name", "J L shape pre_pad filters bank psi output_shape".split())
def test_what_determines_the_filters_cannot_be_changed(name):
    module = Scattering2D(**GOOD)
    with pytest.raises(AttributeError, match=f"Scattering2D: {name} is fixed .* another module"):
        setattr(module, name, getattr(module, name))


# --- not a number -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("shape", [(16, 20), (64, 64)])
def test_not_a_number_stays_in_its_image(shape, bad, backend):
    check_not_a_number_stays(Scattering2D(2, shape, 4, backend=backend), bad)


# --- gradients ----------------------------------------------------------------------------------

TINY = [
    dict(J=1, shape=(4, 6), L=2),
    dict(J=2, shape=(4, 5), L=3, filters="tight"),
    dict(J=2, shape=(6, 4), L=1, max_order=1, pre_pad=True),
]


@pytest.mark.everywhere(tiers=True)
@pytest.mark.parametrize("arguments", TINY, ids=str)
def test_gradcheck(arguments):
    module = Scattering2D(**arguments).double()
    size = banks.padded_shape(module.shape, module.J) if module.pre_pad else module.shape
    x = torch.randn(2, *size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_gradient_in_float32(dtype):
    x = torch.rand(2, 3, 20, 16).to(dtype)
    weights = torch.randn(2, 3, 25, 5, 4)

    def gradient(module: nn.Module, x: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        S = module(x)
        return torch.autograd.grad(S, x, weights.to(S.dtype))[0]

    arguments = dict(J=2, shape=(20, 16), L=4)
    expected = gradient(Scattering2D(**arguments, backend="reference").double(), x.double())
    ours = gradient(Scattering2D(**arguments), x)
    assert ours.dtype == dtype
    assert relative_error(ours, expected) <= (PARITY if dtype == torch.float32 else 1e-3)
    ours = gradient(Scattering2D(**arguments).double(), x.double())
    assert relative_error(ours, expected) <= DOUBLE
    assert relative_error(gradient(kymatio_of(**arguments), x.float()), expected) <= PARITY


@pytest.mark.parametrize("backend", BACKENDS)
def test_autocast_and_inference_mode_change_nothing(backend):
    x = torch.rand(2, 16, 20, requires_grad=True)
    module = Scattering2D(**GOOD, backend=backend)
    S = module(x)
    (expected,) = torch.autograd.grad(S.sum(), x)
    with torch.inference_mode():
        module = Scattering2D(**GOOD, backend=backend)
        assert torch.equal(module(x), S)
    with torch.autocast("cpu", torch.bfloat16):
        again = module(x)
    assert torch.equal(again, S)
    (gradient,) = torch.autograd.grad(again.sum(), x)
    assert relative_error(gradient, expected) <= SINGLE


@pytest.mark.everywhere(tiers=True)
def test_gradient_at_zero_is_zero():
    x = torch.zeros(1, 16, 20, requires_grad=True)
    (gradient,) = torch.autograd.grad(Scattering2D(**GOOD)(x)[:, 1:].sum(), x)
    assert torch.count_nonzero(gradient) == 0


@pytest.mark.everywhere(tiers=True)
def test_second_derivatives():
    module = Scattering2D(1, (4, 3), 2).double()
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(module, (x,), nondet_tol=NONDETERMINISM)


@pytest.mark.everywhere(tiers=True)
def test_training_through_the_transform():
    """A learnt layer before the transform and a linear one behind it tell two textures apart."""
    stripes = torch.arange(16) // 2 % 2
    x = stripes.expand(40, 1, 16, 16).float()
    x = torch.cat([x, x.mT]) + 0.5 * torch.randn(80, 1, 16, 16)
    y = torch.arange(80) // 40
    before = nn.Conv2d(1, 1, 3, padding=1)
    scattering = Scattering2D(2, (16, 16), 4, max_order=1)
    model = nn.Sequential(before, scattering, nn.Flatten(), nn.Linear(9 * 16, 2))
    optimiser = torch.optim.Adam(model.parameters(), 0.03)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        assert all(p.grad.isfinite().all() and p.grad.norm() > 0 for p in before.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert (model(x).argmax(1) == y).float().mean() > 0.95


@pytest.mark.everywhere(tiers=True)
def test_forward_mode_derivatives_are_right_or_refused():
    """Never silently absent."""
    module = Scattering2D(2, (12, 8), 3).double()
    x, v = torch.rand(2, 2, 12, 8, dtype=torch.float64)
    try:
        _, derivative = torch.func.jvp(module, (x,), (v,))
    except (RuntimeError, NotImplementedError):
        return
    step = 1e-6 * v
    assert relative_error(derivative, (module(x + step) - module(x - step)) / 2e-6) <= 1e-6


def test_threads_share_large_images_in_any_batch():
    """One image's buffers for each thread would be too much memory; the numbers stay the same."""
    module, x = Scattering2D(2, (512, 512), L=1, max_order=1), torch.rand(8, 512, 512)
    alone = module(x)
    torch.set_num_threads(2)  # put back by conftest.py
    assert torch.equal(module(x), alone)


# --- what changes the buffers and parameters of a module ---------------------------------------


def averaged(module):
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    for _ in range(30):
        average.update_parameters(module)
    return average


def written_over(module):
    """What tools of all kinds do to buffers in place."""
    with torch.no_grad():
        for buffer in module.buffers():
            buffer.mul_(0.999).add_(3).fill_(float("nan"))
    return module


def cast_in_place(module, dtype=torch.float16):
    """As FSDP casts, without asking the module."""
    for buffer in module.buffers():
        buffer.data = buffer.data.to(dtype)
    return module


def replaced(module):
    """As offloading tools put tensors into a module."""
    for owner in module.modules():
        for name, buffer in list(owner._buffers.items()):
            owner._buffers[name] = buffer.to("meta").double().new_ones(buffer.shape, device="cpu")
    return module.float()


def reloaded(module):
    state = {name: t.to(torch.float64) + 1 for name, t in module.named_buffers()}
    state.update({name: t.detach() for name, t in module.named_parameters()})
    module.load_state_dict(state, strict=False, assign=True)
    return module


def shared(module):
    module.share_memory()
    return pickle.loads(pickle.dumps(module))


TOOLS = {
    "averaged": averaged,
    "written over": written_over,
    "cast in place": cast_in_place,
    "cast to integers": lambda m: m._apply(lambda t: t.to(torch.int64)),
    "replaced": replaced,
    "reloaded": reloaded,
    "shared": shared,
    "half": lambda m: m.half(),
    "there and back": lambda m: m.double().bfloat16().to("meta").to_empty(device="cpu").float(),
}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("kind", ["fixed", "cascade"])
def test_nothing_changes_a_fixed_transform(kind, tool):
    make = Scattering2D if kind == "fixed" else scatcuda.Cascade
    module, x = make(2, (16, 16), 4), torch.rand(3, 16, 16)
    expected = module(x)
    assert torch.equal(TOOLS[tool](module)(x), expected)
    assert all(buffer.is_floating_point() for buffer in make(2, (16, 16), 4).buffers())


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", ["filters", "wavelets"])
@pytest.mark.parametrize("tool", ["averaged", "written over", "cast in place", "reloaded"])
def test_nothing_changes_the_tables_of_a_learned_transform(kind, tool, frozen):
    module, x = Scattering2D(2, (16, 16), 4, trainable=kind), torch.rand(3, 16, 16)
    if frozen:
        module.freeze()
    expected = module(x)
    assert not list(module.buffers())
    torch.testing.assert_close(TOOLS[tool](module)(x), expected, rtol=1e-6, atol=1e-7)
