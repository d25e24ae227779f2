"""Builds scatcuda._C, one limited-API library on the LibTorch stable ABI, and the engines alone,
scatcuda/lib/libscatcuda.so and .a, with headers and CMake package for programs without Python.

CMakeLists.txt is the recipe; here CMake is called with what the environment asks for. Of PyTorch
it takes headers and the name of a library: PyTorch is found, not imported.

Environment:
    SCATCUDA_CUDA    auto (default): compile csrc/cuda where there is an nvcc; 0: never; 1: or fail
    SCATCUDA_ARCHS   GPU architectures, default "75;80;86;90;100;120"; native: of the GPUs here
    SCATCUDA_ISA     one instruction set alone, baseline, avx2 or avx512, or native, this machine's
                     best, in a third of the time; default: all, one is chosen when loaded
    SCATCUDA_JAX     auto (default): what scatcuda.jax needs, where jaxlib is; 0: never; 1: or fail
    SCATCUDA_WERROR  1: warnings are errors, and so are spilled registers (the test build)
    SCATCUDA_LABEL   behind the + of the wheel's version, as in cu130; default: none
    CUDA_HOME        a CUDA toolkit; default: /usr/local/cuda, or that of the nvcc on PATH
    CXX, CXXFLAGS    as usual
"""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).resolve().parent
DEVELOPMENT = ("include", "lib")  # in the package: what other programs are compiled against


def version() -> str:
    """That of scatcuda.h, which has the only one, and the label of this wheel."""
    header = (ROOT / "csrc/include/scatcuda/scatcuda.h").read_text(encoding="utf-8")
    label = os.environ.get("SCATCUDA_LABEL", "")
    if label and not re.fullmatch(r"[a-z0-9]+(\.[a-z0-9]+)*", label):
        raise SystemExit(
            f"SCATCUDA_LABEL must be small letters and digits, as in cu130; got {label!r}"
        )
    found = re.search(r'^#define SCATCUDA_VERSION "(.*)"$', header, re.MULTILINE)[1]
    return f"{found}+{label}" if label else found


def pytorch() -> Path | None:
    """PyTorch's folder: of the one that can be imported or, where pip isolates the build from it,
    of the one installed beside pip. Any that is new enough gives the same library."""
    spec = importlib.util.find_spec("torch")
    places = [Path(spec.origin).parent] if spec and spec.origin else []
    places.append(Path(sysconfig.get_path("platlib"), "torch"))
    return next((place for place in places if pytorch_version(place)), None)


def pytorch_version(folder: Path) -> str | None:
    """What PyTorch in this folder calls itself, if it is 2.10 or newer."""
    said = folder / "version.py"
    text = said.read_text(encoding="utf-8") if said.exists() else ""
    found = re.search(r"^__version__ = '((\d+)\.(\d+).*)'", text, re.MULTILINE)
    return found[1] if found and (int(found[2]), int(found[3])) >= (2, 10) else None


def needed_pytorch() -> Path:
    """PyTorch's folder, without which nothing is compiled."""
    if (folder := pytorch()) is None:
        raise SystemExit(
            "scatcuda is compiled against headers of PyTorch 2.10 or newer, and there are none "
            "here: pip install 'torch>=2.10', or build without --no-build-isolation"
        )
    return folder


def cuda_home() -> Path | None:
    """The root of a toolkit that is complete: CUDA_HOME, which has to be one, the standard place,
    or where the nvcc on PATH says that it belongs, for that one may be a wrapper."""
    if named := os.environ.get("CUDA_HOME"):
        if lacks := missing_part(Path(named)):
            raise SystemExit(
                f"CUDA_HOME={named} is no CUDA toolkit: it has no {lacks}. Set it to a toolkit's "
                "root, as in CUDA_HOME=/usr/local/cuda, or not at all"
            )
        return Path(named)
    return next((home for home in candidates() if missing_part(home) is None), None)


def candidates() -> list[Path]:
    """Where a toolkit may be that nobody named."""
    places = [Path("/usr/local/cuda")]
    if nvcc := shutil.which("nvcc"):
        command = [nvcc, "--dryrun", "-x", "cu", os.devnull]
        told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
        places += [Path(top).resolve() for top in re.findall(r"^#\$ TOP=(.+)$", told, re.MULTILINE)]
        places.append(Path(nvcc).resolve().parent.parent)
    return places


def missing_part(home: Path) -> str | None:
    """What a folder would need to be a toolkit's root."""
    if not (home / "bin/nvcc").exists():
        return "bin/nvcc"
    header = "include/cuda_runtime.h"
    if not any(path.exists() for path in (home / header, *home.glob(f"targets/*/{header}"))):
        return header
    return None if cudart_folder(home) else "libcudart_static.a"


def cuda_toolkit() -> Path | None:
    """That to compile with, as SCATCUDA_CUDA says."""
    mode = os.environ.get("SCATCUDA_CUDA", "auto")
    if mode not in ("auto", "0", "1"):
        raise SystemExit(f"SCATCUDA_CUDA must be auto, 0 or 1; got {mode!r}")
    home = cuda_home() if mode != "0" else None
    if mode == "1" and home is None:
        looked = "; ".join(f"{place} has no {missing_part(place)}" for place in candidates())
        raise SystemExit(
            f"SCATCUDA_CUDA=1, but no CUDA toolkit was found: set CUDA_HOME to one. {looked}"
        )
    return home


def architectures(home: Path) -> list[str]:
    """The GPU architectures asked for that this toolkit compiles for, as in ["80", "90"]."""
    wanted = os.environ.get("SCATCUDA_ARCHS", "75;80;86;90;100;120").split(";")
    if wanted == ["native"]:
        try:
            import torch
        except ImportError:
            raise SystemExit(
                "SCATCUDA_ARCHS=native asks PyTorch, which an isolated build cannot import: add "
                "--no-build-isolation, or name an architecture, as in SCATCUDA_ARCHS=90"
            ) from None
        if not torch.cuda.is_available():
            raise SystemExit(
                "SCATCUDA_ARCHS=native, but PyTorch finds no GPU here: name an architecture, as in "
                "SCATCUDA_ARCHS=90"
            )
        devices = range(torch.cuda.device_count())
        pairs = sorted({torch.cuda.get_device_capability(device) for device in devices})
        wanted = [f"{major}{minor}" for major, minor in pairs]
    command = [f"{home}/bin/nvcc", "--list-gpu-code"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    known = set(re.findall(r"sm_(\d+)", listed))
    archs = [arch for arch in wanted if arch.rstrip("af") in known]
    if not archs:
        raise SystemExit(
            f"{command[0]} compiles for none of SCATCUDA_ARCHS={';'.join(wanted)}, only for "
            + ";".join(sorted(known, key=int))
        )
    if left_out := [arch for arch in wanted if arch not in archs]:
        print(f"scatcuda: {command[0]} does not compile for {', '.join(left_out)}: left out")
    return archs


def cudart_folder(home: Path) -> Path | None:
    """Where the toolkit's runtime is, to be linked with."""
    folders = (home / "lib64", home / "lib", *sorted(home.glob("targets/*/lib")))
    distribution = sorted(home.glob("lib/*-linux-gnu"))  # /usr, as Debian has it
    found = (f for f in (*folders, *distribution) if (f / "libcudart_static.a").exists())
    return next(found, None)


class CMakeBuild(build_ext):
    """build_ext that calls CMake."""

    def build_extension(self, ext: Extension) -> None:
        # not self.build_temp, which pip throws away: an editable install is rebuilt again and
        # again, beside one PyTorch or another
        torch = pytorch_version(needed_pytorch())
        beside = f"{sys.implementation.cache_tag}-torch{torch}"
        build = ROOT / f"build/temp.{sysconfig.get_platform()}-{beside}"
        package = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        print(configure(ROOT, build, options()))
        command = [cmake(), "--build", str(build)]
        subprocess.run(command + (["--verbose"] if self.verbose > 1 else []), check=True)
        command = [cmake(), "--install", str(build), "--prefix", str(package)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def copy_extensions_to_source(self) -> None:
        super().copy_extensions_to_source()
        for folder in DEVELOPMENT:
            built = Path(self.build_lib, "scatcuda", folder)
            shutil.copytree(built, ROOT / "scatcuda" / folder, dirs_exist_ok=True)


class Fresh(build_py):
    """build_py into an empty folder: a module that has moved since is not packed once more."""

    def run(self) -> None:
        if not self.editable_mode:
            shutil.rmtree(Path(self.build_lib, "scatcuda"), ignore_errors=True)
        super().run()


class Editable(editable_wheel):
    """An editable install by a .pth file, which mypy and pyright read; they run no import hook."""

    def finalize_options(self) -> None:
        self.mode = self.mode or "compat"
        super().finalize_options()


def cmake() -> str:
    """CMake's program: that of the wheel, or the system's."""
    found = shutil.which("cmake", path=sysconfig.get_path("scripts")) or shutil.which("cmake")
    if found is None:
        raise SystemExit(
            "scatcuda is built by CMake 3.21 or newer, and there is none here: pip install cmake "
            "ninja"
        )
    return found


def configure(source: Path, build: Path, given: dict[str, str]) -> str:
    """What CMake says of configuring, where that was not done, or asked for otherwise: from nothing
    then, since CMake keeps a compiler once it has one. Objects whose flags are the same stay."""
    if ninja := shutil.which("ninja", path=sysconfig.get_path("scripts")):
        given = given | {"CMAKE_MAKE_PROGRAM": ninja}
    remembered = build / "options.json"
    command = [cmake(), "-S", str(source), "-B", str(build), "-G", "Ninja"]
    command += [f"-D{name}={value}" for name, value in given.items()]
    text = json.dumps(command)
    if remembered.exists() and remembered.read_text() == text:
        return ""
    build.mkdir(parents=True, exist_ok=True)
    (build / "CMakeCache.txt").unlink(missing_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    remembered.write_text(text)
    return done.stdout


def options() -> dict[str, str]:
    """CMake's variables, from the environment."""
    torch = needed_pytorch()
    given = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_PREFIX_PATH": str(torch / "share/cmake"),
        "SCATCUDA_PYTHON": sysconfig.get_path("include"),
        "SCATCUDA_BESIDE": f"built beside PyTorch {pytorch_version(torch)}",
        "SCATCUDA_WERROR": "ON" if os.environ.get("SCATCUDA_WERROR") == "1" else "OFF",
        "CMAKE_CXX_FLAGS": os.environ.get("CXXFLAGS", ""),
        "SCATCUDA_CUDA": "OFF",
        "SCATCUDA_ISA": instructions(),
        "SCATCUDA_JAX": jax_headers(),
    }
    if cxx := os.environ.get("CXX"):
        given["CMAKE_CXX_COMPILER"] = ";".join(shlex.split(cxx))
    if home := cuda_toolkit():
        given["SCATCUDA_CUDA"] = "ON"
        given["CMAKE_CUDA_COMPILER"] = f"{home}/bin/nvcc"
        given["CUDAToolkit_ROOT"] = str(home)
        given["CMAKE_CUDA_ARCHITECTURES"] = ";".join(with_ptx(architectures(home)))
    return given


def instructions() -> str:
    """The instruction set to compile for alone, "" for all."""
    found = os.environ.get("SCATCUDA_ISA", "")
    if found not in ("", "native", "baseline", "avx2", "avx512"):
        raise SystemExit(f"SCATCUDA_ISA must be native, baseline, avx2 or avx512; got {found!r}")
    return found


def jax_headers() -> str:
    """The folder of jaxlib's headers of XLA's foreign functions, "" for none."""
    mode = os.environ.get("SCATCUDA_JAX", "auto")
    if mode not in ("auto", "0", "1"):
        raise SystemExit(f"SCATCUDA_JAX must be auto, 0 or 1; got {mode!r}")
    found = importlib.util.find_spec("jaxlib") if mode != "0" else None
    for place in (found and found.submodule_search_locations) or ():
        if Path(place, "include/xla/ffi/api/ffi.h").exists():
            return str(Path(place, "include"))
    if mode == "1":
        raise SystemExit("SCATCUDA_JAX=1, but jaxlib is not here, or too old: pip install jax")
    return ""


def with_ptx(archs: list[str]) -> list[str]:
    """Of the first and the last PTX too, from which the driver makes code for other architectures,
    newer ones too."""
    return [arch if arch in (archs[0], archs[-1]) else f"{arch}-real" for arch in archs]


setup(
    version=version(),
    # Fetched for an isolated build (PEP 517), and only where there is none: it is large.
    setup_requires=[] if pytorch() else ["torch>=2.10"],
    ext_modules=[Extension("scatcuda._C", sources=[], py_limited_api=True)],
    cmdclass={"build_py": Fresh, "build_ext": CMakeBuild, "editable_wheel": Editable},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
