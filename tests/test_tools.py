"""What the commands filters and bench do."""

import pytest
import torch

pytest.importorskip("safetensors")

from scatcuda import Scattering1D
from scatcuda.banks import frame_bounds, tight_bank
from scatcuda.cli import bench as bench_module
from scatcuda.cli import main
from scatcuda.cli.bench import bench, bench_text
from scatcuda.draw.bank import filters_report
from scatcuda.draw.joint import draw_solid_harmonics, joint_filters_report
from scatcuda.draw.signals import draw_scalogram, signal_filters_report
from scatcuda.files import read_tensors


@pytest.mark.parametrize("kind", ["morlet", "tight"])
def test_filters_are_described_and_drawn(kind, tmp_path):
    pytest.importorskip("matplotlib")
    text = filters_report(3, (40, 28), 5, kind, tmp_path / "bank.png")
    assert "padded to 56 × 40" in text and "1 of order 0, 15 of order 1, 75 of order 2" in text
    assert ("1.000 to 1.000" in text) == (kind == "tight")
    assert (tmp_path / "bank.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 1


def test_filters_are_saved(tmp_path):
    filters_report(2, (32, 32), kind="tight", output=tmp_path / "bank.safetensors")
    tensors, _ = read_tensors(tmp_path / "bank.safetensors")
    bank = tight_bank((40, 40), 2)
    assert torch.equal(tensors["psi"], bank.psi) and torch.equal(tensors["phi"], bank.phi)
    assert frame_bounds(bank)[0] == pytest.approx(1)


def test_wrong_filters(tmp_path):
    with pytest.raises(ValueError, match="output must end in"):
        filters_report(2, (32, 32), output=tmp_path / "bank.txt")
    with pytest.raises(ValueError, match="filters must be one of morlet, tight"):
        filters_report(2, (32, 32), kind="haar")


@pytest.mark.parametrize("backward", [False, True])
def test_bench_runs_every_implementation(backward):
    found = bench(2, (16, 16), 4, batch=2, backward=backward, rounds=2, seconds=0.005, threads=1)
    assert [timing.name for timing in found][:2] == ["scatcuda", "plain PyTorch"]
    assert all(timing.error < 1e-6 and timing.seconds > 0 for timing in found)
    text = bench_text(found)
    assert text.count("\n") == len(found) and "÷ ours" in text


def test_bench_takes_the_gradient_when_asked(monkeypatch):
    calls = []
    run = bench_module._run
    monkeypatch.setattr(
        bench_module, "_run", lambda m, x: calls.append(x.requires_grad) or run(m, x)
    )
    bench(1, (8, 8), batch=1, backward=True, rounds=1, seconds=0.001)
    assert calls and all(calls)


def test_wrong_benchmarks():
    with pytest.raises(ValueError, match="bench: batch must be at least 1; got 0"):
        bench(2, (16, 16), batch=0)
    with pytest.raises(ValueError, match="shape"):
        bench(5, (16, 16))


def test_filters_of_signals(tmp_path):
    pytest.importorskip("matplotlib")
    text = signal_filters_report(6, 4096, 8, tmp_path / "bank.png")
    assert "38 wavelets of order 1, 7 of order 2; signals of 4096 padded to 8192" in text
    assert "126: 1 of order 0, 38 of order 1, 87 of order 2, each 64" in text
    assert (tmp_path / "bank.png").read_bytes().startswith(b"\x89PNG")
    signal_filters_report(3, 200, (2, 1), tmp_path / "bank.safetensors")
    tensors, _ = read_tensors(tmp_path / "bank.safetensors")
    scattering = Scattering1D(3, 200, (2, 1))
    torch.testing.assert_close(
        tensors["psi1"].float(), torch.stack([p["levels"][0][:, 0] for p in scattering.psi1_f])
    )
    assert tensors["phi"].shape == tensors["psi2"].shape[1:]
    with pytest.raises(ValueError, match="output must end in"):
        signal_filters_report(3, 200, output=tmp_path / "bank.txt")


def test_filters_in_time_and_frequency_and_of_densities(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    text = joint_filters_report(6, 3, 4096, 8, tmp_path / "joint.png")
    assert "4 wavelets that follow a smaller scale, 0.005 to 0.044 cycles a sample" in text
    assert "4 wavelets of either spin" in text and "120 places for 38" in text
    assert "41 joint ones: 5 of order 1, 36 of order 2; 152 channels" in text
    draw_solid_harmonics(tmp_path / "solid.png", L=1)
    pictures = [tmp_path / "joint.png", tmp_path / "solid.png", tmp_path / "c.png"]
    assert main(["filters", "--degrees", "0", "--output", str(pictures[2])]) == 0
    assert "1 solid harmonics of degrees 0 to 0" in capsys.readouterr().out
    assert main(["filters", "--L", "4", "--K", "2", "--output", str(tmp_path / "d.png")]) == 0
    assert "2 wavelets of 8 angles" in capsys.readouterr().out
    pictures.append(tmp_path / "d.png")
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    assert main(["filters", "--J", "4", "--Q", "4", "--J-fr", "2", "--length", "500"]) == 0
    assert "of either spin" in capsys.readouterr().out
    for wrong, words in (
        (["filters", "--J-fr", "2"], "--J-fr is no option of images: it goes with --Q"),
        (["filters", "--length", "64"], "--length is no option of images"),
        (["filters", "--Q", "8", "--L", "8"], "--L is no option of signals, with --Q"),
        (["filters", "--Q", "8", "--filters", "morlet"], "--filters is no option of signals"),
        (["filters", "--K", "2", "--J", "2"], "--J is no option of angles, with --K"),
        (["filters", "--K", "2", "--J-fr", "2"], "--J-fr is no option of angles, with --K"),
        (["filters", "--degrees", "0", "--K", "2"], "--K is no option of densities"),
        (["filters", "--degrees", "0", "--shape", "8,8"], "--shape is no option of densities"),
        (["filters", "--K", "2"], "--K wants an output, a picture"),
        (["filters", "--L", "2", "--K", "3", "--output", "c.png"], "K must be between 1 and 2"),
        (["filters", "--L", "17", "--K", "2", "--output", "c.png"], "L must be between 1 and 16"),
        (["filters", "--degrees", "2"], "--degrees wants an output, a picture"),
        (["filters", "--J", "1", "--Q", "1", "--J-fr", "1", "--output", "c.png"], "no wavelet"),
    ):
        assert main(wrong) == 1
        assert words in capsys.readouterr().err
    with pytest.raises(ValueError, match="L must be"):
        draw_solid_harmonics(tmp_path / "a.png", L=9)


@pytest.mark.parametrize(("N", "J", "Q"), [(4096, 6, 8), (300, 2, 1), (20_000, 5, (12, 2))])
def test_scalograms(tmp_path, N, J, Q):
    """Also of a signal in which nothing is heard."""
    pytest.importorskip("matplotlib")
    for x in (torch.linspace(0, 40, N).square().sin(), torch.zeros(N)):
        draw_scalogram(tmp_path / "a.png", x, J, Q, rate=8000)
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    for wrong in (torch.zeros(2, N), [0.0] * N, torch.zeros(N) + 0j):
        with pytest.raises(TypeError, match="x must be a real signal"):
            draw_scalogram(tmp_path / "a.png", wrong, J, Q)


def test_the_commands_of_signals(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    soundfile = pytest.importorskip("soundfile")
    recording = tmp_path / "tone.wav"
    soundfile.write(recording, torch.linspace(0, 900, 9000).sin().numpy(), 8000)
    command = ["scalogram", str(recording), "--J", "5", "--Q", "4", "--output"]
    assert main([*command, str(tmp_path / "a.png")]) == 0
    assert "a.png: 9000 samples, 8000 a second" in capsys.readouterr().out
    assert main([*command, str(tmp_path / "b.png"), "--seconds", "0.5"]) == 0
    assert "4000 samples" in capsys.readouterr().out
    for wrong, words in (
        (["scalogram", str(tmp_path / "none.wav"), "--output", "c.png"], "no such file"),
        (["scalogram", str(tmp_path / "a.png"), "--output", "c.png"], "no audio file"),
        ([*command, str(tmp_path / "a.txt")], "must end in .png"),
        (["filters", "--Q", "8", "--L", "4"], "--L is no option of signals, with --Q"),
        (["filters", "--length", "64"], "--length is no option of images: it goes with --Q"),
    ):
        assert main(wrong) == 1
        assert words in capsys.readouterr().err
    assert main(["filters", "--J", "3", "--Q", "2", "--length", "100"]) == 0
    assert "signals of 100 padded to" in capsys.readouterr().out
