"""Tests that need an NVIDIA GPU; where there is none they are skipped with a sentence.

SCATCUDA_TEST_DEVICE=cuda   there has to be one: a missing GPU or engine is a failure (`make gpu`)
SCATCUDA_TEST_DEVICE=cpu    tries the tests themselves, but for those marked `cuda`, on the CPU
SCATCUDA_TEST_SHARE=2/8     every eighth test, from the second on: a process's share of them all
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from scatcuda import _C

WANTED = os.environ.get("SCATCUDA_TEST_DEVICE", "")


def missing() -> str | None:
    """What there is not, as a sentence."""
    if not torch.cuda.is_available():
        return "PyTorch finds no NVIDIA GPU here"
    if "CUDA none" in _C.build_info():
        return "there is a GPU, but scatcuda was built without its CUDA engine"
    return None


class Unavailable(pytest.Module):
    """A file of tests that cannot be run: one line of the summary speaks for all of them."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip(missing() or "", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Unavailable | None:
    if WANTED or not missing():
        return None
    return Unavailable.from_parent(parent, path=module_path)


@pytest.hookimpl(trylast=True)  # after what -k and -m leave
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    share, _, count = os.environ.get("SCATCUDA_TEST_SHARE", "1/1").partition("/")
    mine = items[int(share) - 1 :: int(count)]
    config.hook.pytest_deselected(items=[item for item in items if item not in mine])
    items[:] = mine


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Where the tensors of a test belong. A kernel that failed does so in its own test."""
    if WANTED == "cpu":
        if request.node.get_closest_marker("cuda"):
            pytest.skip("only a GPU has what this test is about")
        yield torch.device("cpu")
        return
    if why := missing():
        pytest.fail(why)
    yield torch.device("cuda")
    torch.cuda.synchronize()


@pytest.fixture
def made_there(device: torch.device) -> Iterator[None]:
    """Whatever tensor is made without a device is made on the GPU."""
    with torch.device(device):
        yield


ENGINES = [
    pytest.param({}, id="auto"),
    pytest.param({"SCATCUDA_TIER": "general"}, id="general", marks=pytest.mark.slow),
    pytest.param({"SCATCUDA_WORKSPACE": "1"}, id="one image", marks=pytest.mark.slow),
]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's own choice, the general tier, and the batch one image at a time."""
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)
