"""Scattering1D.stream(): a signal in chunks against the whole signal."""

from __future__ import annotations

import random

import pytest
import torch

from scatcuda import Scattering1D

ARGUMENTS = [
    {"J": 4, "Q": 4},
    {"J": 5, "Q": 8, "T": 100},
    {"J": 5, "Q": 8, "T": 8, "stride": 4},
    {"J": 4, "Q": 1, "oversampling": 1, "aliases": "sum"},
    {"J": 3, "Q": (6, 2), "max_order": 3, "padding": "zeros", "paths": [(), (0,), (1, 5)]},
]


def chunks_of(x: torch.Tensor, rng: random.Random) -> list[torch.Tensor]:
    sizes, left = [], x.shape[-1]
    while left:
        sizes.append(min(left, rng.choice([0, 1, 7, 500, 3000, 20_000])))
        left -= sizes[-1]
    return list(x.split(sizes, -1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_equals_the_whole_signal(arguments, dtype, rng):
    stride = 2 * Scattering1D(shape=4096, **arguments)._plan.padded  # so that both grids are one
    for N in (stride * 3, stride * 3 + 200_000 // stride * stride):
        whole = Scattering1D(shape=N, **arguments).to(dtype)
        x = torch.randn(2, N, dtype=dtype, generator=torch.Generator().manual_seed(N))
        stream = Scattering1D(shape=1024, **arguments).to(dtype).stream()
        found = torch.cat(list(stream.over(chunks_of(x, rng))), -1)
        wanted = whole(x)
        assert found.shape == wanted.shape and found.dtype == dtype
        away = whole.pad_left // stream.stride + 1
        inside = slice(away, -away)
        difference = (found - wanted)[..., inside].norm() / wanted[..., inside].norm()
        assert difference < 1e-6
        assert (found - wanted).norm() / wanted.norm() < 1e-3  # and hardly another one at the ends


def test_any_length_is_counted(rng):
    for N in (500, 5000, 40_001, 77_777):
        stream = Scattering1D(4, 1024, 2).stream()
        x = torch.randn(N, generator=torch.Generator().manual_seed(N))
        found = torch.cat(list(stream.over(chunks_of(x, rng))), -1)
        assert found.shape[-1] == stream.done and abs(stream.done - N / 16) <= 1


def test_short_signals_are_transformed_whole():
    x = torch.randn(3, 3001)
    module = Scattering1D(4, 1024, 2)
    stream = module.stream()
    assert stream(x[:, :1000]).shape == (3, module.output_shape[0], 0)
    assert stream(x[:, 1000:]).shape[-1] == 0
    assert torch.equal(stream.finish(), Scattering1D(4, 3001, 2)(x))


def test_the_memory_of_a_chunk_may_be_filled_anew():
    x, buffer = torch.randn(9000), torch.empty(1000)
    streams = [Scattering1D(4, 1024, 2).stream() for _ in "ab"]
    found: list[list[torch.Tensor]] = [[], []]
    for chunk in x.split(1000):
        found[0].append(streams[0](chunk))
        found[1].append(streams[1](buffer.copy_(chunk)))
    buffer.zero_()
    one, other = (torch.cat([*f, s.finish()], -1) for f, s in zip(found, streams, strict=True))
    assert torch.equal(one, other)


def test_a_refused_chunk_leaves_the_stream_as_it_was():
    stream = Scattering1D(4, 1024, 2).stream()
    with pytest.raises(ValueError, match="x must be real"):
        stream(torch.zeros(50, dtype=torch.complex64))
    x = torch.randn(3001)
    stream(x[:1000])
    with pytest.raises(ValueError, match="as those before it"):
        stream(x[None])
    stream(x[1000:])
    assert torch.equal(stream.finish(), Scattering1D(4, 3001, 2)(x))


def test_memory_is_constant():
    stream = Scattering1D(4, 1024, 2).stream()
    most = 0
    for _ in range(300):
        stream(torch.zeros(1000))
        most = max(most, sum(kept.numel() for kept in stream._kept))
    assert most <= stream._block + 1000 + 2 * stream.stride
    assert stream.done > 300_000 / 16 - stream._block / 16


def test_of_length_keeps_everything():
    module = Scattering1D(3, 256, (4, 2), T=5, max_order=3, oversampling=1, aliases="sum",
                          padding="periodic", paths=lambda m: m["order"] != 1).double()  # fmt: skip
    same = module.of_length(256)
    x = torch.randn(2, 256, dtype=torch.float64)
    assert torch.equal(module(x), same(x)) and repr(module) == repr(same)
    assert module.of_length(300)(torch.randn(300).double()).shape == (
        len(module.meta()["key"]),
        150,
    )


def test_mistakes():
    for arguments in ({"T": 0, "out_type": "dict"}, {"T": "global"}, {"out_type": "list"}):
        with pytest.raises(ValueError, match="stream: T must be a number of samples and out_type"):
            Scattering1D(3, 128, **arguments).stream()
    stream = Scattering1D(3, 128).stream()
    with pytest.raises(ValueError, match="it has ended, or there were no samples"):
        stream.finish()
    stream(torch.zeros(2, 50))
    for chunk, error, message in (
        ([0.0], TypeError, "a chunk must be a tensor; got list"),
        (torch.zeros(()), ValueError, r"a chunk must have shape \(..., n\); got \(\)"),
        (torch.zeros(3, 50), ValueError, r"must be \(2,\) x n, torch.float32 on cpu .* got \(3,\)"),
        (torch.zeros(2, 5).double(), ValueError, "got .* torch.float64"),
    ):
        with pytest.raises(error, match=message):
            stream(chunk)
    stream(torch.zeros(2, 50))
    stream.finish()
    with pytest.raises(ValueError, match="it has ended; take another one"):
        stream(torch.zeros(2, 50))


def test_the_gradient_reaches_what_is_learned():
    module = Scattering1D(4, 4096, trainable="wavelets")
    x = torch.randn(70_000)
    stream = module.stream()
    loss = sum(S.square().sum() for S in stream.over(x.split(5000)))
    found = torch.autograd.grad(loss, list(module.parameters()))
    again = Scattering1D(4, 70_000, trainable="wavelets")
    again.load_state_dict(module.state_dict())
    wanted = torch.autograd.grad(again(x).square().sum(), list(again.parameters()))
    for ours, theirs in zip(found, wanted, strict=True):  # but for another grid, and the ends
        assert (ours - theirs).norm() < 0.05 * theirs.norm()
    with pytest.raises(ValueError, match="value by value have one length"):
        Scattering1D(4, 4096, trainable="filters").stream()


def test_a_signal_shorter_than_its_window():
    x = torch.randn(13)
    stream = Scattering1D(4, 64).stream()
    stream(x)
    assert torch.equal(stream.finish(), Scattering1D(4, 13)(x))
    stream = Scattering1D(4, 64, T=20).stream()
    stream(x)
    with pytest.raises(ValueError, match="T must be 0, or between 1 and the length N = 13"):
        stream.finish()
    stream(torch.randn(50))  # nothing is lost
    assert stream.finish().shape[-1] == 4


@pytest.mark.parametrize("change", [lambda m: setattr(m, "max_order", 1), lambda m: m.double()])
def test_a_module_that_changes(change):
    module = Scattering1D(4, 64)
    stream = module.stream()
    stream(torch.randn(100))
    change(module)
    for act in (lambda: stream(torch.randn(100)), stream.finish):
        with pytest.raises(ValueError, match="the module has changed since the stream began"):
            act()
