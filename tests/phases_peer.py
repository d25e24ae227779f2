"""Makes tests/phases_peer.npz: what another package computes of the two maps of covariance_peer.py.

    python tests/phases_peer.py CHECKOUT

CHECKOUT is one of https://github.com/bregaldo/pywph; it needs psutil and tqdm.
"""

import sys
from pathlib import Path

import numpy as np
from covariance_peer import maps

CLASSES = ["S11", "S00", "S01", "C01", "Cphase"]


def main(checkout: str) -> None:
    sys.path.insert(0, checkout)
    import pywph

    found = {}
    for grid in ("exp", "legacy"):
        for norm in (None, "auto"):
            op = pywph.WPHOp(64, 64, 3, L=4, dn=2, A=4, device="cpu", precision="double")
            op.load_model(CLASSES, tau_grid=grid)
            numbers = []
            for x in maps():
                op.clear_normalization()
                numbers.append(np.asarray(op.apply(x, norm=norm)))
            if norm:  # of the second in units of the first
                op.clear_normalization()
                op.apply(maps()[0], norm=norm)
                numbers.append(np.asarray(op.apply(maps()[1], norm=norm)))
            found[f"{grid}_{norm}"] = np.stack(numbers)
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **found)


if __name__ == "__main__":
    main(sys.argv[1])
