"""Writes tests/kymatio_development.npz: signals' coefficients of Kymatio's development branch,
which is on no package index.

    python tests/kymatio_development.py CHECKOUT

CHECKOUT is Kymatio's source tree at 11552ed (2024-05-29), whose NumPy frontend computes in float64.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

N = 256
CASES: dict[str, dict[str, Any]] = {
    "local": {"J": 4, "Q": 4},
    "stride": {"J": 4, "Q": (4, 2), "T": 20, "stride": 4},
    "global": {"J": 4, "Q": 2, "T": "global"},
    "none": {"J": 3, "Q": 2, "T": 0, "out_type": "dict"},
}
#: Of TimeFrequencyScattering
JOINT: dict[str, dict[str, Any]] = {
    "time": {},
    "joint": {"format": "joint"},
    "narrow": {"format": "joint", "F": 2, "J_fr": 2, "T": 20, "stride": 16},
    "strides": {"format": "joint", "stride": 8, "stride_fr": 2},
    "quality": {"Q": (4, 2), "Q_fr": 2},
    "wide": {"F": 16, "J_fr": 3, "T": 50},
    "log-frequencies": {"F": 0},
    "all log-frequencies": {"F": "global"},
    "all": {"T": "global"},
    "planes": {"T": 0, "F": 0, "format": "joint", "out_type": "dict"},
    "listed": {"format": "joint", "F": "global", "out_type": "dict"},
}


def joint(name: str) -> dict[str, Any]:
    """The arguments of a case."""
    return {"J": 4, "J_fr": 2, "Q": 4, "shape": N // 2} | JOINT[name]


def signal() -> np.ndarray:
    """A chirp with a click."""
    t = np.arange(N) / N
    x = np.sin(2 * np.pi * (8 * t + 48 * t**2)) * (0.5 + t)
    x[99] += 2
    return x


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    checkout = parser.parse_args().checkout
    sys.path.insert(0, str(checkout))
    warnings.simplefilter("ignore")
    import kymatio
    from kymatio.numpy import Scattering1D, TimeFrequencyScattering

    assert Path(kymatio.__file__).is_relative_to(checkout.resolve()), kymatio.__file__
    found: dict[str, np.ndarray] = {}
    cases = {name: Scattering1D(shape=N, **arguments) for name, arguments in CASES.items()}
    cases |= {f"joint {name}": TimeFrequencyScattering(**joint(name)) for name in JOINT}
    for name, transform in cases.items():
        S = transform(signal()[-transform.shape[0] :])
        if isinstance(S, dict):
            for path, coefficients in S.items():
                found["/".join([name, *map(str, path)])] = coefficients
        else:
            found[name] = S
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
