"""Some paths of the transform: the programs of random selections, their numbers, their errors."""

from __future__ import annotations

import pickle
import random
from math import prod

import capi
import numpy as np
import pytest
import torch
from oracle import relative_error
from torch import Tensor

from scatcuda import Scattering2D
from scatcuda.ops import reference
from scatcuda.program import Wavelet, images, parse, wavelets_of_images
from scatcuda.program.plan import Plan, wavelet_numbers

Path = tuple[int, ...]
GOOD = dict(J=3, shape=(17, 24), L=4, max_order=3)
SINGLE, DOUBLE = 1e-6, 1e-13  # relative errors


def some_paths(rng: random.Random, whole: tuple[Path, ...]) -> list[Path]:
    """A few, most, or those along some wavelets: in any order."""
    share = rng.choice([0.02, 0.2, 0.8, 0.97])
    n = max(max(path, default=0) for path in whole) + 1
    along = set(rng.sample(range(n), rng.randint(1, n)))
    found = [path for path in whole if rng.random() < share and (share < 1 or along >= set(path))]
    found += [path for path in whole if along >= set(path) and rng.random() < 0.5]
    found = list(dict.fromkeys(found)) or [rng.choice(whole)]
    rng.shuffle(found)
    return found


# --- programs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(60))
def test_channels_are_the_chosen_paths_in_the_order_of_the_whole(number, rng):
    J, L = rng.randint(1, 4), rng.randint(1, 5)
    max_order, side = rng.randint(0, max(J, 2)), 1 << J
    whole = Plan(J, L, max_order, side, side).paths
    chosen = tuple(some_paths(rng, whole))
    program = images(J, L, max_order, side, side, paths=chosen)
    tables = wavelets_of_images(J, L, max_order, chosen)
    assert wavelet_numbers(program, tables, L) == tuple(p for p in whole if p in set(chosen))
    assert len(program.sets) == len(tables) == len(set(tables))
    assert parse(program.text) == program
    # every set is used, and no wavelet that leads to no chosen path
    steps = [step for step in program.steps if isinstance(step, Wavelet)]
    assert {step.set for step in steps} == set(range(len(tables)))
    planes = sum(prod(program.planes[i].digits) for i, step in enumerate(program.steps)
                 if isinstance(step, Wavelet))  # fmt: skip
    assert planes == len({path[:k] for path in chosen for k in range(1, len(path) + 1)})


@pytest.mark.parametrize("problem", [(1, 3, 2), (2, 8, 2), (3, 4, 3), (4, 2, 3), (3, 2, 0)])
def test_all_paths_are_the_whole(problem):
    J, L, max_order = problem
    plan = Plan(*problem, 32, 40)
    assert images(J, L, max_order, 32, 40, paths=plan.paths).text == plan.program


def test_what_goes_on_alike_is_one_step():
    L = 8
    family = tuple(p for p in Plan(3, L, 2, 8, 8).paths if p and p[0] < L)
    verbs = [step.verb for step in images(3, L, 2, 8, 8, paths=family).steps]
    assert verbs == ["wavelet", "average"] * 3
    every = tuple(range(L))
    assert wavelets_of_images(3, L, 2, family) == ((0, 0, every), (0, 1, every), (0, 2, every))
    # one of eight angles goes on otherwise: those before it, itself, those after it
    less = tuple(p for p in family if p != (3, 8))
    angles = [table[2] for table in wavelets_of_images(3, L, 2, less) if table[1] == 0]
    assert angles == [(0, 1, 2), (3,), (4, 5, 6, 7)]


# --- numbers ------------------------------------------------------------------------------------


def kept(module: Scattering2D, whole: Scattering2D) -> list[int]:
    return [whole._plan.paths.index(path) for path in module._plan.paths]


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("number", range(8))
def test_values_are_those_of_the_whole(number, backend, rng):
    arguments = GOOD | dict(L=rng.choice([1, 4, 8, 9]), max_order=rng.choice([1, 2, 3]),
                            filters=rng.choice(["morlet", "tight"]), backend=backend)  # fmt: skip
    if arguments["L"] == 1:
        arguments["filters"] = "morlet"  # one angle is no frame
    whole = Scattering2D(**arguments)
    chosen = some_paths(rng, whole._plan.paths)
    module = Scattering2D(**arguments, paths=chosen)
    assert module.output_shape == (len(chosen), *whole.output_shape[1:])
    assert module.paths == tuple(sorted(chosen, key=lambda path: (len(path), path)))
    index, x = kept(module, whole), torch.rand(3, 17, 24)
    assert index == sorted(index)
    assert relative_error(module(x), whole(x)[:, index]) <= SINGLE
    module, whole, x = module.double(), whole.double(), x.double()
    assert relative_error(module(x), whole(x)[:, index]) <= DOUBLE
    for name, values in module.meta().items():
        expected = whole.meta()[name][index]
        assert np.array_equal(
            values, expected if name == "order" else expected[:, : values.shape[1]]
        )


def test_a_function_of_meta_chooses():
    whole, x = Scattering2D(**GOOD), torch.rand(2, 17, 24)
    S = whole(x)
    for choose in (
        lambda meta: meta["order"] == 2,
        lambda meta: meta["j"][:, 0] == 1,
        lambda meta: torch.from_numpy(meta["theta"]).amax(1) < 2,
        lambda meta: (meta["order"] != 1).tolist(),
    ):
        module = Scattering2D(**GOOD, paths=choose)
        mask = torch.as_tensor(choose(whole.meta()))
        assert relative_error(module(x), S[:, mask]) <= SINGLE
        again = Scattering2D(**GOOD, paths=[*module.paths][::-1])
        assert torch.equal(again(x), module(x)) and again.paths == module.paths


def test_a_list_of_any_integers_chooses():
    module = Scattering2D(**GOOD, paths=[np.array([0, 5]), torch.tensor([2]), [], (1, 5, 8)])
    assert module.paths == ((), (2,), (0, 5), (1, 5, 8))
    assert Scattering2D(**GOOD, paths=iter([(2,)])).output_shape[0] == 1
    assert Scattering2D(**GOOD, paths={(2,), (3, 4)}).paths == ((2,), (3, 4))
    assert Scattering2D(**GOOD).paths is None


def test_as_a_list():
    module = Scattering2D(**GOOD, paths=[(3, 9), ()], out_type="list")
    x = torch.rand(17, 24)
    channels = module(x)
    assert [channel["n"] for channel in channels] == [(), (3, 9)]
    assert channels[1]["j"] == (0, 2) and channels[1]["theta"] == (3, 1)
    module.out_type = "array"
    assert torch.equal(torch.stack([channel["coef"] for channel in channels]), module(x))


def test_only_the_filters_in_use_are_packed():
    whole = Scattering2D(3, (32, 32), 8)
    finest = Scattering2D(3, (32, 32), 8, paths=[(7,), (3,)])
    boxes = finest._packed.psi_support
    assert boxes.shape == (1, 5) and finest._program.count("psi 2 ") == 1
    # of two angles four lanes, of which two are empty
    table = finest._packed.psi.view(-1, 4)
    assert table[:, :2].any(0).all() and not table[:, 2:].any()
    bins = len(table)
    assert torch.equal(table[:, 1], whole._packed.psi[: 8 * bins].view(-1, 8)[:, 7])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_those_of_the_whole(dtype, rng):
    whole = Scattering2D(**GOOD).to(dtype)
    module = Scattering2D(**GOOD, paths=some_paths(rng, whole._plan.paths)).to(dtype)
    x = torch.rand(2, 17, 24, dtype=dtype, requires_grad=True)
    weights = torch.rand(2, *module.output_shape, dtype=dtype)
    (ours,) = torch.autograd.grad(module(x), x, weights)
    (expected,) = torch.autograd.grad(whole(x)[:, kept(module, whole)], x, weights)
    assert relative_error(ours, expected) <= (1e-5 if dtype == torch.float32 else 1e-12)


def test_gradcheck(rng):
    arguments = dict(J=2, shape=(4, 5), L=3, paths=[(0, 4), (1, 4), (1, 5), (2,), ()])
    module = Scattering2D(**arguments).double()
    x = torch.randn(1, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,))


# --- its life as a module -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["filters", "wavelets"])
def test_learned(kind, rng):
    whole = Scattering2D(**GOOD, trainable=kind).double()
    with torch.no_grad():
        for value in whole.parameters():
            value.add_(0.1 * value.abs().mean().clamp(min=0.1) * torch.randn_like(value))
    chosen = some_paths(rng, whole._plan.paths)
    module = Scattering2D(**GOOD, trainable=kind, paths=chosen).double()
    module.load_state_dict(whole.state_dict())
    x, index = torch.rand(2, 17, 24, dtype=torch.float64), kept(module, whole)
    S, expected = module(x), whole(x)[:, index]
    assert relative_error(S, expected) <= 1e-12
    weights = torch.rand_like(S)
    for ours, theirs in zip(
        torch.autograd.grad(S, [*module.parameters()], weights, materialize_grads=True),
        torch.autograd.grad(expected, [*whole.parameters()], weights, materialize_grads=True),
        strict=True,
    ):
        assert relative_error(ours, theirs) <= 1e-11 or not theirs.any()
    with torch.no_grad():
        assert relative_error(module(x), S) <= 1e-12
    assert relative_error(module.freeze()(x), S) <= 1e-12
    if torch._dynamo.is_dynamo_supported():
        compiled = torch.compile(module.unfreeze(), fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), S)


@pytest.mark.parametrize("out_type", ["array", "list"])
def test_compiled_in_one_graph_and_exported(out_type):
    def total(module: Scattering2D, x: Tensor) -> Tensor:
        S = module(x)
        return sum(c["coef"] * len(c["n"]) for c in S) if out_type == "list" else S.sum(-3)

    module = Scattering2D(**GOOD, paths=[(), (5,), (2, 5)], out_type=out_type)
    x = torch.rand(2, 17, 24)
    if torch._dynamo.is_dynamo_supported():
        compiled = torch.compile(total, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(module, x), total(module, x))
    if out_type == "array":
        exported = torch.export.export(module, (x,)).module()
        assert torch.equal(exported(x), module(x))


def test_what_was_chosen_is_kept(tmp_path):
    capi.library()
    module, x = Scattering2D(**GOOD, paths=lambda meta: meta["j"][:, 1] == 2), torch.rand(2, 17, 24)
    copied = pickle.loads(pickle.dumps(module))
    assert torch.equal(copied(x), module(x)) and copied.paths == module.paths
    assert f"paths=<{module.output_shape[0]} chosen>" in repr(module) == repr(copied)
    assert "paths" not in repr(Scattering2D(**GOOD))
    torch.testing.assert_close(copied.double().float()(x), module(x))
    module.save_plan(tmp_path / "plan.scat")
    plan = capi.Plan(tmp_path / "plan.scat")
    assert plan.describe().channels == len(module.paths)
    assert np.array_equal(plan.forward(x.numpy()), module(x).numpy())
    module.backend = "reference"
    assert relative_error(module(x), copied(x)) <= SINGLE


def test_empty_batch_and_paths_without_a_wavelet():
    module = Scattering2D(**GOOD, paths=[()])
    assert module(torch.zeros(0, 17, 24)).shape == (0, 1, 2, 3)
    x = torch.rand(2, 17, 24)
    assert torch.equal(module(x), Scattering2D(**GOOD | {"max_order": 0})(x))
    assert reference.scattering(x, *module._packed, module._program).shape == (2, 1, 2, 3)


# --- errors -------------------------------------------------------------------------------------


def fails(meta):
    raise KeyError("their own")


BAD = [
    (3, TypeError, "paths must be a list of paths or a function of meta(); got 3"),
    ("all", TypeError, "paths must be a list of paths or a function of meta(); got 'all'"),
    ([3], TypeError, "paths must be tuples of wavelet numbers; got 3"),
    (["ab"], TypeError, "paths must be tuples of wavelet numbers; got 'ab'"),
    ([(0.0,)], TypeError, "a number in paths must be an integer; got 0.0"),
    ([(True,)], TypeError, "a number in paths must be an integer; got True"),
    ([(12,)], ValueError, "a number in paths must be between 0 and 11; got 12"),
    ([(0, -1)], ValueError, "a number in paths must be between 0 and 11; got -1"),
    ([(4, 0)], ValueError, "paths must have wavelets increasing scale got (4, 0) where L = 4"),
    ([(0, 1)], ValueError, "paths must have wavelets increasing scale got (0, 1) where L = 4"),
    ([(0, 4, 8)], ValueError, "paths must have at most max_order = 2 of them; got (0, 4, 8)"),
    ([(0,), (1,), (0,)], ValueError, "paths must differ; got (0,) twice"),
    ([], ValueError, "paths must choose at least one; got none"),
    (lambda meta: meta["order"] == 9, ValueError, "paths must choose at least one; got none"),
    (lambda meta: meta["order"], ValueError, "paths(meta) mask of bool 61 channels; got int64"),
    (lambda meta: meta["j"] == 0, ValueError, "paths(meta) mask of bool got bool shape (61, 2)"),
    (lambda meta: True, ValueError, "paths(meta) mask of bool got bool of shape ()"),
    (lambda meta: None, ValueError, "paths(meta) mask of bool got object of shape ()"),
]


@pytest.mark.parametrize(("paths", "kind", "told"), BAD, ids=[told for *_, told in BAD])
def test_bad_paths(paths, kind, told):
    with pytest.raises(kind) as caught:
        Scattering2D(3, (17, 24), 4, paths=paths)
    message = str(caught.value)
    assert message.startswith("Scattering2D: ") and "\n" not in message
    assert all(word in message for word in told.split(" ")), message


def test_a_function_s_own_error_is_its_own():
    with pytest.raises(KeyError, match="their own"):
        Scattering2D(3, (17, 24), 4, paths=fails)


def test_what_was_chosen_is_fixed():
    module = Scattering2D(3, (17, 24), 4, paths=[(3,)])
    with pytest.raises(AttributeError, match="max_order is fixed when paths are chosen"):
        module.max_order = 1
    with pytest.raises(AttributeError, match="paths is fixed when the module is built"):
        module.paths = None
    assert module.max_order == 2


def test_plans_of_wrong_paths():
    for chosen in ((), ((1,), (0,)), ((0,), (0,)), [(0,)], ((9,),)):
        with pytest.raises(ValueError, match="Plan: "):
            Plan(2, 4, 2, 8, 8, chosen=chosen)


def test_so_many_steps_are_refused():
    """Every other angle, and what follows is another for each: nothing is shared."""
    L, rng = 64, random.Random(0)
    paths = [
        (a, L + b, 2 * L + c)
        for a in range(L) for b in range(L) for c in rng.sample(range(L), 2)
    ]  # fmt: skip
    with pytest.raises(ValueError, match="Scattering2D: the number of steps along all paths"):
        Scattering2D(3, (8, 8), L, max_order=3, paths=paths)
