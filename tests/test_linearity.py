"""How much of a change is linear: layers of which it is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scatcuda.data import digits
from scatcuda.learn.analysis.linearity import CHANGES, linearity, plot, table
from scatcuda.learn.networks.models import resnet


class Squares(nn.Module):
    """Of brightness t: (m + t)² - m² = 2 m t + t²."""

    def forward(self, x):
        return x.mean((1, 2, 3), keepdim=True)[..., 0, 0].square()


def test_what_is_known():
    x = digits()[0][:6]
    network = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 3))
    rows = {(row.change, row.name): row for row in linearity(x, network, J=2, L=2)}
    assert {change for change, _ in rows} == set(CHANGES)
    for change in CHANGES:
        assert 0 <= rows[change, "order 2"].share <= 1 + 1e-6
        # a linear layer changes by as large a share as its input, in its own norm
        assert 0 < rows[change, "layer 1"].share <= 1 + 1e-6
    assert rows["brightness", "pixels"].share == pytest.approx(1, abs=1e-5)
    assert rows["brightness", "layer 1"].share == pytest.approx(1, abs=1e-4)
    assert rows["brightness", "order 0"].share == pytest.approx(1, abs=1e-5)
    expected = 0.2 * 32 / float(x.flatten(1).double().square().sum(1).mean().sqrt())
    assert rows["brightness", "pixels"].size == pytest.approx(expected, rel=1e-4)
    # shifts bend pixels more than averages over 2^J of them
    assert rows["translation", "pixels"].share < rows["translation", "order 0"].share
    assert rows["rotation", "roto-translation"].size < 0.3 * rows["rotation", "order 2"].size


def test_the_share_of_a_square():
    x = torch.rand(5, 1, 8, 8)
    rows = linearity(x, nn.Sequential(Squares()), J=1, L=1)
    (found,) = [row for row in rows if row.change == "brightness" and row.group == "network"]
    m = x.mean((1, 2, 3)).double()
    amounts = [s * t for t in CHANGES["brightness"][0] for s in (1, -1)]
    steps = torch.stack([2 * m * t + t * t for t in amounts])
    t = torch.tensor(amounts, dtype=torch.float64)[:, None]
    slope = (t * steps).sum(0) / t.square().sum()
    share = ((t * slope).square().sum() / steps.square().sum()).item()
    assert found.share == pytest.approx(share, rel=1e-4)


def test_table_and_figure(tmp_path):
    rows = linearity(digits()[0][:4], resnet(10, (1, 32, 32), width=4, depth=1), J=2, L=2)
    lines = table(rows).splitlines()
    assert lines[0].split() == ["linear,", "%", *CHANGES]
    assert len(lines) == 1 + len(rows) // len(CHANGES)
    (order_2,) = [line.split() for line in lines if line.startswith("order 2")]
    assert order_2[-1] == "none" and float(order_2[2]) > 0  # wavelets do not see brightness
    plot(rows, tmp_path / "linearity.png")
    assert (tmp_path / "linearity.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"x": torch.zeros(3)}, r"x must be \[n, M, N\]"),
        ({"seed": -1}, "seed must be"),
        ({"J": 9}, "at least 2"),
        ({"network": nn.Sequential(nn.Flatten()), "layers": ["7"]}, "no layer '7'"),
    ],
)
def test_bad_arguments(options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        linearity(**{"x": torch.rand(1, 16, 16), "J": 2, "L": 2, **options})
