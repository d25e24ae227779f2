"""Randomness, in one place: every test draws from generators seeded by its own name and SEED.

    SCATCUDA_SEED=7 pytest tests

runs the same tests on other numbers. The seed heads the report and stands below every failure.
"""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path

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
