"""The registry's cases under pytest-benchmark: `pytest benchmarks --benchmark-only`.

One group a case, so that its peers stand side by side; one thread, unless a peer states
otherwise. The GPU's cases are there where there is one. Probes need processes of their own:
`python -m benchmarks` measures them.
"""

import functools

import pytest
import torch

from .registry import CASES
from .report import relative_error

# Which peers a case has is known once it is set up; tiny ones are set up in no time.
HERE = [case for case in CASES if case.device == "cpu" or torch.cuda.is_available()]
PAIRS = [(case, peer) for case in HERE for peer in case.start(tiny=True).peers]


@functools.cache
def started(case):
    """A case's work and its float64 result, shared by its peers."""
    work = case.start()
    return work, work.exact()


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("case", "name"), PAIRS, ids=[f"{case.name} {name}" for case, name in PAIRS]
)
def test_case(benchmark, one_thread, case, name):
    work, exact = started(case)
    peer = work.peers[name]
    torch.set_num_threads(peer.threads or 1)
    benchmark.group = case.name

    def run():
        result = peer.run()
        if case.device == "cuda":
            torch.cuda.synchronize()
        return result

    result = benchmark(run)
    error = relative_error(work.values(result), exact)
    benchmark.extra_info |= {"images": work.images, "relative_error": error}
    assert error < 1e-5
