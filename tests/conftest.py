"""Randomness and devices, in one place.

Every test draws from generators seeded by its own name and SEED:

    SCATCUDA_SEED=7 pytest tests

runs the same tests on other numbers. The seed heads the report and stands below every failure.
``devices.py`` says where tests run.
"""

from __future__ import annotations

import os
import random
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import devices
import pytest
import torch

collect_ignore = ["consumer", "typed"]  # programs of their own, which tests run
SEED = int(os.environ.get("SCATCUDA_SEED", "0"))


def pytest_report_header() -> str:
    return f"SCATCUDA_SEED={SEED}"


@pytest.fixture(autouse=True)
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Python's generator for this test; PyTorch's is seeded with it too."""
    seed = zlib.crc32(f"{SEED} {request.node.name}".encode())
    torch.manual_seed(seed)
    return random.Random(seed)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]):
    """What several tests share is drawn alike whichever of them, in whichever process, comes first:
    from its own name and SEED."""
    if fixturedef.scope == "function":
        return (yield)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(zlib.crc32(f"{SEED} {fixturedef.baseid} {fixturedef.argname}".encode()))
        return (yield)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Planes this small gain nothing from threads and lose much on a busy machine. Tests of threads
    set a count of their own; afterwards everything is as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    """torch.compile keeps eight graphs of a function, here of every module's ``forward``: a test
    begins without those of the tests before it in its process."""
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()
    yield


# --- devices ----------------------------------------------------------------------------------


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Where the tensors of a test belong. A kernel that failed does so in its own test."""
    if devices.WANTED == "cpu":
        if request.node.get_closest_marker("cuda"):
            pytest.skip("only a GPU has what this test is about")
        yield torch.device("cpu")
        return
    if why := devices.missing():
        pytest.fail(why)
    yield torch.device("cuda")
    torch.cuda.synchronize()


@pytest.fixture
def made_there(device: torch.device) -> Iterator[None]:
    """Whatever tensor is made without a device is made on the GPU."""
    with torch.device(device):
        yield


@pytest.fixture
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CUDA engine's own choice, the general tier, and the batch one image at a time."""
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Of tests marked `everywhere` their tensors are made on the device; with ``tiers`` they run
    by each of the `devices.ENGINES`."""
    mark = metafunc.definition.get_closest_marker("everywhere")
    if mark is None or not devices.WANTED:
        return
    metafunc.fixturenames.insert(0, "made_there")
    if mark.kwargs.get("tiers"):
        metafunc.fixturenames.insert(0, "engine")
        metafunc.parametrize("engine", devices.ENGINES, indirect=True)


# Files that take minutes: of several processes none begins one when all others are done.
LONG = (
    "test_programs", "test_sanitizers", "test_training", "test_pipelines", "test_mistakes",
    "test_cuda_boundary", "test_memory", "test_engine", "test_mutants", "test_api", "test_bombs",
    "test_readme", "test_gpu_proof", "test_packaging", "test_leaks", "test_scattering2d",
    "test_pytorch", "test_ops", "test_benchmarks", "test_features",
)  # fmt: skip


@pytest.hookimpl(trylast=True)  # after what -k and -m leave
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not devices.WANTED:
        rank = {name: i for i, name in enumerate(LONG)}
        items.sort(key=lambda item: rank.get(item.path.stem, len(LONG)))
        return
    # on a GPU in the order in which their files were named: time there may run out
    gpu = Path(__file__).parent / "gpu"
    there = [
        item for item in items if gpu in item.path.parents or item.get_closest_marker("everywhere")
    ]
    mine = set(devices.share(there))
    config.hook.pytest_deselected(items=[item for item in items if item not in mine])
    items[:] = [item for item in there if item in mine]


@pytest.fixture
def no_data_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this machine's data sets nor those of who runs the tests are found."""
    monkeypatch.setattr("scatcuda.data.catalog._DEBIAN", tmp_path / "debian")
    monkeypatch.delenv("SCATCUDA_DATA", raising=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.failed:
        report.sections.append(("seed", f"SCATCUDA_SEED={SEED} pytest '{item.nodeid}'"))
    return report
