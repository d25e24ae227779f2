"""What the build promises: engines without PyTorch, one library for every PyTorch and Python."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
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


# --- which instruction sets ---------------------------------------------------------------------


def test_an_unknown_instruction_set_has_a_sentence(monkeypatch):
    setup = native.settings()
    for name in ("", "native", *native.instruction_sets()):
        monkeypatch.setenv("SCATCUDA_ISA", name)
        assert setup.instructions() == name
    monkeypatch.setenv("SCATCUDA_ISA", "sse9")
    expected = r"SCATCUDA_ISA must be native, baseline, avx2 or avx512; got 'sse9'"
    with pytest.raises(SystemExit, match=expected):
        setup.instructions()


@pytest.mark.parametrize("isa", ["", "native", "baseline", "sse9"])
def test_instruction_sets_that_are_compiled(isa, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.21)\nproject(asked LANGUAGES CXX)\n"
        f'include({ROOT}/cmake/recipe.cmake)\nmessage(STATUS "sets: ${{SCATCUDA_ISAS}}")\n'
    )
    command = [native.settings().cmake(), "-S", tmp_path, "-B", tmp_path / "made"]
    command += ["-G", "Ninja", f"-DSCATCUDA_ISA={isa}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    every = native.instruction_sets()
    if isa == "sse9":
        told = f"SCATCUDA_ISA must be native or of {', '.join(every)}; got sse9"
        assert told in " ".join(done.stderr.split())
        return
    found = re.search("sets: (.*)", done.stdout)[1]
    if isa == "native":  # what the library finds best when it may choose
        environment = {k: v for k, v in os.environ.items() if k != "SCATCUDA_CPU_ISA"}
        command = [sys.executable, "-c", "import scatcuda; print(scatcuda.cpu_isa())"]
        best = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert found == best.stdout.strip()
    else:
        assert found == (isa or ";".join(every))


@pytest.mark.parametrize(
    ("compiled", "has", "asked", "chosen"),
    [
        ("baseline avx2 avx512", "avx2 fma", "", "avx2"),
        ("baseline avx2 avx512", "avx2", "", "baseline"),  # AVX2 without FMA
        ("baseline avx2 avx512", "avx2 fma", "avx512", "baseline"),
        ("baseline avx2 avx512", "avx2 fma avx512f", "baseline", "baseline"),
        ("avx2", "avx2 fma", "baseline", "avx2"),
        ("avx512", "avx2 fma avx512f avx512dq avx512vl avx512bw", "", "avx512"),
        ("avx512", "avx2 fma avx512f avx512dq avx512vl", "", "none"),
    ],
)
@pytest.mark.skipif(native.instruction_sets() == ["baseline"], reason="there is one to choose")
def test_the_engine_fits_the_processor(compiled, has, asked, chosen):
    """On processors that have these instructions; where no engine fits, nothing is called."""
    csrc, every = ROOT / "csrc", native.instruction_sets()
    includes = [f"-I{csrc}", f"-I{csrc / 'include'}"]
    name = f"processor_{compiled}_{has}".replace(" ", "_")
    told = "||".join(f'!__builtin_strcmp(x,"{word}")' for word in has.split())
    flags = [*includes, f"-D__builtin_cpu_supports(x)=({told})"]
    flags += [f"-USCATCUDA_HAS_{isa}" for isa in every if isa not in compiled.split()]
    sources = [ROOT / "tests/native/processor.cpp", csrc / "core/program.cpp"]
    sources += [csrc / "cuda/absent.cpp", *sorted((csrc / "api").glob("*.cpp"))]
    units = [native.Unit(f"processor_{s.stem}", s, includes) for s in sources]
    units.append(native.Unit(name, csrc / "cpu/dispatch.cpp", flags, "dispatched"))
    absent = ROOT / "tests/native/engine_absent.cpp"
    units += [
        native.engine_unit(isa, real, absent, [], "processor")
        for isa in every
        for real in ("float", "double")
    ]
    program = native.build("processor", {name: (units, [])}, name) / name
    done = subprocess.run(
        [program], capture_output=True, text=True, check=False,
        env=os.environ | {"SCATCUDA_CPU_ISA": asked},
    )  # fmt: skip
    isa, available, status, message = done.stdout.splitlines()[:4]
    assert isa == chosen
    if chosen == "none":
        assert (available, status) == ("0", "SCATCUDA_BAD_ARGUMENT")
        expected = "compiled for instructions that this processor does not have: build it here"
        assert expected in message
        assert expected in done.stderr
        assert done.returncode == -signal.SIGABRT
    else:
        assert (available, status) == ("1", "SCATCUDA_BAD_PLAN")


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
