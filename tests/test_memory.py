"""What building a transform takes beside what it keeps, each in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.proof

CHILD = """
import ctypes, json, sys, tempfile
from pathlib import Path
import torch
from scatcuda import Scattering2D, filters

def peak():
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.partition("VmHWM:")[2].split()[0])

def restart():
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return peak()

def kept(module):
    return sum(tensor.nbytes for tensor in list(module.parameters()) or module._packed)

torch.set_num_threads(1)
what, arguments = sys.argv[1], json.loads(sys.argv[2])
torch.set_grad_enabled(what == "build")
small = Scattering2D(2, (32, 32), filters=arguments["filters"])  # what libraries set up once
small.double()
before = restart()
if what == "bank":
    make = filters.BUILT_IN[arguments["filters"]]
    bank = make(arguments["shape"], arguments["J"], arguments["L"])
    top, left = peak(), bank.psi.nbytes + bank.phi.nbytes
else:
    module = Scattering2D(**arguments)
    if what != "build":
        before = restart() - (kept(module) if what == "double" else 0)
    if what == "double":
        module.double()
    if what == "freeze":
        module.freeze()
    if what == "save":
        with tempfile.TemporaryDirectory() as folder:
            module.save_plan(folder + "/plan.scat")
    top = peak()
    left = sum(t.nbytes for t in module._packed) if what == "freeze" else kept(module)
print(top - before - (0 if what == "save" else left))
"""

CASES = {
    "morlet": ("build", dict(J=4, shape=(512, 480))),
    "tight": ("build", dict(J=4, shape=(512, 480), filters="tight")),
    "two angles": ("build", dict(J=5, shape=(480, 512), L=2, filters="tight")),
    "many angles": ("build", dict(J=3, shape=(480, 512), L=17)),
    "wide windows": ("build", dict(J=8, shape=(256, 300), L=3)),
    "no wavelets": ("build", dict(J=4, shape=(512, 512), max_order=0, filters="tight")),
    "double": ("double", dict(J=4, shape=(512, 480))),
    "learned values": ("build", dict(J=4, shape=(512, 480), filters="tight", trainable="filters")),
    "learned waves": ("build", dict(J=4, shape=(512, 480), trainable="wavelets")),
    "frozen values": ("freeze", dict(J=4, shape=(512, 480), trainable="filters")),
    "a plan file": ("save", dict(J=4, shape=(512, 480))),
    "a bank": ("bank", dict(J=4, shape=(576, 544), filters="tight")),
}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize("case", CASES)
def test_peak_of_building(case):
    """At most one scale's filters in float64 or four complex planes, and 64 MB."""
    what, arguments = CASES[case]
    arguments = dict(filters="morlet", L=8) | arguments
    child = [sys.executable, "-c", CHILD, what, json.dumps(arguments)]
    root = Path(__file__).parents[1]
    run = subprocess.run(child, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    J, L, (M, N) = arguments["J"], arguments["L"], arguments["shape"]
    planes = ((M >> J) + 2 << J) * ((N >> J) + 2 << J)
    assert int(run.stdout) <= max(8 * L, 4 * 16) * planes + 64e6
