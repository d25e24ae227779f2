"""What the commands filters and bench do."""

import pytest
import torch

pytest.importorskip("safetensors")

from scatcuda.banks import frame_bounds, tight_bank
from scatcuda.cli import bench as bench_module
from scatcuda.cli.bench import bench, bench_text
from scatcuda.draw.bank import filters_report
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
