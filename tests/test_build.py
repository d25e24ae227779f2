"""What the build promises: engines without PyTorch, one library for every PyTorch and Python."""

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import native
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
    objects = sorted((ROOT / "build").glob("temp*/CMakeFiles/scatcuda_engine_*.dir/csrc/cpu/*.o"))
    if shutil.which("nm") is None or not objects:
        pytest.skip("the library was not built here, or there is no nm")
    for path in objects:
        command = ["nm", "--defined-only", str(path)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        isa = path.parents[2].name.split("_")[2]
        weak = [line.split()[-1] for line in out.splitlines() if line.split()[-2] in "WVu"]
        assert weak
        assert [name for name in weak if f"{len(isa)}{isa}" not in name] == []


def test_a_missing_cmake_has_a_sentence(monkeypatch):
    setup = native.settings()
    monkeypatch.setattr(setup.shutil, "which", lambda name, path=None: None)
    with pytest.raises(SystemExit, match=r"built by CMake 3\.21 or newer, and there is none here"):
        setup.cmake()


# --- where the CUDA toolkit is ------------------------------------------------------------------

PARTS = ("bin/nvcc", "include/cuda_runtime.h", "lib64/libcudart_static.a")


def tree(folder: Path, *parts: str) -> Path:
    for part in parts:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).touch(0o755)
    return folder


@pytest.fixture
def found(tmp_path, monkeypatch):
    """setup.py on a machine whose only toolkits are those of the test."""
    setup = native.settings()
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "local/bin"))
    candidates = setup.candidates
    elsewhere = Path("/usr/local/cuda")
    monkeypatch.setattr(
        setup, "candidates", lambda: [place for place in candidates() if place != elsewhere]
    )
    return setup


def wrapper(tmp_path: Path, text: str) -> None:
    tree(tmp_path / "local", "bin/nvcc").joinpath("bin/nvcc").write_text(text)


def test_a_wrapper_of_nvcc_is_no_toolkit(found, tmp_path):
    """It says where the toolkit is; its own folder is none."""
    home = tree(tmp_path / "cuda", *PARTS)
    assert found.cuda_home() is None
    wrapper(tmp_path, f"#!/bin/sh\necho '#$ _HERE_=x' >&2; echo '#$ TOP={home}/bin/..' >&2\n")
    assert found.cuda_home() == home
    wrapper(tmp_path, "#!/bin/sh\nexit 1\n")
    assert found.cuda_home() is None
    tree(tmp_path / "local", *PARTS[1:])
    assert found.cuda_home() == tmp_path / "local"


@pytest.mark.parametrize("lacks", PARTS)
def test_an_incomplete_toolkit_is_passed_over(lacks, found, tmp_path, monkeypatch):
    home = tree(tmp_path / "cuda", *(part for part in PARTS if part != lacks))
    wrapper(tmp_path, f"#!/bin/sh\necho '#$ TOP={home}' >&2\n")
    assert found.cuda_home() is None and found.cuda_toolkit() is None
    named = re.escape(lacks.removeprefix("lib64/"))
    monkeypatch.setenv("SCATCUDA_CUDA", "1")
    with pytest.raises(SystemExit, match=f"no CUDA toolkit was found: .*{home} has no {named}"):
        found.cuda_toolkit()
    tree(home, lacks)
    assert found.cuda_home() == home


@pytest.mark.parametrize(
    "parts",
    [
        ("include/cuda_runtime.h", "lib/libcudart_static.a"),
        ("include/cuda_runtime.h", "lib/x86_64-linux-gnu/libcudart_static.a"),
        ("targets/sbsa-linux/include/cuda_runtime.h", "targets/sbsa-linux/lib/libcudart_static.a"),
    ],
)
def test_layouts_of_toolkits(parts, found, tmp_path, monkeypatch):
    home = tree(tmp_path / "cuda", "bin/nvcc", *parts)
    monkeypatch.setenv("CUDA_HOME", str(home))
    assert found.cuda_home() == home
    assert found.cudart_folder(home) == (home / parts[1]).parent


def test_a_wrong_CUDA_HOME_has_a_sentence(found, tmp_path, monkeypatch):
    """Though there is a toolkit elsewhere: who sets it means it."""
    home = tree(tmp_path / "cuda", *PARTS)
    wrapper(tmp_path, f"#!/bin/sh\necho '#$ TOP={home}' >&2\n")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "local"))
    with pytest.raises(SystemExit) as raised:
        found.cuda_toolkit()
    assert f"CUDA_HOME={tmp_path / 'local'} is no CUDA toolkit: it has no include/" in str(raised)
    monkeypatch.setenv("CUDA_HOME", os.devnull)
    with pytest.raises(SystemExit, match="it has no bin/nvcc"):
        found.cuda_home()
    monkeypatch.setenv("SCATCUDA_CUDA", "0")
    assert found.cuda_toolkit() is None
