"""Builds scatcuda._C, one limited-API library on the LibTorch stable ABI, and the engines alone,
scatcuda/lib/libscatcuda.so and .a, with headers and CMake package for programs without Python.

The host code is compiled for PyTorch 2.10's stable ABI and Python 3.10's limited API, so that one
library serves every later release of both. The CPU engine is compiled once for each instruction set
and chosen when loaded. CUDA sources (csrc/cuda/*.cu) hold no PyTorch header and go through plain
nvcc, so that they build beside a CPU-only PyTorch too. Ninja runs it all.

Environment:
    SCATCUDA_CUDA    auto (default): compile csrc/cuda where there is an nvcc; 0: never; 1: or fail
    SCATCUDA_ARCHS   GPU architectures, default "75;80;86;90;100;120"; native: of the GPUs here
    SCATCUDA_WERROR  1: warnings are errors, and so are spilled registers (the test build)
    CUDA_HOME        a CUDA toolkit; default: /usr/local/cuda, or that of the nvcc on PATH
    CXX, CXXFLAGS    as usual
"""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import torch
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from torch.utils.cpp_extension import include_paths, library_paths

ROOT = Path(__file__).resolve().parent
DEVELOPMENT = ("include", "lib")  # in the package: what other programs are compiled against
X86_64 = platform.machine() in ("x86_64", "AMD64")
ISAS = {"baseline": []}
if X86_64:
    ISAS["avx2"] = ["-mavx2", "-mfma"]
    ISAS["avx512"] = ISAS["avx2"] + [f"-mavx512{part}" for part in ("f", "dq", "vl", "bw")]

STABLE_ABI = ["-DTORCH_TARGET_VERSION=0x020a000000000000", "-DPy_LIMITED_API=0x030a0000"]
# Vectors of the wider instruction sets pass between inlined functions only: no ABI to warn about.
FLAGS = ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-Wno-psabi"]
# What turns some errors in memory into an end of the program; -U, since a compiler that fortifies
# by itself warns of another level.
HARDENED = ["-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
HARDENED_LINK = ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]
# Not the engine for CPUs: it calls no function of libc that could be fortified, and holds lines of
# vectors on its stack, for which every pass of every transform would check it.
ENGINE_FLAGS = ["-fno-math-errno", "-fno-trapping-math", "-fno-stack-protector"]
# Float square roots to the last bit but one take one instruction, exact ones a dozen and a branch.
NVCC_FLAGS = ["-std=c++17", "-O3", "-prec-sqrt=false"]
CUDART = ["-lcudart_static", "-ldl", "-lrt", "-lpthread"]


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


def cuda_toolkit(sources: list[Path]) -> Path | None:
    mode = os.environ.get("SCATCUDA_CUDA", "auto")
    if mode not in ("auto", "0", "1"):
        raise SystemExit(f"SCATCUDA_CUDA must be auto, 0 or 1; got {mode!r}")
    home = cuda_home() if mode != "0" else None
    if mode == "1" and home is None:
        looked = "; ".join(f"{place} has no {missing_part(place)}" for place in candidates())
        raise SystemExit(
            f"SCATCUDA_CUDA=1, but no CUDA toolkit was found: set CUDA_HOME to one. {looked}"
        )
    if mode == "1" and not sources:
        raise SystemExit("SCATCUDA_CUDA=1, but this release has no CUDA sources yet")
    return home if sources else None


def architectures(home: Path) -> list[str]:
    """The GPU architectures asked for that this toolkit compiles for, as in ["80", "90"]."""
    wanted = os.environ.get("SCATCUDA_ARCHS", "75;80;86;90;100;120").split(";")
    if wanted == ["native"]:
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


def compression(home: Path) -> list[str]:
    """Kernels for six architectures with the lines of their sources take a fifth of the space so;
    every driver that runs CUDA 13 can unpack them."""
    command = [f"{home}/bin/nvcc", "--version"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    release = re.search(r"release (\d+)", text)
    return ["--compress-mode=size"] if release and int(release[1]) >= 13 else []


def cudart_folder(home: Path) -> Path | None:
    """Where the toolkit's runtime is, to be linked with."""
    folders = (home / "lib64", home / "lib", *sorted(home.glob("targets/*/lib")))
    distribution = sorted(home.glob("lib/*-linux-gnu"))  # /usr, as Debian has it
    found = (f for f in (*folders, *distribution) if (f / "libcudart_static.a").exists())
    return next(found, None)


class NinjaBuild(build_ext):
    """build_ext that writes a build.ninja and runs it."""

    def build_extension(self, ext: Extension) -> None:
        # not self.build_temp, which pip throws away: an editable install is rebuilt again and
        # again, beside one PyTorch or another
        beside = f"{sys.implementation.cache_tag}-torch{torch.__version__}"
        build = ROOT / f"build/temp.{sysconfig.get_platform()}-{beside}"
        build.mkdir(parents=True, exist_ok=True)
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        (build / "build.ninja").write_text(self.ninja(build, target))
        command = [shutil.which("ninja") or "ninja", "-C", str(build)]
        subprocess.run(command + (["-v"] if self.verbose > 1 else []), check=True)
        self.development_files(target.parent)

    def copy_extensions_to_source(self) -> None:
        super().copy_extensions_to_source()
        for folder in DEVELOPMENT:
            built = Path(self.build_lib, "scatcuda", folder)
            shutil.copytree(built, ROOT / "scatcuda" / folder, dirs_exist_ok=True)

    def development_files(self, package: Path) -> None:
        """What other programs compile against, beside the libraries; CMakeLists.txt installs the
        same."""
        include = package / "include/scatcuda"
        config = package / "lib/cmake/scatcuda"
        for folder in (include, config, package / "lib/pkgconfig"):
            folder.mkdir(parents=True, exist_ok=True)
        for header in (ROOT / "csrc/include/scatcuda").iterdir():
            shutil.copyfile(header, include / header.name)
        values = {
            "VERSION": self.distribution.get_version(),
            "CUDA": "ON" if self.cuda else "OFF",
            "CUDART": " ".join(CUDART) if self.cuda else "",
            "TORCH_LIBRARY": f"../{Path(self.get_ext_filename('_C')).name}",
        }
        for template in (ROOT / "cmake").glob("*.in"):
            text = re.sub(r"@(\w+)@", lambda m: values[m[1]], template.read_text())
            folder = package / "lib/pkgconfig" if ".pc" in template.name else config
            (folder / template.stem).write_text(text)

    def ninja(self, build: Path, target: Path) -> str:
        warnings = ["-Wall", "-Wextra"]
        if os.environ.get("SCATCUDA_WERROR") == "1":
            warnings.append("-Werror")
        cxx = os.environ.get("CXX", "g++")
        cu_sources = sorted((ROOT / "csrc/cuda").rglob("*.cu"))
        self.cuda = cuda = cuda_toolkit(cu_sources)
        archs = architectures(cuda) if cuda else []

        # messages and debug information name files from the root of the sources, wherever it was
        prefixes = [f"-ffile-prefix-map={p}/=" for p in (ROOT, *include_paths())]
        common = FLAGS + prefixes + warnings + shlex.split(os.environ.get("CXXFLAGS", ""))
        torch_flags = STABLE_ABI + ["-isystem" + p for p in include_paths()]
        torch_flags.append("-isystem" + sysconfig.get_path("include"))
        build_info = [f"compiler {cxx}", f"built beside PyTorch {torch.__version__}"]
        build_info += ["CPU " + " ".join(ISAS), "CUDA " + (" ".join(archs) or "none")]
        engine = common + ENGINE_FLAGS + (["-DSCATCUDA_X86_64"] if X86_64 else [])
        common = common + HARDENED
        units = [(ROOT / "csrc/core/program.cpp", "program", common)]
        units.append((ROOT / "csrc/cpu/dispatch.cpp", "dispatch", engine))
        for isa, flags in ISAS.items():
            for real in ("float", "double"):
                defines = [f"-DSCATCUDA_ISA={isa}", f"-DSCATCUDA_REAL={real}"]
                unit = (ROOT / "csrc/cpu/engine.cpp", f"engine_{isa}_{real}")
                units.append((*unit, engine + flags + defines))
        for beside in ("cufft", "fused/match") if cuda else ("absent",):
            name = f"cuda_{Path(beside).name}"
            units.append((ROOT / f"csrc/cuda/{beside}.cpp", name, common))
        built_for = f'-DSCATCUDA_ARCHS="{" ".join(archs)}"'
        for source in sorted((ROOT / "csrc/api").glob("*.cpp")):
            units.append((source, f"api_{source.stem}", [*common, built_for]))
        for source in sorted((ROOT / "csrc/torch").glob("*.cpp")):
            flags = [*common, *torch_flags, built_for]
            if source.name == "module.cpp":
                flags = [*flags, f'-DSCATCUDA_BUILD="{"; ".join(build_info)}"']
            units.append((source, f"torch_{source.stem}", flags))

        lines = [
            "rule cxx",
            f"  command = {cxx} -MMD -MF $out.d $flags -c $in -o $out",
            "  depfile = $out.d",
            "  deps = gcc",
            "rule link",
            f"  command = {cxx} -shared $in -o $out $flags",
            "rule archive",
            "  command = rm -f $out && ar rcs $out $in",
        ]
        objects = []
        # the slowest first, so that two cores finish together
        if cuda is not None:
            lines += self.nvcc_lines(cuda, cu_sources, archs, objects)
        for source, name, flags in sorted(units, key=lambda u: "avx512" not in u[1]):
            objects.append(f"{name}.o")
            lines += [f"build {name}.o: cxx {escape(source)}", f"  flags = {join(flags)}"]
        alone = [name for name in objects if not name.startswith("torch_")]
        link = ["-L" + p for p in library_paths()] + ["-Wl,--no-as-needed", "-ltorch"]
        link.append(f"-Wl,-soname,{target.name}")  # programs on libtorch link it too
        link.append(f"-Wl,--version-script={ROOT / 'csrc/torch/exports.map'}")
        # no version in the name before 1.0: nothing but this one fits its header
        link_alone = ["-Wl,-soname,libscatcuda.so"]
        link_alone.append(f"-Wl,--version-script={ROOT / 'csrc/api/exports.map'}")
        link += HARDENED_LINK
        link_alone += HARDENED_LINK
        if sys.platform == "darwin":
            link, link_alone = ["-undefined", "dynamic_lookup"], []
        if cuda is not None:
            cudart = [f"-L{cudart_folder(cuda)}", *CUDART]
            # where the wheels of cuFFT put it, should PyTorch not have loaded one
            found = "$ORIGIN{0}/nvidia/cu13/lib:$ORIGIN{0}/nvidia/cufft/lib"
            link += [*cudart, f"-Wl,-rpath,{found.format('/..')}"]
            link_alone += [*cudart, f"-Wl,-rpath,{found.format('/../..')}"]
        library = target.parent / "lib/libscatcuda"
        with_torch = [name for name in objects if not name.startswith("api_")]
        lines += [
            f"build {escape(target)}: link {' '.join(with_torch)}",
            f"  flags = {join(link)}",
            f"build {escape(library.with_suffix('.so'))}: link {' '.join(alone)}",
            f"  flags = {join(link_alone)}",
            f"build {escape(library.with_suffix('.a'))}: archive {' '.join(alone)}",
            "",
        ]
        return "\n".join(lines)

    @staticmethod
    def nvcc_lines(
        cuda: Path, sources: list[Path], archs: list[str], objects: list[str]
    ) -> list[str]:
        codes = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in archs]
        # and PTX, from which the driver makes code for other architectures, newer ones too
        for arch in sorted({archs[0], archs[-1]}):
            codes.append(f"-gencode=arch=compute_{arch},code=compute_{arch}")
        host = ["-fPIC", "-fvisibility=hidden", *HARDENED, f"-ffile-prefix-map={ROOT}/="]
        flags = [*NVCC_FLAGS, *compression(cuda), "-lineinfo", "--threads=0", *codes]
        flags += [f"-Xcompiler={','.join(host)}", "-Xptxas=-warn-spills"]
        if os.environ.get("SCATCUDA_WERROR") == "1":
            flags += ["-Werror=all-warnings", "-Xptxas=-Werror"]
        lines = [
            "rule nvcc",
            f"  command = {cuda}/bin/nvcc -MD -MF $out.d $flags -c $in -o $out",
            "  depfile = $out.d",
            "  deps = gcc",
        ]
        for source in sources:
            name = f"cuda_{source.stem}.o"
            objects.append(name)
            lines += [f"build {name}: nvcc {escape(source)}", f"  flags = {join(flags)}"]
        return lines


def escape(path: Path) -> str:
    return str(path).replace("$", "$$").replace(" ", "$ ").replace(":", "$:")


def join(flags: list[str]) -> str:
    return shlex.join(flags).replace("$", "$$")


setup(
    ext_modules=[Extension("scatcuda._C", sources=[], py_limited_api=True)],
    cmdclass={"build_ext": NinjaBuild},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
