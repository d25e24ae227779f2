"""Networks: sizes, parameters, what a checkpoint and a compiler need, and that they learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scatcuda import Cascade, Scattering2D
from scatcuda.data import digits
from scatcuda.learn import evaluate, fit, predict
from scatcuda.learn.networks.blocks import InceptionBlock, LocallyConnected, Standardization
from scatcuda.learn.networks.hybrids import HEADS, linear_head, resnet_head
from scatcuda.learn.networks.models import MODELS, Hybrid, build, hybrid, inception

_NAMES = [*(name for name in MODELS if name != "hybrid"), *(f"hybrid-{head}" for head in HEADS)]
_SMALL = {
    "alexnet": {"width": 8},
    "deepface": {"width": 4},
    "hybrid-linear": {},
    "hybrid-mlp": {"width": 32},
}


def _small(name: str, shape=(1, 28, 28), classes: int = 10) -> nn.Module:
    return build(name, classes, shape, **_SMALL.get(name, {"width": 8, "depth": 1}))


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 33), (2, 64, 48), (3, 16, 16)])
def test_shapes(name, shape):
    assert _small(name, shape, 7)(torch.rand(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("name", ["alexnet", "deepface", "inception", "resnet"])
def test_large_images(name):
    assert _small(name, (3, 224, 224)).eval()(torch.rand(1, 3, 224, 224)).shape == (1, 10)


@pytest.mark.parametrize(
    "name, shape, classes, millions",
    [
        ("alexnet", (3, 32, 32), 10, 1.47),
        ("alexnet", (3, 224, 224), 1000, 61.1),
        ("deepface", (1, 32, 32), 40, 1.17),
        ("deepface", (3, 224, 224), 4030, 117.4),
        ("inception", (3, 32, 32), 10, 0.44),
        ("inception", (3, 224, 224), 1000, 11.7),
        ("resnet", (3, 32, 32), 10, 0.272),
        ("resnet", (3, 224, 224), 1000, 11.69),
    ],
)
def test_numbers_of_parameters_as_documented(name, shape, classes, millions):
    with torch.device("meta"):
        network = build(name, classes, shape)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize("name", _NAMES)
def test_checkpoint_and_evaluation(name):
    network, other = _small(name), _small(name)
    x = torch.rand(8, 1, 28, 28)
    network(x)  # statistics
    with torch.no_grad():
        for parameter in network.parameters():  # the linear head starts at 0
            parameter += 0.01 * torch.randn_like(parameter)
    assert not torch.equal(network(x[:4]), network(x[4:]))
    other.load_state_dict(network.state_dict())
    y = network.eval()(x)
    assert torch.equal(y, network(x))
    assert torch.equal(y, other.eval()(x))
    torch.testing.assert_close(y[:3], network(x[:3]))  # of each image alone


@pytest.mark.parametrize("name", _NAMES)
def test_compile_and_export(name):
    network, x = _small(name, (1, 16, 16)), torch.rand(4, 1, 16, 16)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    compiled(x).sum().backward()  # in training
    assert all(p.grad is not None for p in network.parameters())
    network.eval()
    exported = torch.export.export(network, (x,)).module()
    torch.testing.assert_close(exported(x), network(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("name", _NAMES)
def test_cast_as_a_whole(name, dtype):
    """Forward and a step, of what a user casts; the numbers of float32 to the dtype's digits."""
    torch.manual_seed(0)
    network, x, y = _small(name, (1, 16, 16)), torch.rand(8, 1, 16, 16), torch.arange(8)
    network(x)  # statistics
    exact = network.eval()(x)
    network.to(dtype)
    found = network(x.to(dtype))
    assert found.dtype == dtype
    scale = float(exact.abs().max().detach()) + 1e-6
    assert (
        float((found.float() - exact).abs().max().detach())
        < 30 * torch.finfo(dtype).eps * scale + 1e-5
    )
    network.train()
    before = {key: p.detach().clone() for key, p in network.named_parameters()}
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    nn.functional.cross_entropy(network(x.to(dtype)).float(), y).backward()
    optimiser.step()
    changed = [key for key, p in network.named_parameters() if not torch.equal(p, before[key])]
    assert changed and all(p.isfinite().all() for p in network.parameters())
    assert all(p.dtype == dtype for p in network.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["hybrid-linear", "hybrid-resnet", "resnet"])
@pytest.mark.parametrize("augment", ["none", "crop=1"])
def test_fit_in_another_dtype(name, dtype, augment):
    """With cached features and without."""
    x, y = digits(8)
    network = _small(name, (1, 8, 8)).to(dtype)
    kept = fit(network, (x[:64], y[:64]), (x[64:128], y[64:128]), augment=augment,
               epochs=1, min_steps=2, batch_size=32, device="cpu")  # fmt: skip
    assert len(kept) and all(p.dtype == dtype for p in network.parameters())
    assert predict(network, x[:3], device="cpu").dtype == torch.float32


@pytest.mark.parametrize("trainable", ["filters", "wavelets"])
def test_a_cast_hybrid_learns_its_filters(trainable):
    model = hybrid(10, (1, 16, 16), J=2, L=4, head="mlp", width=16, trainable=trainable).bfloat16()
    nn.functional.cross_entropy(model(torch.rand(4, 1, 16, 16)).float(), torch.arange(4)).backward()
    grads = [p.grad for p in model.scattering.parameters()]
    assert all(g is not None and g.dtype == torch.bfloat16 and g.isfinite().all() for g in grads)


def test_a_cast_cascade_computes_in_float32():
    cascade, x = Cascade(J=2, shape=(16, 16), L=4), torch.rand(2, 16, 16)
    expected = cascade(x)
    torch.testing.assert_close(cascade.bfloat16()(x.bfloat16()), expected, atol=1e-2, rtol=1e-2)
    assert cascade.double()(x).dtype == torch.float64


def test_standardization_counts_in_half_precision():
    """The statistics of 400 batches, as in float32."""
    exact, half = Standardization(3), Standardization(3).bfloat16()
    batches = 5 + 3 * torch.randn(400, 16, 3).bfloat16()
    for x in batches:
        assert half(x).dtype == torch.bfloat16
        exact(x.float())
    torch.testing.assert_close(half.mean, exact.mean)
    torch.testing.assert_close(half.variance, exact.variance)
    assert half.count == 400
    again = Standardization(3).half()
    again.load_state_dict(half.state_dict())
    assert torch.equal(again.mean, half.mean) and again.mean.dtype == torch.float32
    assert half.double().mean.dtype == torch.float64
    assert half.to("meta").mean.is_meta


def test_hybrid_is_head_of_features():
    network = hybrid(10, (3, 32, 32), J=2, head="linear").eval()
    x = torch.rand(2, 3, 32, 32)
    assert network.frozen
    assert network.features(x).shape == (2, 243, 8, 8)
    S = Scattering2D(2, (32, 32))(x)
    torch.testing.assert_close(network.features(x)[:, 81:162], S[:, 1])
    assert torch.equal(network.head(network.features(x)), network(x))
    grey = hybrid(10, (1, 32, 32), J=2, head="linear")
    assert torch.equal(grey.features(x[:, 0]), grey.features(x[:, :1]))


@pytest.mark.parametrize("trainable", ["filters", "wavelets"])
def test_hybrid_learns_its_filters(trainable):
    network = hybrid(3, (1, 16, 16), J=2, L=2, width=8, trainable=trainable)
    assert not network.frozen
    loss = nn.functional.cross_entropy(network(torch.rand(8, 1, 16, 16)), torch.arange(8) % 3)
    loss.backward()
    assert any(p.grad.abs().max() > 0 for p in network.scattering.parameters())
    network.scattering.freeze()
    assert network.frozen


def test_standardization_sees_everything_once():
    """Cumulative averages over batches are the moments of all of them together."""
    x = torch.randn(60, 5, 4, 4) * torch.tensor([1, 2, 3, 4, 1e-3]).view(-1, 1, 1) + 7
    module = Standardization(5)
    for batch in x.split(20):
        module(batch)
    torch.testing.assert_close(module.mean, x.mean((0, 2, 3)), rtol=1e-5, atol=1e-5)
    variance = x.var((0, 2, 3), correction=0)
    torch.testing.assert_close(module.variance, variance, rtol=1e-4, atol=1e-6)
    z = module.eval()(x)
    torch.testing.assert_close(
        z[:, :4].std((0, 2, 3), correction=0), torch.ones(4), rtol=1e-3, atol=0
    )
    assert z[:, 4].std() < 0.05  # a channel that hardly varies is not blown up
    assert module.count == 3
    training = module.train()
    assert torch.isfinite(training(torch.zeros(4, 5, 4, 4))).all()


def test_standardization_is_the_same_in_evaluation():
    module, x = Standardization(3), torch.randn(16, 3) + 2
    assert torch.equal(module(x), module.eval()(x))


@pytest.mark.parametrize(
    "head, options, steps, least", [("linear", {}, 150, 0.96), ("resnet", {"width": 32}, 150, 0.94)]
)
def test_head_learns_digits(head, options, steps, least):
    """300 digits of ten classes, few steps: statistics of evaluation are those of training."""
    x, y = digits()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[order][:800, None], y[order][:800]
    network = hybrid(10, (1, 32, 32), J=3, L=4, head=head, **options)
    with torch.no_grad():
        z = torch.cat([network.features(b) for b in x.split(200)])
    optimizer = torch.optim.SGD(network.head.parameters(), 0.1, 0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)
    for step in range(steps):
        batch = torch.arange(32 * step, 32 * step + 32) % 300
        loss = nn.functional.cross_entropy(network.head(z[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    right = network.head(z[300:]).argmax(1) == y[300:]
    assert right.double().mean() > least


@pytest.mark.parametrize(
    "name, classes, shape, options, words",
    [
        ("vgg", 10, (1, 28, 28), {}, "alexnet, deepface, inception, resnet, hybrid"),
        ("hybrid-tree", 10, (1, 28, 28), {}, "hybrid-mlp"),
        ("resnet-linear", 10, (1, 28, 28), {}, "build: name must be one of"),
        (3, 10, (1, 28, 28), {}, "build: name must be one of"),
        ("resnet", 1, (1, 28, 28), {}, "classes must be at least 2; got 1"),
        ("resnet", 10, (28, 28), {}, r"shape must be three integers \(C, M, N\)"),
        ("resnet", 10, (1, 28.5, 28), {}, "a size in shape must be an integer"),
        ("resnet", 10, (1, 4, 28), {}, "at least 8 x 8 pixels; got 4 x 28"),
        ("resnet", 10, (1, 28, 28), {"size": 3}, "no option 'size'; its options: width, depth"),
        ("resnet", 10, (1, 28, 28), {"width": 0}, "width must be at least 1; got 0"),
        ("alexnet", 10, (1, 28, 28), {"dropout": 1.0}, "dropout must be a number in"),
        ("hybrid", 10, (1, 28, 28), {"J": 5}, "at least 32 x 32 pixels; got 28 x 28"),
        ("hybrid", 10, (1, 28, 28), {"head": "tree"}, "'linear', 'mlp', 'resnet'; got 'tree'"),
        ("hybrid-mlp", 10, (1, 28, 28), {"head": "mlp"}, "names its head"),
        ("hybrid-linear", 10, (1, 28, 28), {"width": 3}, "no option 'width'; its options: none"),
        ("hybrid", 10, (1, 28, 28), {"norm": "layer"}, "norm must be one of 'batch', 'group'"),
    ],
)  # fmt: skip
def test_bad_arguments(name, classes, shape, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        build(name, classes, shape, **options)


def test_bad_hybrid():
    scattering = Scattering2D(2, (16, 16))
    with pytest.raises(TypeError, match="must be a transform, a module with output_shape; got L"):
        Hybrid(nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(TypeError, match="head must be a module; got str"):
        Hybrid(scattering, "linear")
    with pytest.raises(ValueError, match="out_type 'array'"):
        Hybrid(Scattering2D(2, (16, 16), out_type="list"), nn.Identity())
    network = Hybrid(scattering, linear_head(10, (81, 4, 4)))
    for x in (torch.zeros(16, 16), torch.zeros(1, 1, 16, 16, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"x must be floating \[B, C, M, N\]"):
            network(x)


class Octaves(nn.Module):
    """A transform of signals that knows no images: energies of octaves, one point for each."""

    shape, output_shape = 64, (6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spectrum = torch.fft.rfft(x).abs()
        bands = [spectrum[..., 1 << j : 2 << j].mean(-1) for j in range(5)]
        return torch.stack([spectrum[..., 0], *bands], -1)[..., None].expand(*x.shape[:-1], 6, 4)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_any_transform(head):
    model = hybrid(3, (2, 64), head=head, transform=Octaves())
    x = torch.rand(5, 2, 64)
    assert model(x).shape == (5, 3)
    assert model.features(x).shape == (5, 12, 4) and model.frozen
    assert hybrid(3, (1, 64), head=head, transform=Octaves())(x[:, 0]).shape == (5, 3)
    with pytest.raises(ValueError, match=r"x must be floating \[B, C, N\] or \[B, N\]"):
        model(x[0, 0])


def test_a_transform_that_keeps_no_sides():
    """Of images it makes one number a channel; their sides are those that it says."""

    class Means(nn.Module):
        shape, output_shape = (8, 6), (1,)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((-2, -1))[..., None]

    model = hybrid(3, (2, 8, 6), head="linear", transform=Means())
    assert model.features(torch.rand(5, 2, 8, 6)).shape == (5, 2)
    assert model(torch.rand(5, 2, 8, 6)).shape == (5, 3)


def test_a_transform_is_what_it_makes():
    """The same network with the same transform, given or named by its arguments."""
    torch.manual_seed(0)
    ours = hybrid(10, (3, 16, 16), head="resnet", width=8)
    torch.manual_seed(0)
    given = hybrid(10, (3, 16, 16), head="resnet", width=8, transform=Scattering2D(2, (16, 16)))
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(ours.eval()(x), given.eval()(x))
    deep = Scattering2D(3, (16, 16), max_order=3, paths=lambda meta: meta["order"] != 2)
    assert hybrid(10, (1, 16, 16), head="mlp", transform=deep)(x[:, :1]).shape == (2, 10)
    cascade = Cascade(2, (16, 16), rho=lambda z: z.real.relu())
    assert hybrid(10, (1, 16, 16), transform=cascade, width=8)(x[:, 0]).shape == (2, 10)


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((1, 64), {"transform": nn.Linear(2, 2)}, "transform must be a transform, a module with"),
        ((1, 64), {"transform": Octaves}, "transform must be a transform"),
        ((1, 32), {"transform": Octaves()}, r"shape must be \(C, 64\), as transform takes it"),
        ((1, 8, 8), {"transform": Octaves()}, r"shape must be \(C, 64\)"),
        ((0, 64), {"transform": Octaves()}, "a size in shape must be"),
        ((1, 64), {"transform": Octaves(), "J": 3}, "leave them out"),
        ((1, 64), {"Q": 8, "L": 4}, "leave out L, filters and transform"),
        ((1, 64), {"Q": 8, "transform": Octaves()}, "leave out L, filters and transform"),
        ((1, 8, 8), {"Q": 8}, r"shape of signals must be \(C, N\); got \(1, 8, 8\)"),
        ((1, 64), {"Q": 0}, "Q must be between 1 and"),
        ((1, 64), {"transform": Octaves(), "trainable": "filters"}, "leave them out"),
    ],
)
def test_bad_transforms(shape, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        hybrid(3, shape, **{"head": "mlp", **options})


@pytest.mark.parametrize("head", ["linear", "mlp", "resnet"])
def test_hybrids_of_signals(head):
    """A network on Scattering1D learns which of two tones it hears."""
    model = hybrid(2, (1, 256), J=4, Q=4, head=head)
    y = torch.arange(64) % 2
    t = torch.arange(256) * (0.2 + 0.8 * y[:, None])
    x = (t + torch.rand(64, 1) * 6).sin()
    assert model(x[:, None].repeat(1, 1, 1)).shape == model(x).shape == (64, 2)
    stereo = hybrid(2, (2, 256), J=4, Q=4, head=head)
    assert stereo(torch.randn(3, 2, 256)).shape == (3, 2)
    fit(model, (x, y), epochs=4, batch_size=16, progress=False)
    assert evaluate(model, x, y)[1] == 1


def test_group_norm_has_no_running_statistics():
    head = resnet_head(10, (9, 4, 4), width=8, norm="group")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in head.modules())


@pytest.mark.parametrize(("sides", "side", "stride"), [((7, 5), 3, 1), ((8, 9), 5, 2)])
def test_what_is_locally_connected(sides, side, stride):
    """Where all places have the same weights it is a convolution; and each place has its own."""
    layer = LocallyConnected(2, 3, sides, side, stride).double()
    conv = torch.nn.Conv2d(2, 3, side, stride, side // 2).double()
    with torch.no_grad():
        layer.weight.copy_(conv.weight.flatten(1).T)
        layer.bias.copy_(conv.bias[:, None].expand_as(layer.bias))
    x = torch.randn(4, 2, *sides, dtype=torch.float64)
    torch.testing.assert_close(layer(x), conv(x))
    with torch.no_grad():
        layer.weight[1] += 1
    changed = (layer(x) - conv(x)).abs().sum((0, 1)).flatten()
    assert (changed > 1e-3).nonzero().flatten().tolist() == [1]
    assert (changed < 1e-9).sum() == len(changed) - 1


@pytest.mark.parametrize("name", ["alexnet", "inception", "resnet", "hybrid-resnet"])
def test_channels_lie_beside_each_other(name):
    network = build(name, 10, (3, 32, 32))
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert weights
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def test_a_branch_has_channels():
    for wrong in (1, 3):
        with pytest.raises(ValueError, match="width must be at least 4"):
            inception(4, (1, 16, 16), width=wrong)
        with pytest.raises(ValueError, match="width must be at least 4"):
            InceptionBlock(8, wrong)
    assert inception(4, (1, 16, 16), width=4)(torch.rand(2, 1, 16, 16)).shape == (2, 4)


def test_hybrids_tell_their_arguments():
    with pytest.raises(TypeError, match="hybrid: shape must be a sequence of integers; got 1024"):
        hybrid(4, 1024, Q=8)
    with pytest.raises(ValueError, match="hybrid: head must be one of"):
        hybrid(4, (1, 8, 8), head=[])
