"""What the build promises: engines without PyTorch, one library for every PyTorch and Python."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scatcuda import _C

ROOT = Path(__file__).parents[1]
LIBRARY = Path(_C.__file__)

# What the library may take from PyTorch and Python: C functions of the stable ABI and of the
# limited API, never a C++ symbol of libtorch. And C++'s own library; C's is what this process has.
STABLE = re.compile(r"(aoti_)?torch_\w+|Py\w+|_Py\w+")
SYSTEM = re.compile(
    r"_Z(N?K?S|Tv?[ISV]|d[al]|n[aw]|TI|TV|St|Ns)\w*|__(cxa|gxx|gmon)\w*|_ITM_\w+|_Unwind_\w+"
)


def test_engines_include_no_pytorch_header():
    for folder in ("include", "api", "core", "cpu", "cuda"):
        for source in (ROOT / "csrc" / folder).rglob("*"):
            if source.is_file():
                includes = re.findall(r"#include [<\"]([^>\"]+)", source.read_text())
                assert not [name for name in includes if "torch" in name or "Python" in name], (
                    source
                )


def test_library_is_for_every_python():
    assert ".abi3." in LIBRARY.name


def test_library_needs_the_stable_abi_only():
    if shutil.which("nm") is None:
        pytest.skip("no nm")
    command = ["nm", "-D", "--undefined-only", str(LIBRARY)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    needed = [line.split()[-1].split("@")[0] for line in lines]
    assert any(name.startswith("torch_") for name in needed)
    process = ctypes.CDLL(None)
    assert [
        name
        for name in needed
        if not (STABLE.fullmatch(name) or SYSTEM.fullmatch(name) or hasattr(process, name))
    ] == []


def test_instruction_sets_share_no_code():
    """Code for AVX-512 to which anything else could be linked would crash elsewhere."""
    objects = sorted((ROOT / "build").glob("temp*/engine_*.o"))
    if shutil.which("nm") is None or not objects:
        pytest.skip("the library was not built here, or there is no nm")
    for path in objects:
        command = ["nm", "--defined-only", str(path)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        isa = path.stem.split("_")[1]
        weak = [line.split()[-1] for line in out.splitlines() if line.split()[-2] in "WVu"]
        assert weak
        assert [name for name in weak if f"{len(isa)}{isa}" not in name] == []
