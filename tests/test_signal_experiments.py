"""The experiments with signals, on a few signals that are easily told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")

from benchmarks.learning import molecules, page, signals  # noqa: E402
from scatcuda import HarmonicScattering3D  # noqa: E402


def tone(rng, step: float, length: int) -> np.ndarray:
    return np.sin(step * np.arange(length) + rng.uniform(0, 6)) + 0.01 * rng.normal(size=length)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "recordings").mkdir()
    for speaker in ("ann", "bob", "eve"):
        for digit in (0, 1):
            for take in range(8):
                name = tmp_path / f"recordings/{digit}_{speaker}_{take}.wav"
                soundfile.write(name, 0.5 * tone(rng, (0.3, 1.2)[digit], 4000), 8000)
    x = {f"x_{part}": np.stack([tone(rng, (0.3, 1.2)[i % 2], 128) for i in range(20)])
         for part in ("train", "test")}  # fmt: skip
    np.savez(tmp_path / "mit-bih.npz", **x, y_train=np.arange(20) % 2, y_test=np.arange(20) % 2)
    for name in ("OSULeaf", "ACSF1", "PigCVP"):
        (tmp_path / name).mkdir()
        for part in ("TRAIN", "TEST"):
            rows = (
                "\t".join([str(i % 2), *map(str, tone(rng, (0.3, 1.2)[i % 2], 300))])
                for i in range(12)
            )
            (tmp_path / name / f"{name}_{part}.tsv").write_text("\n".join(rows))
    Z = np.zeros((30, 5), dtype=np.uint8)
    for i, z in enumerate(Z):
        z[: 3 + i % 3] = rng.choice([1, 6, 8], 3 + i % 3)
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 0, 0]])
    R = (1.2 * corners + 0.05 * rng.normal(size=(30, 5, 3))).astype(np.float32)
    np.savez(tmp_path / "qm7.npz", Z=Z, R=R, target=-10.0 * Z.sum(1, keepdims=True))
    return str(tmp_path)


@pytest.mark.parametrize("name", list(signals.EXPERIMENTS))
def test_they_tell_tones_apart(name, folder):
    found = signals.measure(name, folder)
    told = [verdict for verdict in found["verdicts"] if "gain" not in verdict["text"]]
    assert all(verdict["met"] for verdict in told)  # of 100 % nothing is gained
    right = {
        "spoken-digits": "100.0", "mit-bih": "100.00% right", "ucr": "100.0% (J", "qm7": "MAE",
    }[name]  # fmt: skip
    assert right in found["lines"][0][1]
    assert found["title"] in page._several("Signals", [found])


def test_integrals_belong_to_their_molecules(folder):
    """Those of a run that was stopped are read again, and no others."""
    home, transform = Path(folder), HarmonicScattering3D(1, (48, 48, 48), 1, 1.0, order_0=True)
    arguments = home / "qm7.npz", home / "integrals", transform, 12
    found = molecules.measured(*arguments)
    (shard,) = (home / "integrals").iterdir()
    written = shard.stat().st_mtime_ns
    assert molecules.measured(*arguments) == found and shard.stat().st_mtime_ns == written
    for wrong in (
        (*arguments[:2], HarmonicScattering3D(1, (48, 48, 48), 2, 1.0, order_0=True), 12),
        (*arguments[:3], 11),
    ):
        with pytest.raises(ValueError, match="has features of other molecules"):
            molecules.measured(*wrong)
    small = HarmonicScattering3D(1, (16, 16, 16), 1, 1.0)
    with pytest.raises(ValueError, match="the molecules need a grid of"):
        molecules.measured(home / "qm7.npz", home / "others", small)
