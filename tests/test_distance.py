"""ScatteringDistance, and the example that recovers a chirp by it."""

import copy
import math
import pickle
import runpy
from pathlib import Path

import pytest
import torch

from scatcuda import Scattering1D, TimeFrequencyScattering
from scatcuda.learn import ScatteringDistance

pytestmark = pytest.mark.filterwarnings("ignore:.*too short for T")
EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
TRANSFORMS = {
    "joint": lambda **more: TimeFrequencyScattering(J=4, J_fr=2, Q=4, shape=256, **more),
    "in time": lambda **more: Scattering1D(4, 256, Q=4, **more),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_all_paths(name):
    S = TRANSFORMS[name]()
    x, y = torch.randn(2, 3, 256, dtype=torch.float64), torch.randn(2, 3, 256, dtype=torch.float64)
    distance = ScatteringDistance(S.double())
    expected = (S(x) - S(y)).square().sum((-2, -1)).mean()
    torch.testing.assert_close(distance(x, y), expected)
    torch.testing.assert_close(distance(x[0, 0], y[0, 0]), (S(x[0, 0]) - S(y[0, 0])).square().sum())
    logs = [(S(z).sign() * (1 + S(z).abs() / 0.1).log()) for z in (x, y)]
    torch.testing.assert_close(
        ScatteringDistance(S, compression=0.1)(x, y),
        (logs[0] - logs[1]).square().sum((-2, -1)).mean(),
    )
    assert float(distance(x, x)) == 0
    assert torch.autograd.gradcheck(distance, (x[0, :1].requires_grad_(), y[0, :1]))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_mean_of_random_paths_is_the_whole(name):
    S = TRANSFORMS[name]()
    x, y = torch.randn(2, 256), torch.randn(2, 256)
    whole, one = ScatteringDistance(S), ScatteringDistance(S, paths=1)
    count = len(one._every)
    found, paths = {}, set()
    while len(found) < count:
        value = one(x, y)
        assert one.drawn is not None and len(one.drawn) == 1
        found[one.drawn[0]] = value
        paths.update(one.drawn)
    assert paths == set(one._every)
    torch.testing.assert_close(sum(found.values()) / count, whole(x, y), rtol=1e-4, atol=0)
    several = ScatteringDistance(S, paths=3)
    value = several(x, y)
    expected = sum(found[path] for path in several.drawn) / 3
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=0)
    again = ScatteringDistance(S, paths=3)
    assert torch.equal(again(x, y), value) and again.drawn == several.drawn
    assert ScatteringDistance(S, paths=3, seed=1)(x, y) != value


def test_paths_of_the_transform_are_kept():
    chosen = [(0,), (3, 1), (3, 5)]
    S = TRANSFORMS["joint"](paths=chosen, format="joint", F="global")
    distance = ScatteringDistance(S, paths=2)
    x, y = torch.randn(2, 256), torch.randn(2, 256)
    for _ in range(5):
        distance(x, y)
        assert set(distance.drawn) <= set(chosen)
    assert S.format == "joint"  # it is its own


def test_as_a_module():
    distance = ScatteringDistance(TRANSFORMS["joint"](), paths=2)
    x, y = torch.randn(2, 256), torch.randn(2, 256)
    distance(x, y)
    assert not distance.state_dict() and not list(distance.parameters())
    for copied in (copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))):
        again = copied(distance)  # which goes on with the same draws
        assert torch.equal(again(x, y), distance(x, y)) and again.drawn == distance.drawn
    wide = distance.double()
    assert wide(x.double(), y.double()).dtype == torch.float64
    x.requires_grad_()
    ScatteringDistance(TRANSFORMS["joint"]())(x, y).backward()
    assert x.grad.isfinite().all() and x.grad.any() and y.grad is None


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (lambda: ScatteringDistance(torch.nn.Identity()), TypeError, "transform must be"),
        (lambda: ScatteringDistance(Scattering1D(4, 256, T=0)), ValueError, "must average"),
        (
            lambda: ScatteringDistance(Scattering1D(4, 256, trainable="filters")),
            ValueError,
            "must have fixed filters",
        ),
        (lambda: ScatteringDistance(TRANSFORMS["joint"](), paths=0), ValueError, "paths must be"),
        (lambda: ScatteringDistance(TRANSFORMS["joint"](), paths=99), ValueError, "paths must be"),
        (lambda: ScatteringDistance(TRANSFORMS["joint"](), compression=0), ValueError, "positive"),
        (lambda: ScatteringDistance(TRANSFORMS["joint"](), compression="1"), TypeError, "a number"),
        (lambda: ScatteringDistance(TRANSFORMS["joint"](), seed=-1), ValueError, "seed must be"),
    ],
)
def test_mistakes(make, error, told):
    with pytest.raises(error, match=f"ScatteringDistance: .*{told}"):
        make()


def test_wrong_input():
    distance = ScatteringDistance(TRANSFORMS["joint"]())
    for x, y, error, told in (
        (torch.zeros(256), [0.0] * 256, TypeError, "must be tensors; got Tensor and list"),
        (torch.zeros(2, 256), torch.zeros(256), ValueError, r"one shape.*\(2, 256\) and \(256,\)"),
        (torch.zeros(0, 256), torch.zeros(0, 256), ValueError, "not be empty"),
        (torch.zeros(255), torch.zeros(255), RuntimeError, r"shape \(\.\.\., 256\)"),
    ):
        with pytest.raises(error, match=told):
            distance(x, y)


@pytest.mark.parametrize(("paths", "steps"), [(None, 100), (4, 200)])
def test_a_chirp_is_recovered(paths, steps):
    example = runpy.run_path(str(EXAMPLES / "recover_chirp.py"))
    right = torch.tensor([math.log2(512), 1.5])
    found, seen = example["recover"](example["chirp"](*right), (math.log2(400), 0.4), paths, steps)
    torch.testing.assert_close(found, right, rtol=0, atol=0.01)
    assert seen[-1] < seen[0] / 1000


def test_a_compressed_distance_has_a_slope_at_nothing():
    """log(1 + S / c) has 1 / c there."""
    distance = ScatteringDistance(Scattering1D(3, 64), compression=1e-3)
    x = torch.zeros(64, requires_grad=True)
    (gradient,) = torch.autograd.grad(distance(x, torch.rand(64)), x)
    assert gradient.abs().max() > 1e-3
    x, y = torch.rand(2, 64, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: distance.double()(x, y), x.requires_grad_())


def test_what_is_refused_draws_nothing():
    one, other = (ScatteringDistance(Scattering1D(4, 256), paths=2, seed=3) for _ in range(2))
    x, y = torch.rand(2, 256)
    with pytest.raises(ValueError):
        one(x[:100], y[:100])
    assert one(x, y) == other(x, y) and one.drawn == other.drawn
