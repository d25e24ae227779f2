"""scalogram: the moduli of Scattering1D's first wavelets, as one tensor."""

import pytest
import torch
from torch._subclasses import FakeTensorMode

from scatcuda import Scattering1D, scalogram


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("padding", ["reflect", "zeros"])
def test_it_has_the_moduli_by_their_definition(dtype, padding):
    J, N, Q = 5, 700, 4
    x = torch.randn(2, 3, N, dtype=dtype)
    values, frequencies = scalogram(x, J, Q, padding=padding)
    S = Scattering1D(J, N, Q, padding=padding).double()
    psi = torch.stack([psi["levels"][0].flatten() for psi in S.psi1_f]).double()
    before = (psi.shape[-1] - N) // 2
    kind = {"reflect": "reflect", "zeros": "constant"}[padding]
    both = (before, psi.shape[-1] - N - before)
    padded = torch.nn.functional.pad(x.double().flatten(0, 1), both, mode=kind)
    W = torch.fft.ifft(torch.fft.fft(padded)[:, None] * psi)[..., before : before + N]
    assert values.dtype == dtype
    error = (values.flatten(0, 1).double() - W.abs()).norm() / W.abs().norm()
    assert error < (2e-6 if dtype == torch.float32 else 3e-8)  # psi1_f are float32
    assert frequencies.tolist() == [psi["xi"] for psi in S.psi1_f]


def test_of_some_samples_each_is_the_nearest_that_the_bands_ask_for():
    J, N, Q = 6, 1024, 8
    x = torch.randn(N)
    few = scalogram(x, J, Q, samples=20).values
    paths = Scattering1D(J, N, Q, T=0, max_order=1, out_type="list")(x)[1:]
    for row, path in zip(few, paths, strict=True):
        of = len(path["coef"])
        wanted = [path["coef"][int((i + 0.5) * of / 20)] for i in range(20)]
        assert torch.equal(row, torch.stack(wanted))
    assert scalogram(x, J, Q, samples=1).values.shape == (len(paths), 1)
    assert scalogram(x, J, Q, samples=5000).values.shape == (len(paths), 5000)


def test_a_tone_is_where_its_frequency_is():
    t = torch.arange(8000) / 8000
    for tone in (200, 440, 1200):
        values, frequencies = scalogram(torch.sin(2 * torch.pi * tone * t), 8, 12, samples=100)
        found = 8000 * float(frequencies[values.mean(-1).argmax()])
        assert abs(found / tone - 1) < 2 ** (1 / 12) - 1


def test_it_has_gradients_and_takes_integers():
    x = torch.randn(2, 64, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: scalogram(x, 3, 2, samples=16).values, x)
    sound = torch.randint(-999, 999, (64,), dtype=torch.int16)
    assert torch.equal(scalogram(sound, 3).values, scalogram(sound.float(), 3).values)


def test_what_one_call_keeps_is_no_other_call_s_trouble():
    x = torch.randn(130)
    with torch.inference_mode():
        scalogram(x, 4, 3)
    x.requires_grad_()
    scalogram(x, 4, 3).values.sum().backward()
    assert x.grad.isfinite().all()
    for wrong in (dict(J=4.0), dict(J=4, Q=3.0), dict(J=4, Q=[3]), dict(J=4, Q=(3, 1))):
        with pytest.raises(TypeError, match=r"scalogram: [JQ] must be an integer"):
            scalogram(x, **({"Q": 3} | wrong))
    with pytest.raises((TypeError, ValueError), match="scalogram: padding must be"):
        scalogram(x, 4, 3, padding=["reflect"])


@pytest.mark.parametrize(
    ("given", "options", "error", "told"),
    [
        ([1.0], {}, TypeError, r"x must be a tensor of signals \[..., N\]; got list"),
        (torch.tensor(1.0), {}, TypeError, "got a number, 1.0"),
        (torch.zeros(64).cfloat(), {}, ValueError, "x must be real; got torch.complex64"),
        (torch.zeros(64), dict(samples=0), ValueError, "samples must be between 1 and"),
        (torch.zeros(64), dict(samples=10**30), ValueError, "samples must be between 1 and"),
        (torch.zeros(1), {}, ValueError, "scalogram: the length of x must be between 2 and"),
        (torch.zeros(64), dict(samples=2.5), TypeError, "samples must be an integer"),
        (torch.zeros(64), dict(J=0), ValueError, "J must be at least 1"),
        (torch.zeros(64), dict(Q="8"), TypeError, "Q must be an integer"),
        (torch.zeros(64), dict(padding="mirror"), ValueError, "padding must be one of"),
        (torch.zeros(4), dict(J=6), ValueError, "J = 6 .* need signals longer than 4 samples"),
    ],
)
def test_mistakes(given, options, error, told):
    with pytest.raises(error, match=told):
        scalogram(given, **(dict(J=3) | options))


def test_what_is_kept_outlives_modes_and_devices():
    x = torch.randn(2, 60)
    with FakeTensorMode() as mode:
        assert scalogram(torch.empty(2, 60), 3, 2).values.fake_mode is mode
    with torch.device("meta"):
        assert scalogram(x, 3, 2).values.device.type == "cpu"
        assert scalogram(torch.empty(60), 3, 2).values.is_meta
    with torch.inference_mode():
        scalogram(x, 3, 2)
    x.requires_grad_()
    scalogram(x, 3, 2).values.sum().backward()
    assert x.grad is not None and x.grad.any()
