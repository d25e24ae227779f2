"""Fields made from statistics: near them, the same from the same seed, taken up again."""

import itertools
import math
import sys

import numpy as np
import pytest
import torch

from scatcuda import Scattering1D, Scattering2D, ScatteringCovariance
from scatcuda.files import DataError
from scatcuda.synthesis import (
    Descent,
    Loss,
    denoise,
    descend,
    gaussian_like,
    invert,
    power_spectrum,
    psnr,
    separate,
    synthesise,
)


def texture(side=64, seed=0):
    """A log-normal field of a steep spectrum."""
    rng = np.random.default_rng(seed)
    f = np.fft.fftfreq(side)
    k = np.hypot(f[:, None], f)
    k[0, 0] = 1
    x = np.fft.ifft2(np.fft.fft2(rng.standard_normal((side, side))) * k**-1.2).real
    return torch.from_numpy(np.exp(x / x.std())).float()


@pytest.fixture(scope="module")
def covariance():
    return ScatteringCovariance((64, 64), J=4)


@pytest.fixture(scope="module")
def made(covariance):
    return synthesise(texture(), covariance, n=2, steps=120)


def test_statistics_of_what_is_made_are_the_targets(covariance, made):
    x = texture()
    P = covariance.power(x)
    wanted, found = covariance.statistics(x, P), covariance.statistics(made.x, P)
    for name in ("mean", "S1", "S2", "S3", "S4"):
        errors = (found[name] - wanted[name]).reshape(2, -1).norm(dim=1) / wanted[name].norm()
        assert float(errors.max()) == pytest.approx(made.errors[name], rel=1e-3, abs=1e-6)
        assert made.errors[name] <= 0.06, name
    # … and the fields are others
    correlation = torch.corrcoef(torch.cat([x[None], made.x]).flatten(1))
    assert float((correlation - torch.eye(3)).abs().max()) < 0.5


def test_power_spectrum_and_histogram_are_the_targets(made):
    x = texture()
    ratio = power_spectrum(made.x)[:, 2:24] / power_spectrum(x)[2:24]
    assert float(ratio.log().abs().mean()) < 0.15
    q = torch.linspace(0.02, 0.98, 25)
    apart = torch.stack([y.flatten().quantile(q) for y in (x, *made.x, gaussian_like(x)[0])])
    off = (apart[1:] - apart[0]).abs().mean(1) / x.std()
    assert float(off[:2].max()) < 0.12
    assert float(off[2]) > 2 * float(off[:2].max())  # a Gaussian field has another histogram


def test_history_falls(made):
    losses = [entry["loss"] for entry in made.history]
    assert [entry["iteration"] for entry in made.history] == list(range(len(losses)))
    assert losses[-1] < 3e-3 * losses[0]
    assert all(b <= a for a, b in itertools.pairwise(losses))


def test_the_same_seed_makes_the_same(covariance):
    x = texture()
    a, b, c = (synthesise(x, covariance, steps=5, seed=seed).x for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_taken_up_again_it_is_as_if_it_had_gone_on(covariance, optimiser, tmp_path):
    x = texture()
    whole = synthesise(x, covariance, steps=12, optimiser=optimiser)
    path = tmp_path / "half.safetensors"
    synthesise(x, covariance, steps=7, optimiser=optimiser, checkpoint=path)
    on = synthesise(x, covariance, steps=12, optimiser=optimiser, resume=path)
    assert torch.equal(on.x, whole.x)
    assert on.history == whole.history
    again = Descent.load(path)
    assert len(again.history) == 8
    on = synthesise(x, covariance, steps=12, optimiser=optimiser, resume=again)
    assert torch.equal(on.x, whole.x)


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_masks_between_0_and_1_are_taken_up_again(optimiser, tmp_path):
    x, covariance = texture(32), ScatteringCovariance((32, 32), J=3)
    mask = torch.rand(32, 32, generator=torch.Generator().manual_seed(0))
    seen: list[torch.Tensor] = []
    how = dict(mask=mask, optimiser=optimiser)
    whole = synthesise(x, covariance, steps=8, callback=lambda _, y: seen.append(y), **how)
    assert torch.equal(seen[-1], whole.x)  # what is shown is the field, not the unknown
    path = tmp_path / "half.safetensors"
    half = synthesise(x, covariance, steps=5, checkpoint=path, **how)
    assert torch.equal(Descent.load(path).x, half.x)
    half.save(tmp_path / "saved.safetensors")
    for before in (half, path, tmp_path / "saved.safetensors"):
        on = synthesise(x, covariance, steps=8, resume=before, **how)
        assert torch.equal(on.x, whole.x) and on.history == whole.history
    with pytest.raises(ValueError, match="resume must be of the same target of _between"):
        synthesise(x, covariance, steps=8, resume=half, optimiser=optimiser, mask=mask**2)
    with pytest.raises(ValueError, match="resume must be of the same losses; it is of 2 of them"):
        synthesise(x, covariance, steps=8, resume=half, optimiser=optimiser)


def test_other_losses_are_not_taken_up(tmp_path):
    """Even where their sums are alike."""
    x, path = texture(32), tmp_path / "begun.safetensors"
    begun = synthesise(x, ScatteringCovariance((32, 32), J=3), steps=1, checkpoint=path)
    for before in (begun, path):
        for other in (
            ScatteringCovariance((32, 32), J=2),
            ScatteringCovariance((32, 32), J=3, filters="bump"),
            lambda y: y.flatten(1),
        ):
            with pytest.raises(
                ValueError, match="resume must be of the same losses; it is of Scat"
            ):
                synthesise(x, other, steps=2, resume=before)
        with pytest.raises(ValueError, match="resume must be of the same target of ScatteringCova"):
            synthesise(x.roll(3, 0) + x.T, ScatteringCovariance((32, 32), J=3), resume=before)
    how = ScatteringCovariance((32, 32), J=3, backend="reference", tier="general")
    assert len(synthesise(x, how, steps=2, resume=path).history) == 3  # of the same numbers
    like = Loss(torch.nn.Identity(), torch.ones(3))
    start = torch.zeros(1, 3)
    descend(start, [like], steps=1, checkpoint=path)
    for other in (
        Loss(torch.nn.Identity(), torch.tensor([1.0, 1.0, 1.01])),
        Loss(torch.nn.Identity(), torch.ones(3), weight=1.01),
        Loss(torch.nn.Identity(), torch.ones(3), blocks=[3]),
        Loss(torch.nn.Identity(), torch.ones(3), mean=True),
        Loss(torch.nn.ReLU(), torch.ones(3)),
        lambda y: (y - 1).square().sum() / 3,
    ):
        with pytest.raises(ValueError, match="resume must be of the same"):
            descend(start, [other], steps=2, resume=path)
    near = Loss(torch.nn.Identity(), torch.ones(3) * (1 + 1e-6))  # as another device would sum
    assert len(descend(start, [near], steps=2, resume=path).history) >= 2
    old = Descent.load(path)
    old.signature = []  # of a file that does not tell
    assert descend(start, [like], steps=2, resume=old).x is not None


def test_a_file_that_is_no_descent(tmp_path, covariance):
    path = tmp_path / "no.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(DataError):
        Descent.load(path)
    from scatcuda.files import write_tensors

    for tensors in (
        {"y": torch.zeros(3)},
        {"x": torch.zeros(1, 64, 64), "history": torch.zeros(2)},
        {"x": torch.zeros(1, 64, 64), "history": torch.zeros(2, 2), "odd": torch.zeros(1)},
        {"x": torch.zeros(1), "history": torch.zeros(1, 2), "state.t.0.code": torch.zeros(1)},
    ):
        write_tensors(path, tensors, {"seconds": "1.0"})
        with pytest.raises(ValueError, match="descent"):
            Descent.load(path)
    tensors = {"x": torch.zeros(1, 4), "history": torch.zeros(1, 2)}
    for losses in ("{", "[[1, []]]", '[["a", ["b"]]]', "3", '["ab"]', "[" * 5000, '{"a": 1}'):
        write_tensors(path, tensors, {"seconds": "1.0", "losses": losses})
        with pytest.raises(ValueError, match="descent"):
            Descent.load(path)
    Descent(torch.zeros(1, 8, 8), [{"iteration": 0.0, "loss": 1.0}]).save(path)
    with pytest.raises(ValueError, match="resume must be of fields"):
        synthesise(texture(), covariance, resume=path)


def test_what_is_resumed_must_be_of_the_same_descent(covariance):
    x = texture()
    begun = synthesise(x, covariance, steps=2)
    with pytest.raises(ValueError, match="resume must be of the optimiser 'adam'"):
        synthesise(x, covariance, steps=3, optimiser="adam", resume=begun)
    begun.state["prev_flat_grad"] = torch.zeros(3)
    with pytest.raises(ValueError, match="resume has a 'prev_flat_grad' that is of other fields"):
        synthesise(x, covariance, steps=3, resume=begun)


def test_functions_of_one_name_are_told_apart_by_their_sums():
    def away(centre):
        return lambda x: (x - centre).square().sum()

    start = torch.zeros(1, 4)
    begun = descend(start, [away(1.0)], steps=1)
    assert descend(start, [away(1.0)], steps=2, resume=begun).history[:2] == begun.history
    with pytest.raises(ValueError, match="resume must be of the same losses, whose sum was"):
        descend(start, [away(3.0)], steps=2, resume=begun)


def test_progress_without_tqdm_is_refused(covariance, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match="progress needs tqdm"):
        synthesise(texture(), covariance, steps=1, progress=True)


def test_starts_masks_and_ensembles(covariance):
    x = texture()
    mask = torch.zeros(64, 64)
    mask[:, 32:] = 1
    start = texture(seed=5)
    found = synthesise(x, covariance, init=start, mask=mask, steps=10)
    assert torch.equal(found.x[0, :, :32], start[:, :32])
    assert not torch.equal(found.x[0, :, 32:], start[:, 32:])
    assert found.history[-1]["loss"] < 0.5 * found.history[0]["loss"]
    white = synthesise(x, covariance, init="noise", steps=0)
    assert float(white.x.std()) == pytest.approx(float(x.std()), rel=0.05)
    several = synthesise(x, covariance, n=4, ensemble=True, steps=40)
    each = [synthesise(x, covariance, init=y, steps=0).errors["S4"] for y in several.x]
    assert several.errors["S4"] < 0.5 * min(each)  # their mean is nearer than any of them
    mean = synthesise(torch.stack([x, start]), covariance, steps=0)
    assert mean.errors["S1"] > 0


def test_losses_callbacks_and_the_end(covariance):
    x, seen = texture(), []

    def callback(entry, fields):
        seen.append((entry["iteration"], fields.shape))
        return len(seen) == 3

    positive = lambda y: y.clamp(max=0).square().mean()  # noqa: E731
    found = synthesise(x, covariance, losses=[positive], callback=callback, steps=50)
    assert [i for i, _ in seen] == [1, 2, 3]
    assert set(found.history[-1]) == {"iteration", "loss", "loss_0", "loss_1"}
    entry = found.history[-1]
    assert entry["loss"] == pytest.approx(entry["loss_0"] + entry["loss_1"])


def test_levels(covariance):
    x = texture(128)
    large = ScatteringCovariance((128, 128), J=5)
    plain = synthesise(x, large, steps=30)
    found = synthesise(x, large, steps=30, levels=2)
    assert found.x.shape == (1, 128, 128)
    assert found.history[0]["loss"] < 0.5 * plain.history[0]["loss"]
    assert found.errors["S4"] < plain.errors["S4"]
    several = synthesise(x, large, n=3, steps=15, levels=2, ensemble=True)
    alone = synthesise(x, large, n=3, steps=0, levels=1, init=several.x)
    assert several.errors["S4"] < alone.errors["S4"]


@pytest.mark.parametrize("isotropic", [False, True])
def test_from_statistics_alone(isotropic):
    x = texture()
    plain = ScatteringCovariance((64, 64), J=4, normalise=False, isotropic=isotropic)
    found = synthesise(plain.statistics(x), plain, steps=60)
    wanted = plain.statistics(x)
    # a start of the same powers, where white noise has others
    apart = []
    for init in ("gaussian", "noise"):
        start = synthesise(plain.statistics(x), plain, init=init, steps=0).x[0]
        apart.append((plain.statistics(start)["S2"] / wanted["S2"]).log().abs().mean())
    assert apart[0] < 0.5 < 1.5 < apart[1]
    for name in ("S1", "S2"):
        away = (plain.statistics(found.x[0])[name] - wanted[name]).norm() / wanted[name].norm()
        assert float(away) < 0.04
    assert float(found.x.mean()) == pytest.approx(float(x.mean()), rel=0.02)
    normal = ScatteringCovariance((64, 64), J=4, isotropic=isotropic)
    models = (plain.double(), normal.double())
    both = (synthesise(x.double(), model, steps=3).history for model in models)
    for ours, theirs in zip(*both, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-6)


def test_signals():
    t = torch.arange(1024) / 1024
    x = torch.sin(2 * math.pi * 60 * t) * (1 + torch.sin(2 * math.pi * 4 * t)) + 0.1 * torch.randn(
        1024, generator=torch.Generator().manual_seed(0)
    )
    found = synthesise(x, ScatteringCovariance((1024,), J=7), steps=100)
    assert found.x.shape == (1, 1024)
    assert max(found.errors.values()) < 0.1


def test_any_statistics():
    moments = lambda x: torch.stack([x.mean((1, 2)), x.square().mean((1, 2))], 1)  # noqa: E731
    x = texture()
    found = synthesise(x, moments, steps=20, init="noise")
    assert found.errors["all"] < 1e-3
    with pytest.raises(ValueError, match="statistics must give a tensor"):
        synthesise(x, lambda y: y.mean(), steps=1)


def test_denoise():
    generator = torch.Generator().manual_seed(0)
    clean = texture()
    noise = 0.5 * clean.std() * torch.randn(9, 64, 64, generator=generator)
    observed = clean + noise[0]
    found = denoise(observed, noise[1:], steps=40)

    def distance(y):
        return float((power_spectrum(y)[5:] / power_spectrum(clean)[5:]).log().abs().mean())

    assert distance(found.x[0]) < 0.5 * distance(observed)
    with pytest.raises(ValueError, match="noise must be"):
        denoise(observed, noise[0])


def test_separate():
    rng = np.random.default_rng(3)

    def dots(seed):
        at = np.random.default_rng(seed).random((64, 64)) > 0.99
        return torch.from_numpy(at * 3.0).float()

    smooth = torch.nn.functional.avg_pool2d(texture(seed=2)[None, None], 5, 1, 2)[0, 0]
    other = torch.nn.functional.avg_pool2d(texture(seed=4)[None, None], 5, 1, 2)[0, 0]
    mixture = smooth + dots(1)
    found = separate(mixture, other, dots(2), steps=60)

    def likeness(a, b):
        return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])

    rest = mixture - found.x[0]
    assert likeness(rest, dots(1)) > likeness(mixture, dots(1)) + 0.05
    assert {"S4 of u", "S4 of v"} <= set(found.errors)
    del rng


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
@pytest.mark.parametrize("scale", [2.0**-70, 2.0**-20, 2.0**20, 2.0**70])
def test_units_make_no_difference(scale, optimiser):
    how = dict(steps=4, optimiser=optimiser)
    covariance, x = ScatteringCovariance((64, 64), J=4).double(), texture().double()
    made = [synthesise(unit * x, covariance, **how) for unit in (1.0, scale)]
    assert torch.equal(made[1].x, scale * made[0].x) and len(made[1].history) == 5
    scattering = Scattering2D(2, (64, 64)).double()
    found = [invert(scattering(unit * x), scattering, **how) for unit in (1.0, scale)]
    assert torch.equal(found[1].x, scale * found[0].x) and found[0].error == found[1].error


def test_the_mean_of_fields_of_large_units(covariance):
    x = 1e6 * (texture() + 5)
    made = synthesise(x, covariance, init=1e6 * texture(seed=1), steps=60)
    assert made.errors["mean"] < 0.01
    assert float(made.x.mean()) == pytest.approx(float(x.mean()), rel=0.01)


def test_units_beyond_float32(covariance):
    for scale in (1e-22, 1e22):
        with pytest.raises(ValueError, match=r"statistics of a field must be finite.*float32"):
            synthesise(scale * texture(), covariance, steps=1)


@pytest.mark.parametrize("unit", [0.0, -1.0, math.inf, math.nan, 1, None])
def test_a_unit_that_is_none(unit):
    start, one = torch.zeros(1, 4), Loss(lambda x: x.mean(1), torch.tensor(1.0))
    with pytest.raises(ValueError, match="resume has a unit that is none"):
        descend(start, [one], resume=Descent(start, [], state={"unit": unit}))


def test_psnr():
    x = torch.rand(8, 8)
    assert psnr(x, x) == math.inf and psnr(x, x + 0.1) == pytest.approx(20, abs=1e-4)


def test_wrong_arguments(covariance):
    x = texture()
    plain = ScatteringCovariance((64, 64), J=4, normalise=False)
    for arguments, told in (
        (dict(target=x[:32]), "a field must be"),
        (dict(target=x.int()), "a field must be a real floating tensor"),
        (dict(target=x / 0), "of finite numbers"),
        (dict(n=0), "n must be at least 1"),
        (dict(init="zeros"), "init must be 'gaussian', 'noise' or fields"),
        (dict(init=x[:3]), "init must be fields"),
        (dict(levels=2, mask=x), "a mask is for levels = 1; got levels = 2"),
        (dict(mask=x[:3]), "mask must have the shape of a field"),
        (dict(steps=-1), "steps must be at least 0"),
        (dict(optimiser="sgd"), "optimiser must be one of 'lbfgs', 'adam'"),
        (dict(lr=0), "lr must be positive"),
        (dict(seed=-1), "seed must be"),
        (dict(levels=3, statistics=lambda y: y.flatten(1)), "levels need a ScatteringCovariance"),
        (dict(target=plain.statistics(x)), "ScatteringCovariance.normalise=False."),
        (dict(target={"S2": x}, statistics=plain), "target must be blocks as the method"),
        (dict(target=plain.statistics(x[None]), statistics=plain), "statistics of one field"),
        (dict(target=None), "a field must be"),
        (dict(target=x.half()), "float32 or float64"),
        (dict(seed=True), "synthesise: seed must be an integer"),
        (dict(seed=None), "synthesise: seed must be an integer"),
        (dict(seed="a"), "synthesise: seed must be an integer"),
        (dict(losses=torch.mean), "losses must be a sequence of functions"),
        (dict(losses=[1]), "losses must be a sequence of functions"),
        (dict(losses=[lambda y: 1.0]), "losses must give a tensor of one real number; got 1.0"),
        (dict(losses=[lambda y: y]), "losses must give a tensor of one real number"),
        (dict(statistics=1), "statistics must be a module or a function; got 1"),
        (dict(callback=1), "callback must be a function; got 1"),
        (dict(resume=1), "resume must be a descent or a file's name; got 1"),
        (dict(lr=True), "lr must be a number; got True"),
        (dict(lr="a"), "lr must be a number"),
        (dict(ensemble="a"), "ensemble must be a bool"),
        (dict(progress="a"), "progress must be a bool"),
        (dict(init=x.numpy()), "init must be 'gaussian', 'noise' or fields; got ndarray"),
        (dict(init=x / 0), "init must be a real floating tensor of finite numbers"),
        (dict(mask=-x), "mask must be from 0 to 1"),
        (dict(mask=x * math.nan), "mask must be from 0 to 1"),
        (dict(mask=x + 0j), "mask must be from 0 to 1"),
    ):
        given = {"target": x, "statistics": covariance, "steps": 1, **arguments}
        with pytest.raises((ValueError, TypeError), match=told):
            synthesise(**given)
    with pytest.raises(ValueError, match="losses must not be empty"):
        descend(x, [])
    with pytest.raises(FloatingPointError, match="the loss of the start is nan"):
        descend(x, [lambda y: y.sum() * math.nan])
    with pytest.raises(ValueError, match="weight must be positive"):
        Loss(torch.abs, x, weight=0)
    with pytest.raises(ValueError, match="blocks must have"):
        Loss(torch.abs, x, blocks=[3])
    with pytest.raises(ValueError, match="counts must be 2"):
        Loss(torch.abs, x, blocks=[32, 32], counts=[1.0])
    with pytest.raises(ValueError, match="target must have the shape"):
        Loss(torch.abs, x[0])(x[None])
    with pytest.raises(ValueError, match="target must have the shape"):
        Loss(torch.abs, torch.ones(3, 4))(torch.ones(2, 4))
    with pytest.raises(ValueError, match="statistics must give a tensor"):
        Loss(torch.mean, torch.tensor(1.0))(x[None])
    with pytest.raises(ValueError, match="losses must depend on the fields"):
        descend(x, [lambda y: torch.tensor(1.0)])
    for wrong, told in (
        (dict(target=torch.tensor(1.0), blocks=[1]), "blocks must have 0 numbers together"),
        (dict(blocks=[32.0, 32.0]), "a number in blocks must be an integer"),
        (dict(blocks=64), "blocks must be a sequence of numbers; got 64"),
        (dict(blocks=[64], counts=[-1]), "a number in counts must be 0 or more and finite"),
        (dict(blocks=[64], counts=1), "counts must be a sequence of numbers"),
        (dict(weight=True), "weight must be a number"),
        (dict(mean="a"), "mean must be a bool"),
        (dict(of=1), "statistics and of must be functions"),
    ):
        with pytest.raises((ValueError, TypeError), match=told):
            Loss(**{"statistics": torch.abs, "target": x, **wrong})


@pytest.mark.parametrize("kind", [float, np.float32, np.float64, torch.tensor])
def test_numbers_of_any_kind(kind):
    start = torch.zeros(1, 3)
    loss = Loss(torch.abs, torch.ones(3), kind(0.5), blocks=[1, 2], counts=[kind(1.0), 2])
    found = descend(start + 0.1, [loss], steps=2, lr=kind(0.5)).history
    same = Loss(torch.abs, torch.ones(3), 0.5, blocks=[1, 2], counts=[1, 2])
    assert found == descend(start + 0.1, [same], steps=2, lr=0.5).history
    scattering = Scattering2D(J=1, shape=(8, 8))
    S = scattering(torch.rand(8, 8))
    assert invert(S, scattering, scale=kind(0.5), mean=kind(1.0), steps=1).x.shape == (1, 8, 8)
    assert psnr(torch.zeros(2), torch.ones(2), kind(1.0)) == 0


def test_wrong_arguments_of_the_others(covariance):
    x = texture()
    noise = x[None]
    for wrong in (None, noise.numpy(), noise[:0], noise + 0j, noise * math.nan, noise.int()):
        with pytest.raises(TypeError, match="denoise: noise must be a real floating tensor"):
            denoise(x, wrong, covariance, steps=1)
    for weights in ((1,), (1, 1, 1), None, 1, "ab", (0, 1), (1, math.nan), (True, 1)):
        with pytest.raises((TypeError, ValueError), match=r"separate: (each of )?weights must be"):
            separate(x, x, x, covariance, weights=weights, steps=1)
    for given, told in (
        ((None,), "target must be a real"),
        ((x.int(),), "target must be a real"),
        ((x[0, 0],), "target must be a real"),
        ((x, 0), "n must be at least 1"),
        ((x, 1, -1), "gaussian_like: seed must be between"),
    ):
        with pytest.raises((TypeError, ValueError), match=told):
            gaussian_like(*given)
    for given in ((x, 3), (x, 0), (x, "a"), (x, True), (torch.tensor(1.0),), (None,), (x[:0],)):
        with pytest.raises((TypeError, ValueError), match=r"power_spectrum: (x|rank) must be"):
            power_spectrum(*given)
    for given in ((x, x[:3]), (x[:, :1], x[:1]), (x, None), (x, x, 0), (x, x, "a"), (x + 0j, x)):
        with pytest.raises((TypeError, ValueError), match=r"psnr: (x|wanted|peak) must "):
            psnr(*given)
    dark, bright = torch.tensor([0, 3]), torch.tensor([255, 3])
    assert psnr(dark.byte(), bright.byte(), 255) == pytest.approx(10 * math.log10(2))


# --- inversion --------------------------------------------------------------------------------


def image(side=32):
    x = texture(side)
    return (x - x.min()) / (x.max() - x.min())


def test_two_orders_keep_more_than_one():
    x = image(64)
    found = []
    for order in (1, 2):
        scattering = Scattering2D(J=3, shape=(64, 64), max_order=order)
        inverted = invert(scattering(x), scattering, steps=150)
        away = (scattering(inverted.x[0]) - scattering(x)).norm() / scattering(x).norm()
        assert inverted.error == pytest.approx(float(away), rel=1e-3)
        assert inverted.error < 0.03
        found.append(psnr(inverted.x[0], x))
    assert found[1] > found[0] + 1


def test_signals_come_back():
    t = torch.arange(512) / 512
    x = torch.sin(2 * math.pi * (20 + 40 * t) * t)
    scattering = Scattering1D(J=4, shape=512, Q=4)
    inverted = invert(scattering(x), scattering, steps=200, scale=0.3)
    assert inverted.error < 0.05
    several = invert(scattering(torch.stack([x, x.flip(0)])), scattering, steps=3)
    assert several.x.shape == (2, 512)


def test_inversions_that_cannot_be():
    scattering = Scattering2D(J=2, shape=(16, 16))
    S = scattering(torch.rand(16, 16))
    for arguments, told in (
        (dict(S=S[:3]), "S must be coefficients .81, 4, 4. of the transform"),
        (dict(S=S.long()), "S must be a real floating tensor"),
        (dict(init="zeros"), "init must be 'noise' or a tensor"),
        (dict(init=torch.rand(15, 16)), "must have shape"),
        (dict(scale=0.0), "scale must be positive"),
        (dict(scale=True), "scale must be a number"),
        (dict(mean="a"), "mean must be a number"),
        (dict(mean=math.inf), "mean must be finite"),
        (dict(seed="a"), "invert: seed must be an integer"),
        (dict(seed=True), "invert: seed must be an integer"),
        (dict(seed=-1), "invert: seed must be between"),
        (dict(init=np.zeros((16, 16))), "init must be 'noise' or a tensor; got ndarray"),
        (dict(init=torch.zeros(16, 16).int()), "init must be .*, of real finite numbers"),
        (dict(transform=None), "transform must be a module or a function"),
        (dict(transform=torch.abs), "must have an input_shape, or init be given"),
        (
            dict(transform=Scattering2D(J=2, shape=(16, 16), out_type="list")),
            "must give a tensor .out_type='array'.",
        ),
    ):
        with pytest.raises((ValueError, TypeError), match=told):
            invert(**{"S": S, "transform": scattering, "steps": 1, **arguments})


def test_fields_of_mean_zero(rng):
    """A mean that is 0 but for rounding is no unit of distances."""
    target = torch.randn(32, 32, generator=torch.Generator().manual_seed(0)).cumsum(0).double()
    covariance = ScatteringCovariance((32, 32), J=3).double()
    found = synthesise(target - target.mean(), covariance, steps=40)
    assert len(found.history) > 30
    assert found.history[-1]["loss"] < 0.05 * found.history[0]["loss"]
    assert found.errors["mean"] < 0.2
    with pytest.raises(ValueError, match="least must be 2, one for each of blocks; got 1"):
        Loss(lambda x: x, torch.zeros(4), blocks=[1, 3], least=[0.1])
