"""A generator that inverts whitened scattering."""

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("sklearn")
pytest.importorskip("safetensors")
from sklearn.datasets import load_digits

from scatcuda.cli import main
from scatcuda.files import DataError, read_tensors, write_tensors
from scatcuda.learn import GenerativeScattering
from scatcuda.learn.generative import Generator, draw_generated


@pytest.fixture(scope="module")
def x():
    return torch.from_numpy(load_digits().images).float() / 16


@pytest.fixture(scope="module")
def model(x):
    made = GenerativeScattering(J=1, L=4, dims=32, width=16, epochs=10, batch_size=32)
    return made.fit(x[:1400])


def test_the_embedding_is_white(model, x):
    z = model.embed(x[:1400])
    torch.testing.assert_close(z.mean(0), torch.zeros(32), atol=1e-3, rtol=0)
    torch.testing.assert_close(z.T @ z / len(z), torch.eye(32), atol=1e-2, rtol=0)
    few = GenerativeScattering(J=1, L=4, dims=8, epochs=0).fit(x[:50])  # fewer than coefficients
    z = few.embed(x[:50])
    torch.testing.assert_close(z.T @ z / 50, torch.eye(8), atol=1e-2, rtol=0)


def test_it_inverts_images_that_it_has_not_seen(model, x):
    assert model.history[-1] < 0.6 * model.history[0]
    test = x[1400:]
    found = (model.reconstruct(test) - test).abs().mean()
    assert found < 0.5 * (x[:1400].mean(0) - test).abs().mean()


def test_samples_lines_and_nearest_images(model, x):
    made = model.sample(40)
    assert made.shape == (40, 8, 8)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
    assert torch.equal(made, model.sample(40))
    assert not torch.equal(made, model.sample(40, seed=1))
    line = model.interpolate(x[3], x[4], 5)
    torch.testing.assert_close(line[[0, -1]], model.reconstruct(x[3:5]), atol=1e-5, rtol=0)
    assert torch.equal(model.nearest(x[7:9]), x[7:9])
    assert (model.nearest(made) - made).abs().mean(dim=(1, 2)).min() > 0  # no copies
    z = model.embed(model.sample(200))
    assert 0.3 < float(z.std()) < 1.5  # of a sample the embedding is nearly the noise again


def test_the_same_seed_gives_the_same_model(x):
    a, b, c = (
        GenerativeScattering(J=1, L=4, dims=8, width=4, epochs=1, seed=s).fit(x[:200]).sample(2)
        for s in (0, 0, 1)
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_colours_and_odd_sides():
    x = torch.rand(40, 3, 13, 17)
    model = GenerativeScattering(J=2, L=2, dims=5, width=4, epochs=1).fit(x)
    assert model.sample(3).shape == (3, 3, 13, 17)
    assert Generator(4, (1, 4, 4), 2)(torch.randn(2, 4)).shape == (2, 1, 4, 4)


def test_files(model, x, tmp_path):
    path = tmp_path / "model.safetensors"
    model.save(path)
    again = GenerativeScattering.load(path)
    assert torch.equal(again.sample(3), model.sample(3))
    assert torch.equal(again.reconstruct(x[:4]), model.reconstruct(x[:4]))
    assert again.history == model.history
    path.write_bytes(b"no")
    with pytest.raises(DataError):
        GenerativeScattering.load(path)
    model.save(path)
    tensors, facts = read_tensors(path)
    for name, tensor, fact in (  # a few bytes that claim to be large
        ("mean", torch.zeros(3), {}),
        ("train_x", torch.zeros(0, 1, 1 << 20, 1 << 20), {}),
        ("whitening", tensors["whitening"], {"dims": "65536", "width": "4096"}),
        ("whitening", tensors["whitening"], {"width": "4096"}),
        ("whitening", tensors["whitening"], {"lr": "nan"}),
        ("whitening", tensors["whitening"], {"J": "1e999"}),
    ):
        write_tensors(path, {**tensors, name: tensor}, {**facts, **fact})
        with pytest.raises(DataError, match="no generative model"):
            GenerativeScattering.load(path)


def test_picture_and_command(model, x, tmp_path, capsys):
    draw_generated(model, x[1400:], tmp_path / "made.png")
    assert Image.open(tmp_path / "made.png").size == (1800, 556)
    out, kept = f"{tmp_path}/digits.png", f"{tmp_path}/digits.safetensors"
    how = ["--J", "1", "--L", "4", "--dims", "8", "--width", "4", "--epochs", "1"]
    assert main(["generate", "digits", *how, "--output", out, "--save", kept]) == 0
    assert "mean error" in capsys.readouterr().out
    assert GenerativeScattering.load(kept).dims == 8
    assert main(["generate", "digits", *how, "--output", f"{tmp_path}/x.jpg"]) == 1
    assert "must end in .png" in capsys.readouterr().err


def test_the_command_takes_images_by_chance_and_as_they_are(tmp_path, monkeypatch, capsys):
    """Folders are sorted by class, and their images stay as large as they are."""
    taken = []
    monkeypatch.setattr(GenerativeScattering, "fit", lambda self, x, tell: taken.append(x))
    for label in range(10):
        (tmp_path / f"data/{label}").mkdir(parents=True)
        for i in range(10):
            level = np.full((16, 16), 20 * label + i, np.uint8)
            Image.fromarray(level).save(tmp_path / f"data/{label}/{i}.png")
    how = ["--test-fraction", "0.4", "--n", "30", "--J", "1", "--output", f"{tmp_path}/a.png"]
    main(["generate", f"{tmp_path}/data", *how])
    (x,) = taken
    assert x.shape[0] == 30 and x.shape[-2:] == (16, 16)
    assert len({int(level * 255) // 20 for level in x.flatten(1)[:, 0]}) > 6
    np.savez(tmp_path / "x.npz", x=np.full((60, 8, 8), 200.0, np.float32), y=np.arange(60) % 2)
    assert main(["generate", f"{tmp_path}/x.npz", *how]) == 1
    assert "must be of numbers from 0 to 1" in capsys.readouterr().err


def test_wrong_arguments(model, x):
    with pytest.raises(ValueError, match="dims must be between 1"):
        GenerativeScattering(dims=0)
    with pytest.raises(ValueError, match="lr must be positive"):
        GenerativeScattering(lr=0.0)
    with pytest.raises(ValueError, match="call fit first"):
        GenerativeScattering(J=1).sample(1)
    fresh = GenerativeScattering(J=1, dims=8)
    for images, told in (
        (x[:5], "more images than dims = 8; got 5"),
        (x[:20] * 2, "of values from 0 to 1"),
        (x[:20].int(), "must be a floating tensor"),
        (torch.ones(20, 8, 8), "dims must be at most"),
        (x[:20] * float("nan"), "of values from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=told):
            fresh.fit(images)
    with pytest.raises(ValueError, match="as it was fitted to"):
        model.embed(torch.rand(2, 9, 8))
    with pytest.raises(ValueError, match=r"z must be a tensor .n, 32."):
        model.decode(torch.rand(2, 31))


def test_a_refused_fit_leaves_the_model_as_it_was(x):
    model = GenerativeScattering(J=1, dims=8, width=8, epochs=1, lr=np.float32(3e-3)).fit(x[:60])
    before, sample = model.embed(x[:5]), model.sample(2)
    for wrong in (torch.rand(5, 3, 8, 8), torch.full((60, 8, 8), 0.5)):
        with pytest.raises(ValueError):
            model.fit(wrong)
    with pytest.raises(KeyboardInterrupt):
        model.fit(1 - x[:60], tell=lambda epoch, loss: (_ for _ in ()).throw(KeyboardInterrupt))
    assert torch.equal(model.embed(x[:5]), before) and torch.equal(model.sample(2), sample)
    for act in (
        lambda: model.decode(None), lambda: model.decode(np.zeros((1, 8))),
        lambda: model.interpolate(x[0], x[0, 1:]), lambda: model.interpolate(x[0], None),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="must be"):
            act()
    for wrong in (True, 0, "a", float("nan")):
        with pytest.raises((ValueError, TypeError), match="lr must be"):
            GenerativeScattering(lr=wrong)


@pytest.mark.parametrize(("n", "batch_size"), [(60, 64), (60, 60), (100, 64), (65, 64), (64, 16)])
def test_the_learning_rate_follows_the_steps(x, n, batch_size, monkeypatch):
    """It falls to its end with the last step, whether or not a batch is full."""
    rates = []
    step = torch.optim.Adam.step

    def noted(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    GenerativeScattering(J=1, dims=8, width=8, epochs=6, batch_size=batch_size).fit(x[:n])
    assert rates.index(max(rates)) == pytest.approx(0.3 * len(rates), abs=2)
    assert rates[-1] < 0.15 * max(rates)


@pytest.mark.parametrize("change", [
    lambda t: {"mean": t["mean"].half()}, lambda t: {"train_x": t["train_x"].double()},
    lambda t: {"whitening": t["whitening"] * float("nan")},
    lambda t: {"generator.last.weight": t["generator.last.weight"].half()},
    lambda t: {"generator.last.bias": t["generator.last.bias"] / 0},
])  # fmt: skip
def test_files_of_other_numbers(model, tmp_path, change):
    model.save(tmp_path / "m")
    tensors, facts = read_tensors(tmp_path / "m")
    write_tensors(tmp_path / "m", {**tensors, **change(tensors)}, facts)
    with pytest.raises(DataError, match=r"no generative model .* is (of|not finite)"):
        GenerativeScattering.load(tmp_path / "m")
