"""What other programs build against: the libraries' symbols, CMake's package, pkg-config, and the
same from the project's own CMakeLists.txt. PIPELINES.md's programs are test_pipelines.py's."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from email import message_from_string
from email.message import Message
from pathlib import Path
from typing import Any

import capi
import native
import pytest
import torch
from consumers import HERE, program, run

import scatcuda
from scatcuda import Scattering2D

ROOT = Path(__file__).parents[1]
PACKAGE = Path(scatcuda.cmake_prefix_path)

PROBE = """
cmake_minimum_required(VERSION 3.20)
project(probe LANGUAGE)
find_package(scatcuda REQUEST)
foreach(name TORCH_FOUND Torch_FOUND CUDAToolkit_FOUND CUDA_FOUND Threads_FOUND)
  if(${name} AND NOT "REQUEST" MATCHES "torch")
    message(FATAL_ERROR "found what nobody asked for: ${name}")
  endif()
endforeach()
if(NOT scatcuda_FOUND)
  message("PROBE ${scatcuda_NOT_FOUND_MESSAGE}")
endif()
foreach(name core core_shared core_static torch)
  if(scatcuda_FOUND AND TARGET scatcuda::${name})
    message("PROBE ${name}")
  endif()
endforeach()
"""


def tool(name: str) -> str:
    if shutil.which(name) is None:
        pytest.skip(f"no {name}")
    return name


def output(*command: object, **options: object) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def exported(library: Path) -> set[str]:
    lines = output(tool("nm"), "-D", "--defined-only", library).splitlines()
    return {line.split()[-1].partition("@")[0] for line in lines}


def declared() -> set[str]:
    header = (ROOT / "csrc/include/scatcuda/scatcuda.h").read_text()
    return set(re.findall(r"SCATCUDA_API [^;(]*?(scatcuda_\w+)\(", header))


def probe(folder: Path, request: str, prefix: object = PACKAGE, language: str = "C") -> list[str]:
    """The targets of find_package in a project that has nothing else, or why there are none."""
    text = PROBE.replace("REQUEST", request).replace("LANGUAGE", language)
    (folder / "CMakeLists.txt").write_text(text)
    said = output(tool("cmake"), "-S", folder, "-B", folder / "b", f"-DCMAKE_PREFIX_PATH={prefix}")
    return re.findall("^PROBE (.*)$", said, re.M)


# --- the libraries ----------------------------------------------------------------------------


def test_exports_are_the_header():
    assert exported(PACKAGE / "lib/libscatcuda.so") == declared()


def test_needs_no_pytorch_python_or_cuda():
    lines = output(tool("readelf"), "-d", PACKAGE / "lib/libscatcuda.so").splitlines()
    needed = {line.split("[")[1].rstrip("]") for line in lines if "(NEEDED)" in line}
    assert needed
    system = ("libstdc++", "libm.", "libgcc_s", "libc.", "ld-linux", "libdl", "librt", "libpthread")
    assert [name for name in needed if not name.startswith(system)] == []


def undefined(*options: object) -> set[str]:
    lines = output(tool("nm"), "--undefined-only", *options).splitlines()
    return {line.split()[-1].partition("@")[0] for line in lines if " U " in line}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="where others harden otherwise")
@pytest.mark.parametrize("library", ["lib/libscatcuda.so", Path(scatcuda.library_path).name])
def test_libraries_are_hardened(library):
    path = PACKAGE / library
    segments = output(tool("readelf"), "-lW", path).splitlines()
    flags = {line.split()[0]: "".join(line.split()[6:-1]) for line in segments if "GNU_" in line}
    assert (flags["GNU_STACK"], flags["GNU_RELRO"]) == ("RW", "R")
    assert not [line for line in segments if "LOAD" in line and "RWE" in line]
    dynamic = output("readelf", "-dW", path)
    assert "BIND_NOW" in dynamic
    assert "TEXTREL" not in dynamic
    needed = undefined("-D", path)
    assert "__stack_chk_fail" in needed
    assert any(name.endswith("_chk") for name in needed), "nothing is fortified"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="where others harden otherwise")
def test_objects_are_hardened_but_for_the_engine():
    """Which has vectors on its stack everywhere; see cmake/flags.cmake."""
    library = PACKAGE / "lib/libscatcuda.a"
    lines = output(tool("nm"), "-A", "--undefined-only", library).splitlines()
    protected = {line.split(":")[1] for line in lines if line.endswith(" __stack_chk_fail")}
    assert {"plan.cpp.o", "plan_file.cpp.o", "program.cpp.o"} <= protected
    assert not {"engine.cpp.o", "signals.cpp.o"} & protected
    members = output("readelf", "-SW", library).split("File: ")[1:]
    assert len([text for text in members if "(engine.cpp.o)" in text.partition("\n")[0]]) >= 2
    for text in members:  # without its note the whole stack would be executable
        assert ".note.GNU-stack" in text, text.partition("\n")[0]


def test_the_operators_load_without_python(tmp_path):
    source = tmp_path / "load.cpp"
    source.write_text(
        "#include <dlfcn.h>\n#include <cstdio>\nint main(int, char** v) {\n"
        "  for (++v; *v; ++v)\n    if (!dlopen(*v, RTLD_NOW | RTLD_GLOBAL)) {\n"
        "      std::puts(dlerror());\n      return 1;\n    }\n}\n"
    )
    cxx = os.environ.get("CXX", "g++").split()
    tool(cxx[0])
    output(*cxx, source, "-o", tmp_path / "load", "-ldl")
    torch_library = Path(torch.__file__).parent / "lib/libtorch.so"
    output(tmp_path / "load", torch_library, scatcuda.library_path)


# --- find_package, pkg-config -----------------------------------------------------------------


def test_a_consumer_finds_only_what_it_asked_for(tmp_path):
    assert probe(tmp_path, "REQUIRED") == ["core", "core_shared", "core_static"]


def test_the_component_torch(tmp_path):
    prefix = f"{PACKAGE};{torch.utils.cmake_prefix_path}"
    found = probe(tmp_path, "REQUIRED COMPONENTS torch", prefix, "CXX")
    assert found == ["core", "core_shared", "core_static", "torch"]


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ("COMPONENTS torch", "PyTorch's package was not found: add torch.utils.cmake_prefix_path"),
        ("COMPONENTS gpu", "there is no such component; there are core and torch"),
    ],
)
def test_what_is_missing_is_said(request_, sentence, tmp_path):
    (found,) = probe(tmp_path, request_)
    assert found.startswith("scatcuda's component")
    assert sentence in found


def test_a_missing_library_is_said(tmp_path):
    package = tmp_path / "package"
    shutil.copytree(PACKAGE / "lib/cmake", package / "lib/cmake")
    sentence = f"scatcuda::core_shared's library is not in {package}/lib"
    assert probe(tmp_path, "QUIET", package) == [sentence]


@pytest.mark.parametrize(
    ("version", "fits"),
    [("0.1", True), ("0.1.0", True), ("0.2", False), ("0.0", False), ("1", False)],
)
def test_versions(version, fits, tmp_path):
    assert ("core" in probe(tmp_path, version)) == fits


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
def test_pkg_config(static, tmp_path):
    tool("cc")
    environment = os.environ | {"PKG_CONFIG_PATH": str(PACKAGE / "lib/pkgconfig")}
    command = [tool("pkg-config"), "--cflags", "--libs", *["--static"] * static, "scatcuda"]
    settings = native.settings()
    if home := settings.cuda_home():
        command.append(f"--define-variable=cudalibdir={settings.cudart_folder(home)}")
    flags = output(*command, env=environment).split()
    if static:  # where both lie side by side the linker takes the shared one
        flags[flags.index("-lscatcuda")] = "-l:libscatcuda.a"
    output("cc", HERE / "c/transform.c", *flags, f"-Wl,-rpath,{PACKAGE / 'lib'}",
           "-o", tmp_path / "transform")  # fmt: skip
    Scattering2D(2, (16, 16)).save_plan(tmp_path / "plan.scat")
    (tmp_path / "x").write_bytes(bytes(2048))
    said = run(tmp_path / "transform", tmp_path / "plan.scat", tmp_path / "x", tmp_path / "S")
    assert said.startswith("2 signals")


# --- the project's own CMake ------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed() -> Path:
    """CMakeLists.txt built and installed, for one instruction set and without optimisation."""
    build, prefix = ROOT / "build/cmake/debug", ROOT / "build/tests/installed"
    shutil.rmtree(prefix, ignore_errors=True)
    tool("ninja")
    output(tool("cmake"), "--preset", "debug", cwd=ROOT)
    output("cmake", "--build", build)
    output("cmake", "--install", build, "--prefix", prefix)
    return prefix


@pytest.mark.proof
def test_cmake_installs_what_the_package_has(installed):
    def files(folder: Path) -> set[str]:
        places = (folder / "lib", folder / "include")
        return {
            path.relative_to(folder).as_posix()
            for place in places for path in place.rglob("*") if path.is_file()
        }  # fmt: skip

    for_jax = {"lib/libscatcuda_jax.so"}  # built where jaxlib's headers are, by setup.py
    assert files(installed) == files(PACKAGE) - for_jax
    assert exported(installed / "lib/libscatcuda.so") == declared()


@pytest.mark.proof
def test_cmake_builds_without_pytorch(installed, tmp_path):
    why = "it was built without PyTorch's operators"
    prefix = f"{installed};{torch.utils.cmake_prefix_path}"
    said = probe(tmp_path, "COMPONENTS torch", prefix)
    assert said == [f"scatcuda's component torch: {why}"]


@pytest.mark.proof
def test_cmake_builds_the_same_engine(installed, tmp_path):
    """To the same bits, however much or little is optimised."""
    ours, installed_one = program("c"), program("c", "-DSCATCUDA_STATIC=ON", prefix=installed)
    Scattering2D(2, (20, 33), L=3).save_plan(tmp_path / "plan.scat")
    torch.rand(2, 20, 33).numpy().tofile(tmp_path / "x")
    run(ours, tmp_path / "plan.scat", tmp_path / "x", tmp_path / "S", isa="baseline")
    run(installed_one, tmp_path / "plan.scat", tmp_path / "x", tmp_path / "S_installed")
    assert (tmp_path / "S").read_bytes() == (tmp_path / "S_installed").read_bytes()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("SCATCUDA_CUDA=perhaps", "SCATCUDA_CUDA must be AUTO, ON or OFF; got perhaps"),
        ("SCATCUDA_TORCH=ON", "SCATCUDA_TORCH needs PyTorch 2.10 or newer, which was not found"),
    ],
)
def test_cmake_refuses(option, sentence, tmp_path):
    command = [tool("cmake"), "-S", ROOT, "-B", tmp_path, "-DSCATCUDA_CUDA=OFF", f"-D{option}"]
    environment = {name: v for name, v in os.environ.items() if name != "CMAKE_PREFIX_PATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert sentence in " ".join(done.stderr.split())


# --- the wheel --------------------------------------------------------------------------------


def project() -> dict[str, Any]:
    """pyproject.toml."""
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def metadata(folder: Path, **environment: str) -> tuple[Message, Path]:
    """What a wheel would say of itself, and the names of a source distribution: nothing is
    compiled."""
    command = (sys.executable, "setup.py", "-q", "egg_info", "--egg-base", folder)
    output(*command, cwd=ROOT, env=os.environ | environment)
    (found,) = folder.glob("*.egg-info")
    return message_from_string((found / "PKG-INFO").read_text()), found / "SOURCES.txt"


def test_package_data_names_every_file():
    """What lies in the package beside its modules goes into the wheel."""
    patterns = project()["tool"]["setuptools"]["package-data"]["scatcuda"]
    named = {path for pattern in patterns for path in PACKAGE.glob(pattern) if path.is_file()}
    there = {path for folder in ("lib", "include") for path in (PACKAGE / folder).rglob("*")}
    assert {path for path in there if path.is_file()} <= named


def test_the_paths():
    assert Path(scatcuda.get_include(), "scatcuda/scatcuda.hpp").exists()
    assert Path(scatcuda.library_path).exists()


def test_metadata(tmp_path):
    said, sources = metadata(tmp_path)
    assert (said["Name"], said["Version"]) == ("scatcuda", VERSION)
    assert said["Author"] == "The scatcuda developers"
    assert said["License-Expression"] == "BSD-3-Clause"
    assert "torch>=2.10" in said.get_all("Requires-Dist")
    names = set(sources.read_text().splitlines())
    wanted = [
        "CITATION.cff", "CMakeLists.txt", "LICENSE", "Makefile", "README.md", "cmake/recipe.cmake",
        "conda/recipe.yaml", "csrc/include/scatcuda/scatcuda.h", "docs/guide/installing.md",
        "scatcuda/py.typed", "setup.py", "tests/test_packaging.py",
    ]  # fmt: skip
    assert [name for name in wanted if name not in names] == []
    built = (".so", ".a", ".o", ".pyc", ".whl")
    assert [name for name in names if name.endswith(built) or name.startswith("build/")] == []


def test_a_label_stands_behind_the_version(tmp_path):
    said, _ = metadata(tmp_path, SCATCUDA_LABEL="cu130")
    assert said["Version"] == f"{VERSION}+cu130"


def test_a_wrong_label_has_a_sentence(monkeypatch):
    monkeypatch.setenv("SCATCUDA_LABEL", "+CU130")
    with pytest.raises(SystemExit, match=r"must be small letters and digits, .*; got '\+CU130'"):
        native.settings().version()


# --- the PyTorch that is compiled against -----------------------------------------------------


def test_pytorch_is_not_a_build_requirement_where_it_is_there(monkeypatch, tmp_path):
    """Not even where it cannot be imported: then it is that beside pip."""
    setup = native.settings()
    monkeypatch.setattr(setup.importlib.util, "find_spec", lambda name: None)
    assert setup.pytorch() == Path(torch.__file__).parent
    assert setup.pytorch_version(setup.pytorch()) == torch.__version__
    monkeypatch.setattr(setup.sysconfig, "get_path", lambda name: str(tmp_path))
    assert setup.pytorch() is None
    with pytest.raises(SystemExit, match=r"headers of PyTorch 2\.10 or newer, and there are none"):
        setup.needed_pytorch()
    assert not [line for line in project()["build-system"]["requires"] if "torch" in line]


@pytest.mark.parametrize(
    ("version", "fits"),
    [("2.10.0", True), ("2.14.1+cu130", True), ("3.0.0a0", True), ("2.9.1", False), ("2", False)],
)
def test_old_pytorchs_are_passed_over(version, fits, tmp_path):
    (tmp_path / "version.py").write_text(f"__version__ = '{version}'\ndebug = False\n")
    assert native.settings().pytorch_version(tmp_path) == (version if fits else None)


# --- one version ------------------------------------------------------------------------------

VERSION = re.search(
    r'^#define SCATCUDA_VERSION "(.*)"$',
    (ROOT / "csrc/include/scatcuda/scatcuda.h").read_text(encoding="utf-8"),
    re.M,
)[1]


def test_the_version_of_what_runs():
    assert capi.library().version().decode() == VERSION
    assert scatcuda.__version__.partition("+")[0] == VERSION
    config = PACKAGE / "lib/cmake/scatcuda/scatcuda-config-version.cmake"
    assert f'set(PACKAGE_VERSION "{VERSION}")' in config.read_text()
    assert f"Version: {VERSION}\n" in (PACKAGE / "lib/pkgconfig/scatcuda.pc").read_text()


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("CITATION.cff", "version: {}"),
        ("conda/recipe.yaml", '  version: "{}"'),
        ("CHANGELOG.md", "## {}"),
    ],
)
def test_the_version_where_it_is_repeated(file, line):
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    assert any(found.partition(" (")[0] == line.format(VERSION) for found in lines)


def test_the_version_stands_nowhere_else():
    assert project()["project"]["dynamic"] == ["version"] and "version" not in project()["project"]
    for name in ("setup.py", "CMakeLists.txt", "pyproject.toml", "scatcuda/version.py"):
        assert f'"{VERSION}"' not in (ROOT / name).read_text(), name
