"""The CPU engine without PyTorch under AddressSanitizer, UndefinedBehaviorSanitizer and
ThreadSanitizer, on heap arrays of exactly the documented sizes, against the reference in float64.

``native/run_engine.cpp`` says what a problem file holds and how each is run.
"""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

import native.fuzz
import numpy as np
import pytest
import torch
from engine_problems import (
    CASES,
    PARALLEL,
    RACE,
    REALS,
    SCATTERING,
    STAGES,
    arrays_of,
    check_case,
    check_gradient,
    check_stage,
    execute,
    problem,
    run,
    write_case,
    write_problem,
)
from programs import write_programs

from scatcuda import Scattering2D

pytestmark = pytest.mark.proof

ISAS = native.instruction_sets()
# Butterflies live in small arrays that ASan would keep in memory, and its checks in line are long:
# the engine would take minutes to compile. The indices of those arrays are constants, and UBSan
# watches the bounds of all arrays of known size.
ADDRESS = ["-O1", "-g1", "-fsanitize=address", "--param=asan-stack=0"]
ADDRESS += ["--param=asan-instrumentation-with-call-threshold=0"]
UNDEFINED = ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
# These are as long to compile as all the others: where all instruction sets are tested one copy of
# the engine has them.
COSTLY = "-fno-sanitize=null,alignment,object-size,pointer-overflow"
THREAD = ["-O1", "-g1", "-fsanitize=thread"]


@pytest.fixture(scope="module")
def programs() -> Path:
    """Compiles the sanitized programs, where they are not up to date."""
    driver, dispatch = native.HERE / "run_engine.cpp", native.ROOT / "csrc/cpu/dispatch.cpp"
    program = native.ROOT / "csrc/core/program.cpp"
    sources = [f"-I{native.ROOT / 'csrc'}", f"-I{native.ROOT / 'csrc/include'}"]
    absent, guarded = native.HERE / "engine_absent.cpp", native.HERE / "guarded.h"
    consumers = native.ROOT / "tests/consumer"
    api = sorted((native.ROOT / "csrc/api").glob("*.cpp"))
    api.append(native.ROOT / "csrc/cuda/absent.cpp")
    made = {}
    address, thread = [], []
    for isa, real in itertools.product(reversed(ISAS), REALS):  # the slowest first
        flags = ADDRESS + UNDEFINED + [COSTLY] * ((isa, real) != ("baseline", "float"))
        if isa in TESTED:
            flags += ["-include", str(guarded)]
            address += native.engine_units(isa, real, flags, "address")
        else:
            address.append(native.engine_unit(isa, real, absent, flags, "address"))
    for real in REALS:
        if real in THREADED:
            thread += native.engine_units("baseline", real, THREAD, "thread")
        else:
            thread.append(native.engine_unit("baseline", real, absent, THREAD, "thread"))
    for units, name, flags in (
        (address, "address", ADDRESS + UNDEFINED),
        (thread, "thread", THREAD),
    ):
        link = [*flags, "-pthread"]
        # there is one instruction set under ThreadSanitizer
        one = ["-USCATCUDA_HAS_avx2", "-USCATCUDA_HAS_avx512"] if name == "thread" else []
        units.append(native.Unit(f"{name}_dispatch", dispatch, flags + one, "dispatched"))
        units.append(native.Unit(f"{name}_program", program, flags))
        run_engine = native.Unit(f"{name}_driver", driver, flags + sources)
        made[f"run_engine_{name}"] = ([*units, run_engine], link)
        units += [native.Unit(f"{name}_api_{path.stem}", path, flags) for path in api]
        for path in (consumers / "cpp/threads.cpp", consumers / "stream/stream.cpp"):
            unit = native.Unit(f"{name}_{path.stem}", path, flags + sources)
            made[f"{path.stem}_{name}"] = ([*units, unit], link)
    fuzz = native.Unit(
        "fuzz_plan", native.HERE / "fuzz_plan.cpp",
        [*ADDRESS, *UNDEFINED, *sources, "-DSCATCUDA_FUZZ_MAIN"],
    )  # fmt: skip
    made["fuzz_plan"] = ([*address, fuzz], made["stream_address"][1])
    for name in ("hostile", "sizes"):
        own = [*ADDRESS, *UNDEFINED, *sources]
        unit = native.Unit(name, native.HERE / f"{name}.cpp", own)
        made[name] = ([*address, unit], made["stream_address"][1])
    return native.build("sanitizers", made)


def runs_here(isa: str) -> bool:
    """Whether this processor has an instruction set; where that cannot be told, as if it had."""
    needed = {"avx2": {"avx2", "fma"}, "avx512": {"avx512f", "avx512dq", "avx512vl", "avx512bw"}}
    try:
        found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        return True
    return found is None or needed.get(isa, set()) <= set(found[1].split())


HERE = [isa for isa in ISAS if runs_here(isa)]
BEST = HERE[-1]
#: With the address sanitizer the widest that this processor has, with the thread sanitizer float32,
#: whose threads are those of float64; all of them, which takes minutes more to compile, with
#: SCATCUDA_TEST_ISAS=all
EVERYTHING = os.environ.get("SCATCUDA_TEST_ISAS") == "all"
TESTED = HERE if EVERYTHING else [BEST]
THREADED = list(REALS) if EVERYTHING else ["float"]
OF_PROGRAMS = {"address": BEST, "thread": "baseline"}


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("isa", TESTED)
def test_scattering_stays_in_its_arrays(programs, isa, real, case, tmp_path):
    check_case(programs / "run_engine_address", isa, real, case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("isa", TESTED)
def test_gradients_stay_in_their_arrays(programs, isa, real, case, tmp_path):
    for wanted in ((True, False, False), (True, True, True)):
        check_gradient(programs / "run_engine_address", isa, real, case, wanted, tmp_path)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("isa", TESTED)
def test_stages_stay_in_their_arrays(programs, isa, real, tmp_path):
    for stage in STAGES:
        check_stage(programs / "run_engine_address", isa, real, stage, tmp_path)


@pytest.mark.parametrize("case", PARALLEL, ids=str)
@pytest.mark.parametrize("real", THREADED)
def test_threads_of_scattering_do_not_race(programs, real, case, tmp_path):
    check_case(programs / "run_engine_thread", "baseline", real, case, tmp_path)


@pytest.mark.parametrize("case", PARALLEL, ids=str)
@pytest.mark.parametrize("real", THREADED)
def test_threads_of_gradients_do_not_race(programs, real, case, tmp_path):
    for wanted in ((True, False, False), (False, True, True)):
        check_gradient(programs / "run_engine_thread", "baseline", real, case, wanted, tmp_path)


@pytest.mark.parametrize("real", THREADED)
def test_threads_of_stages_do_not_race(programs, real, tmp_path):
    for stage in STAGES:
        if stage.threads > 1:
            check_stage(programs / "run_engine_thread", "baseline", real, stage, tmp_path)


# --- the sanitizers and the driver themselves -------------------------------------------------


def test_address_sanitizer_sees_a_read_beyond_the_bank(programs, tmp_path):
    """The engine trusts the size of psi, so one element less must be reported."""
    given = arrays_of(problem(CASES[0]), "float")
    given[2] = given[2][:-1]
    write_problem(tmp_path / "problem", SCATTERING, "float", 1, (CASES[0].B,), given)
    done = run(programs / "run_engine_address", BEST, tmp_path)
    assert done.returncode != 0
    assert "ERROR: AddressSanitizer" in done.stderr  # a vector may begin inside


def test_thread_sanitizer_sees_a_race(programs, tmp_path):
    write_problem(tmp_path / "problem", RACE, "float", 3, (), ())
    done = run(programs / "run_engine_thread", "baseline", tmp_path)
    assert done.returncode != 0
    assert "data race" in done.stderr


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_truncated_problem_is_refused(programs, share, tmp_path):
    write_case(CASES[0], "float", tmp_path)
    whole = (tmp_path / "problem").read_bytes()
    (tmp_path / "problem").write_bytes(whole[: int(share * len(whole))])
    done = run(programs / "run_engine_address", BEST, tmp_path)
    assert done.returncode == 1
    assert "problem: truncated, " in done.stderr
    assert not (tmp_path / "result").exists()


def test_what_is_no_program_is_refused(programs, tmp_path):
    given = arrays_of(problem(CASES[0]), "float")
    text = given[0].tobytes().replace(b"wavelet x 0 /1", b"wavelet x 0 /7", 1)
    given[0] = np.frombuffer(text, np.uint8)
    write_problem(tmp_path / "problem", SCATTERING, "float", 1, (CASES[0].B,), given)
    done = run(programs / "run_engine_address", BEST, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "run_engine: no program: step 1 (wavelet): it folds axis 0, of 40"
    )


@pytest.mark.parametrize(
    ("sanitizer", "real"),
    [("address", "float"), ("address", "double"), *(("thread", real) for real in THREADED)],
)
@pytest.mark.parametrize("shape", [(17, 20), (64, 61)], ids=["each_its_own", "shared"])
def test_eight_threads_share_a_plan(programs, sanitizer, real, shape, tmp_path):
    """``consumer/cpp``: a plan shared by threads, each with a workspace, and a pool of threads."""
    dtype = {"float": torch.float32, "double": torch.float64}[real]
    program, isa = programs / f"threads_{sanitizer}", OF_PROGRAMS[sanitizer]
    Scattering2D(2, shape, L=3).save_plan(tmp_path / "plan.scat", dtype)
    done = execute([program, tmp_path / "plan.scat", 8], isa)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "cut.scat").write_bytes((tmp_path / "plan.scat").read_bytes()[:-9])
    done = execute([program, tmp_path / "cut.scat"], isa)
    assert done.returncode == 1
    assert done.stderr.startswith("threads: no plan of scatcuda: it says")


@pytest.mark.parametrize("isa", TESTED)
def test_hostile_plans_are_refused_or_safe(programs, isa, tmp_path):
    """``make fuzz`` for a moment, without the guidance of coverage."""
    native.fuzz.write_corpus(tmp_path)
    runs, seed = 1500, ISAS.index(isa) + 1
    done = execute([programs / "fuzz_plan", runs, seed, tmp_path], isa)
    assert (done.returncode, done.stderr[-4000:]) == (0, "")
    assert done.stdout == "1500 mutations of 30 files\n"


@pytest.mark.parametrize("isa", TESTED)
def test_hostile_calls_are_refused_or_done(programs, isa, rng, tmp_path):
    """Of every function of scatcuda.h; those for GPUs are emulation/test_api.py's."""
    texts = write_programs(tmp_path / "programs", rng, 300)
    done = execute([programs / "hostile", 2000, rng.randrange(2**32), texts], isa)
    assert (done.returncode, done.stderr[-4000:]) == (0, "")
    answers = {line.partition(" ")[2]: int(line.split()[0]) for line in done.stdout.splitlines()}
    for function in ("plan_create", "forward", "backward"):
        assert answers[f"{function} SCATCUDA_OK"] > 100
        assert answers[f"{function} SCATCUDA_BAD_ARGUMENT"] > 20


def test_no_size_overflows(programs, rng, tmp_path):
    texts = write_programs(tmp_path / "programs", rng, 1000, large=True)
    done = execute([programs / "sizes", 3000, rng.randrange(2**32), texts], BEST)
    assert (done.returncode, done.stderr[-4000:]) == (0, "")
    assert int(done.stdout.split()[0]) > 1200  # of the 3000 are programs


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_a_stream_is_clean(programs, sanitizer, tmp_path):
    """``consumer/stream``: image files, the last batch smaller than the workspace was made for."""
    Scattering2D(2, (16, 20), L=3).save_plan(tmp_path / "plan.scat")
    (tmp_path / "images").mkdir()
    for i in range(5):
        pixels = bytes(range(i, i + 240)) * 4
        (tmp_path / f"images/{i}.ppm").write_bytes(b"P6 20 16 255\n" + pixels)
    files = (tmp_path / "plan.scat", tmp_path / "images", tmp_path / "S.npy")
    done = execute([programs / f"stream_{sanitizer}", *files, 3, 3], OF_PROGRAMS[sanitizer])
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "images/5.ppm").write_bytes(b"P6 20 16 255\n" + pixels[:-1])
    done = execute([programs / f"stream_{sanitizer}", *files, 3, 3], OF_PROGRAMS[sanitizer])
    assert done.returncode == 1
    assert done.stderr.endswith("5.ppm ends within its pixels\n")
