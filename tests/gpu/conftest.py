"""Tests that need an NVIDIA GPU; where there is none they are skipped with a sentence."""

from __future__ import annotations

from pathlib import Path

import devices
import pytest


class Unavailable(pytest.Module):
    """A file of tests that cannot be run: one line of the summary speaks for all of them."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip(devices.missing() or "", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Unavailable | None:
    if devices.WANTED or not devices.missing():
        return None
    return Unavailable.from_parent(parent, path=module_path)


@pytest.fixture(autouse=True)
def there(device: object) -> None:
    """Also of tests that make no tensor of their own."""
