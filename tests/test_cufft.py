"""csrc/cuda/cufft.cpp against a library that stands for cuFFT: what is opened, which calls a
transform makes, and how plans are kept. No CUDA is needed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import native
import pytest

MOST_PLANS = 128  # as in cufft.cpp
FAKES = {  # folder: soname, version, further flags
    "cufft12": ("libcufft.so.12", 12100, []),
    "cufft11": ("libcufft.so.11", 11300, []),
    "incomplete": ("libcufft.so.12", 12100, ["-DFAKE_CUFFT_INCOMPLETE"]),
}


@pytest.fixture(scope="module")
def programs() -> Path:
    """The driver, and a folder with each fake library."""
    flags = ["-g1", "-pthread"]
    sources = {
        "cufft": native.ROOT / "csrc/cuda/cufft.cpp",
        "driver": native.HERE / "run_cufft.cpp",
    }
    units = [native.Unit(name, source, flags) for name, source in sources.items()]
    built = {"run_cufft": (units, ["-pthread", "-ldl", "-rdynamic"])}
    for folder, (soname, version, more) in FAKES.items():
        more = ["-fvisibility=default", f"-DFAKE_CUFFT_VERSION={version}", *more]
        unit = native.Unit(folder, native.HERE / "fake_cufft.cpp", flags + more)
        built[f"{folder}/{soname}"] = ([unit], ["-shared", f"-Wl,-soname,{soname}"])
    return native.build("cufft", built)


def run(
    programs: Path, *commands: str, folders: tuple[str, ...] = ("cufft12",), **environment: str
):
    """What the driver and the library print for the commands, line by line."""
    environment["LD_LIBRARY_PATH"] = ":".join(str(programs / folder) for folder in folders)
    done = subprocess.run(
        [programs / "run_cufft"],
        env=os.environ | environment,
        input="\n".join(commands),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "BROKEN" not in done.stdout, done.stdout
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("folders", "answer"),
    [
        (("cufft12",), "cuFFT 12100"),
        (("cufft11",), "cuFFT 11300"),
        (("cufft11", "cufft12"), "cuFFT 12100"),
        (("incomplete",), "none 0"),
        (("nowhere",), "none 0"),
    ],
)
def test_newest_library_is_opened(programs, folders, answer):
    assert run(programs, "version", folders=folders) == [answer]


def test_library_that_is_loaded_is_taken(programs):
    """As PyTorch's is, whatever else could be found."""
    loaded = programs / "cufft11/libcufft.so.11"
    lines = run(programs, "version", folders=("cufft12",), LD_PRELOAD=str(loaded))
    assert lines == ["cuFFT 11300"]


@pytest.mark.parametrize(
    ("kind", "number", "function"),
    [
        ("r2c", "2a", "cufftExecR2C"),
        ("d2z", "6a", "cufftExecD2Z"),
        ("c2r", "2c", "cufftExecC2R"),
        ("z2d", "6c", "cufftExecZ2D"),
        ("c2c", "29", "direction 1 cufftExecC2C"),
        ("z2z", "69", "direction 1 cufftExecZ2Z"),
        ("C2C", "29", "direction -1 cufftExecC2C"),
        ("Z2Z", "69", "direction -1 cufftExecZ2Z"),
    ],
)
def test_transform(programs, kind, number, function):
    """Contiguous planes, the caller's work area and stream, the direction."""
    lines = run(programs, f"plan {kind} 40 36 24", f"run {kind} 40 36 24 16 32 48 64")
    assert lines == [
        "cufftSetAutoAllocation plan 1 0",
        f"cufftMakePlanMany64 plan 1 n 40 36 type {number} batch 24",
        "2400 bytes",
        "cufftSetStream plan 1 64",
        "cufftSetWorkArea plan 1 48",
        f"{function} plan 1 16 -> 32",
    ]


def test_no_work_area_for_who_wants_none(programs):
    """Where no transform of a call wants one, its data begins where the work area would."""
    lines = run(programs, "plan c2c 4 4 24", "run c2c 4 4 24 16 16 16 64")
    assert lines[2:] == [
        "0 bytes",
        "cufftSetStream plan 1 64",
        "cufftSetWorkArea plan 1 0",
        "direction 1 cufftExecC2C plan 1 16 -> 16",
    ]


def made(lines: list[str]) -> list[str]:
    return [line.split(" n ")[1] for line in lines if line.startswith("cufftMakePlanMany64")]


def test_transforms_of_one_to_three_axes(programs):
    """Sides of one point are none."""
    lines = run(programs, "plan r2c 1 36 24", "middle 5", "plan r2c 1 36 24", "plan r2c 7 36 24")
    plans = [plan.partition(" type")[0] for plan in made(lines)]
    assert plans == ["36", "5 36", "7 5 36"]


def test_one_plan_serves_both_complex_directions(programs):
    lines = run(programs, "plan c2c 8 6 2", "plan C2C 8 6 2", "run C2C 8 6 2 0 0 0 0")
    assert len(made(lines)) == 1
    assert lines[-1].startswith("direction -1")


def test_plans_are_kept_for_each_transform_and_device(programs):
    different = ["r2c 8 6 2", "c2c 8 6 2", "c2r 8 6 2", "d2z 8 6 2", "r2c 6 8 2", "r2c 8 6 3"]
    commands = [f"plan {transform}" for transform in different * 2]
    commands += [f"run {different[0]} 0 0 0 {stream}" for stream in (1, 2)]
    assert len(made(run(programs, *commands))) == len(different)
    lines = run(programs, *commands, "device 1", *commands)
    assert len(made(lines)) == 2 * len(different)


def test_least_recently_used_plan_goes(programs):
    commands = [f"plan r2c 8 8 {batch}" for batch in range(1, MOST_PLANS + 1)]
    commands += ["plan r2c 8 8 1", "plan r2c 8 8 1000", "plan r2c 8 8 1", "plan r2c 8 8 2"]
    lines = run(programs, *commands)
    assert [line for line in lines if "Destroy" in line] == [
        "cufftDestroy plan 2",
        "cufftDestroy plan 3",
    ]
    assert len(made(lines)) == MOST_PLANS + 2


def test_devices_do_not_evict_each_other(programs):
    commands = [f"plan r2c 8 8 {batch}" for batch in range(1, MOST_PLANS + 1)]
    lines = run(programs, *commands, "device 1", *commands)
    assert not [line for line in lines if "Destroy" in line]


def test_captured_plans_stay(programs):
    """A CUDA graph reads the tables of its plans whenever it is launched."""
    fill = [f"plan r2c 8 8 {batch}" for batch in range(2, 2 * MOST_PLANS)]
    use = "run r2c 8 8 1 0 0 0 64"
    lines = run(programs, use, "capture 1", use, "capture 0", *fill)
    destroyed = [line for line in lines if "Destroy" in line]
    assert destroyed
    assert "cufftDestroy plan 1" not in destroyed


def test_no_plan_is_made_in_a_capture(programs):
    lines = run(programs, "capture 1", "run r2c 8 8 1 0 0 0 64")
    assert lines == [
        "failed: a CUDA graph captures plans that exist: run it once before the capture"
    ]
    # there is no capture on the default stream
    assert "failed" not in run(programs, "capture 1", "run r2c 8 8 1 0 0 0 0")[-1]


@pytest.mark.parametrize("mode", [0, 1])
def test_plans_come_and_go_beside_a_capture(programs, mode):
    """In relaxed mode, and the thread is in its own again afterwards: the library and the driver
    print BROKEN otherwise. With plans that are dropped, that fail on the way, that captures use."""
    start, use = f"mode {mode}", "run c2c 8 8 1 0 0 0 64"
    fill = [f"plan r2c 8 8 {batch}" for batch in range(1, MOST_PLANS + 3)]
    lines = run(programs, start, *fill, use, "capture 1", use, "run r2c 8 8 9 0 0 0 64")
    assert [line for line in lines if "Destroy" in line]
    for function in ("cufftCreate", "cufftMakePlanMany64"):
        lines = run(programs, start, use, FAKE_CUFFT_FAILS=function)
        assert lines[-1].startswith("failed: it answered 5")
    lines = run(programs, start, f"threads {MOST_PLANS + 20} c2c 8 8 1 5")
    assert [line for line in lines if "Destroy" in line]


@pytest.mark.parametrize("function", ["cufftCreate", "cufftMakePlanMany64"])
def test_refusals_are_told(programs, function):
    lines = run(programs, "plan r2c 8 8 1", "plan r2c 8 8 1", FAKE_CUFFT_FAILS=function)
    doing = {"cufftCreate": "asked for a plan", "cufftMakePlanMany64": "making a plan"}[function]
    told = [line for line in lines if "bytes" in line]
    assert told == [f"-1 bytes: it answered 5 when {doing}"] * 2  # and tried again
    (line,) = run(programs, "device -1", "plan r2c 8 8 1")
    assert line == "-1 bytes: there is no current device"
    lines = run(programs, "run r2c 8 8 1 0 0 0 0", FAKE_CUFFT_FAILS="cufftExecR2C")
    assert lines[-1] == "failed: it answered 5 when run"


def test_threads_share_plans(programs):
    """A plan belongs to one thread at a time; one that is dropped ends with its last user."""
    lines = run(programs, f"threads 4 r2c 8 8 1 {2 * MOST_PLANS}")
    assert len(made(lines)) == 4
    lines = run(programs, f"threads {MOST_PLANS + 20} c2c 8 8 1 20")
    assert "failed" not in lines
    assert [line for line in lines if "Destroy" in line]
