"""Separation with depth: the three numbers against their definitions, hooks, table, figure."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from scatcuda.data import digits
from scatcuda.draw.style import panels
from scatcuda.learn.analysis.separation import (
    activations,
    blocks,
    distance_ratio,
    plot,
    separation,
    table,
)
from scatcuda.learn.networks.models import hybrid, resnet


@pytest.fixture(scope="module")
def sets():
    x, y = digits()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[order], y[order]
    return x[:300], y[:300], x[300:700], y[300:700]


def test_distance_ratio_is_that_of_all_pairs():
    z, y = torch.randn(30, 4) + 3, torch.randint(0, 3, (30,))
    z += y[:, None]
    d = torch.cdist(z, z).double().square()
    same = y[:, None] == y
    others = same & ~torch.eye(30, dtype=torch.bool)
    wanted = d[others].mean() / d[~same].mean()
    assert distance_ratio(z, y) == pytest.approx(float(wanted), rel=1e-5)
    assert math.isnan(distance_ratio(z[:1], y[:1]))


def test_scattering_separates_digits(sets):
    rows = {row.name: row for row in separation(*sets, J=3, L=4, depth=3)}
    assert list(rows) == ["pixels", "order 0", "orders ≤ 1", "orders ≤ 2", "orders ≤ 3"]
    pixels, last = rows["pixels"], rows["orders ≤ 2"]
    assert last.probe > 96 and last.probe > pixels.probe
    assert rows["order 0"].probe < rows["orders ≤ 1"].probe
    assert all(row.ratio < pixels.ratio for row in rows.values() if row is not pixels)
    assert [row.size for row in rows.values()] == [1024, 16, 13 * 16, 61 * 16, 125 * 16]


def test_network_rows(sets):
    network = resnet(10, (1, 32, 32), width=4, depth=1)
    rows = separation(*sets, network=network, J=2, L=2)[4:]
    assert [row.name for row in rows] == [f"layer {i}" for i in range(6)]
    assert [row.size for row in rows] == [4 * 64, 4 * 64, 8 * 64, 16 * 64, 16, 10]
    [row] = separation(*sets, network=network, J=2, L=2, layers=["3.inner"])[4:]
    assert row.name == "3.inner" and row.size == 16 * 64


def test_uint8_is_divided(sets):
    train_x, train_y, test_x, test_y = sets
    train_x, test_x = (255 * train_x).byte(), (255 * test_x).byte()
    network = nn.Sequential(nn.Flatten(), nn.Tanh())
    integers = separation(train_x, train_y, test_x, test_y, network, J=2, L=2)
    floats = separation(train_x / 255, train_y, test_x / 255, test_y, network, J=2, L=2)
    assert integers == floats


def test_activations_leave_the_network_alone():
    network = resnet(10, (1, 16, 16), width=4, depth=1).train()
    network[1].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = activations(network, torch.rand(3, 1, 16, 16), ["0", "3"], (2, 2))
    assert {name: tuple(z.shape) for name, z in found.items()} == {
        "0": (3, 4, 2, 2),
        "3": (3, 16, 2, 2),
    }
    assert network.training and not network[1].training and network[2].training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_activations_are_those_of_evaluation():
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 2))
    x = torch.rand(7, 1, 2, 2)
    found = activations(network, x)
    assert torch.equal(found["1"], x.flatten(1))
    torch.testing.assert_close(found["2"], network.eval()(x).detach())


def test_blocks_of_a_hybrid():
    assert blocks(hybrid(10, (1, 16, 16), depth=1, width=8)) == [f"head.{i}" for i in range(4)]


def test_unknown_layers():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    x = torch.rand(3, 1, 2, 2)
    with pytest.raises(ValueError, match="no layer 'conv'; it has 0, 1"):
        activations(network, x, ["conv"])
    network.spare = nn.Linear(2, 2)
    network.forward = lambda x: network[1](network[0](x))
    with pytest.raises(ValueError, match="'spare' gave no tensor"):
        activations(network, x)
    assert not any(module._forward_hooks for module in network.modules())


def test_table_and_figure(sets, tmp_path):
    rows = separation(*sets, network=nn.Sequential(nn.Flatten()), J=2, L=2)
    lines = table(rows).splitlines()
    assert len(lines) == 1 + len(rows) and len(set(map(len, lines))) == 1
    assert f"{rows[1].probe:.1f}" in lines[2]
    plot(rows, tmp_path / "separation.png", "digits")
    assert (tmp_path / "separation.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["separation.png"]


def test_no_half_figure(tmp_path, monkeypatch):
    with (
        pytest.raises(OSError, match="cannot be saved"),
        panels(tmp_path / "a" / "b.png", 1, "", ""),
    ):
        pass
    with pytest.raises(ValueError, match=r"must end in \.png"), panels("b.pdf", 1, "", ""):
        pass
    with pytest.raises(RuntimeError), panels(tmp_path / "b.png", 1, "", ""):
        raise RuntimeError

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match=r"b\.png: the figure cannot be saved \(No space"):
        with panels(tmp_path / "b.png", 1, "", ""):
            pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changed, words",
    [
        ({0: None}, "train_x must be a tensor"),
        ({0: torch.zeros(300, 32, 32, dtype=torch.int64)}, "floating images; got torch.int64"),
        ({2: torch.zeros(400, 1024)}, r"test_x must be \[n, M, N\]"),
        ({2: torch.zeros(400, 16, 16)}, "one size"),
        ({1: torch.zeros(299, dtype=torch.int64)}, r"train_y must be integers \[300\]"),
        ({1: torch.zeros(300, dtype=torch.int64)}, "train_y must hold at least two classes"),
        ({3: torch.zeros(400)}, r"test_y must be integers \[400\]"),
    ],
)  # fmt: skip
def test_bad_arguments(sets, changed, words):
    arguments = [changed.get(i, value) for i, value in enumerate(sets)]
    with pytest.raises((TypeError, ValueError), match=words):
        separation(*arguments, J=2, L=2)
