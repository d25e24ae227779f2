"""The CUDA engine as a guest of PyTorch: streams, threads, graphs, memory, devices, and batches of
more than 2^31 numbers."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from leaks import growth
from torch import Tensor

from scatcuda import Scattering2D, ops

pytestmark = pytest.mark.cuda

MB = 1 << 20
A_SECOND = 2_000_000_000  # clock cycles, about
WAYS = [  # tier, dtype, J, side
    ("fused", torch.float32, 2, 32),
    ("general", torch.float32, 2, 32),
    ("auto", torch.float32, 3, 96),
    ("general", torch.float64, 2, 40),
]


@pytest.fixture(params=WAYS, ids=lambda way: "-".join(map(str, way)))
def way(request: pytest.FixtureRequest) -> tuple[Scattering2D, tuple[int, int], torch.dtype]:
    """A module on the GPU, the size and the dtype of its images; it has run before."""
    tier, dtype, J, side = request.param
    module = Scattering2D(J, (side, side), tier=tier).to("cuda", dtype)
    module(torch.rand(8, side, side, device="cuda", dtype=dtype))
    return module, (side, side), dtype


def images(count: int, way: tuple) -> Tensor:
    _, shape, dtype = way
    return torch.rand(count, *shape, device="cuda", dtype=dtype)


def assert_near(ours: Tensor, theirs: Tensor) -> None:
    """Of the same images in batches of different size, or on different GPUs: cuFFT then makes
    different plans, and rounds as it likes."""
    assert (ours - theirs).norm() <= 2e-6 * theirs.norm()


# --- streams, threads, graphs -------------------------------------------------------------------


def test_waits_for_its_own_stream_and_no_other(way):
    """The images of a side stream come late: whoever reads them from elsewhere reads zeros."""
    module, late = way[0], images(8, way)
    expected = module(late)
    x, stream = torch.zeros_like(late), torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(A_SECOND // 10)
        x.copy_(late)
        S = module(x)
    stream.synchronize()
    assert torch.equal(S, expected)


def test_two_streams_at_once(way):
    module = way[0]
    batches = [images(8, way), images(13, way)]
    expected = [module(x) for x in batches]
    streams = [torch.cuda.Stream() for _ in batches]
    torch.cuda.synchronize()
    results = []
    for _ in range(20):
        for x, stream in zip(batches, streams, strict=True):
            with torch.cuda.stream(stream):
                results.append(module(x))
    torch.cuda.synchronize()
    for i, S in enumerate(results):
        assert torch.equal(S, expected[i % 2])


def at_once(works: list[tuple[Scattering2D, Tensor]], calls: int) -> None:
    """Each in a thread and on a stream of its own, again and again; all get what they get alone."""
    expected = [module(x) for module, x in works]
    torch.cuda.synchronize()
    failures = []

    def work(module: Scattering2D, x: Tensor, wanted: Tensor) -> None:
        try:
            with torch.cuda.stream(torch.cuda.Stream()):
                results = [module(x) for _ in range(calls)]
                torch.cuda.current_stream().synchronize()
            assert all(torch.equal(S, wanted) for S in results)
        except BaseException as error:
            failures.append(error)

    together = [(*one, wanted) for one, wanted in zip(works, expected, strict=True)]
    threads = [threading.Thread(target=work, args=one) for one in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_threads_with_a_stream_each(way):
    at_once([(way[0], images(3 + i, way)) for i in range(4)], calls=10)


def test_threads_share_kernels_not_their_shared_memory():
    """One kernel, launched with much and with little shared memory at the same time."""
    shapes = [(68, 60), (12, 20), (44, 60)]  # of no side that has kernels of its own
    modules = [Scattering2D(2, shape, tier="fused").cuda() for shape in shapes]
    pairs = zip(modules, shapes, strict=True)
    at_once([(module, torch.rand(4, *shape, device="cuda")) for module, shape in pairs], calls=100)


@pytest.mark.parametrize("workspace", [None, 1])
def test_graph(way, workspace):
    """Captured once, replayed with other images."""
    module, shape, dtype = way
    module = Scattering2D(module.J, shape, tier=module.tier, workspace=workspace).to("cuda", dtype)
    x = images(5, way)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        module(x)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        S = module(x)
    for _ in range(3):
        x.copy_(images(5, way))
        graph.replay()
        result = S.clone()
        assert torch.equal(result, module(x))


def test_graph_of_a_training_step(way):
    """Forward and backward captured together."""
    module, _, _ = way
    x = images(5, way).requires_grad_()

    def gradient() -> Tensor:
        return torch.autograd.grad(module(x).square().sum(), x)[0]

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        gradient()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = gradient()
    for _ in range(3):
        x.data.copy_(images(5, way))
        graph.replay()
        assert torch.equal(captured, gradient())


def test_graph_of_the_stages():
    z = torch.randn(2, 12, 20, device="cuda", dtype=torch.complex64)
    psi = torch.randn(3, 12, 20, device="cuda")
    a_m, a_n = torch.rand(2, 6, device="cuda"), torch.rand(3, 10, device="cuda")

    def stages() -> Tensor:
        return ops.lowpass(ops.modulus(ops.filter_fold(z, psi, 2)), a_m, a_n)

    stages()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = stages()
    z.copy_(torch.randn_like(z))
    graph.replay()
    assert torch.equal(result.clone(), stages())


@pytest.mark.parametrize("workspace", [None, 1])
def test_does_not_wait_for_the_gpu(way, workspace):
    """The stream sleeps for a second; the call comes back while it still does."""
    module, shape, dtype = way
    module = Scattering2D(module.J, shape, tier=module.tier, workspace=workspace).to("cuda", dtype)
    x = images(8, way)
    expected = module(x)
    stages = (torch.fft.fft2(x), torch.rand(3, *shape, device="cuda", dtype=dtype))
    ops.modulus(ops.filter_fold(*stages, 2))
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        torch.cuda._sleep(A_SECOND)
        S = module(x)
        ops.modulus(ops.filter_fold(*stages, 2))
        asleep = not torch.cuda.current_stream().query()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert asleep
    assert torch.equal(S, expected)


# --- memory -------------------------------------------------------------------------------------


def outside() -> int:
    """Bytes of the GPU that are taken, but not by PyTorch's allocator."""
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return total - free - torch.cuda.memory_reserved()


def peak(run: Callable[[], Tensor]) -> int:
    """Bytes that a call asks of PyTorch's allocator beyond what it returns."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_stats()["requested_bytes.all.current"]
    result = run()
    return torch.cuda.memory_stats()["requested_bytes.all.peak"] - before - result.nbytes


@pytest.mark.alone
def test_takes_no_memory_but_from_pytorch(way):
    module, batches = way[0], [images(count, way) for count in (1, 5, 64)]
    for x in batches:
        module(x)
    before = outside()
    for x in batches * 5:
        module(x)
    assert outside() - before < MB


@pytest.mark.alone
def test_no_call_keeps_memory(way):
    """Neither the GPU's nor, byte for byte, the host's."""
    module, (M, N), dtype = way
    x = torch.rand(2, M, N, dtype=dtype, device="cuda", requires_grad=True)

    def call() -> None:
        torch.autograd.grad(module(x).sum(), x)

    call()
    gc.collect()  # what the tests before left in cycles
    before = torch.cuda.memory_stats()["requested_bytes.all.current"]
    assert growth(call, 1000) < 1000  # less than a byte a call
    assert torch.cuda.memory_stats()["requested_bytes.all.current"] == before


@pytest.mark.alone
def test_batches_of_many_sizes_do_not_pile_up_plans(way):
    module = way[0]
    module(images(130, way))
    before = outside()
    for count in range(1, 130):
        module(images(count, way))
    assert outside() - before < 256 * MB


def test_workspace_stays_within_its_budget(way):
    module, shape, dtype = way
    x = images(256, way)

    def taken(workspace: int, x: Tensor) -> int:
        limited = Scattering2D(module.J, shape, tier=module.tier, workspace=workspace)
        limited.to("cuda", dtype)
        return peak(lambda: limited(x))

    one = taken(1, x[:1])
    assert taken(1, x) <= one
    for budget in (8 * MB, 64 * MB):
        assert taken(budget, x) <= max(budget, one)


@contextmanager
def at_most(extra: int) -> Iterator[None]:
    """PyTorch's allocator may take `extra` bytes more than it holds."""
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + extra) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


@pytest.mark.alone
@pytest.mark.parametrize("tier", ["auto", "general"])
def test_little_memory_means_smaller_waves(tier):
    """The output fits, the workspace of the whole batch does not."""
    module = Scattering2D(3, (128, 128), tier=tier).cuda()
    x = torch.rand(512, 128, 128, device="cuda")
    expected = module(x).cpu()
    with at_most(expected.nbytes + 96 * MB):
        torch.testing.assert_close(module(x).cpu(), expected)  # cuFFT's bits follow its batch


@pytest.mark.alone
def test_full_memory_is_pytorchs_error_and_passes():
    module = Scattering2D(2, (64, 64)).cuda()
    small = torch.rand(2, 64, 64, device="cuda")
    expected = module(small)
    x = torch.rand(4096, 64, 64, device="cuda")  # 340 MB of output
    torch.cuda.empty_cache()
    torch.cuda.synchronize()
    free, _ = torch.cuda.mem_get_info()
    rest = torch.empty(free - 200 * MB, dtype=torch.uint8, device="cuda")
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        module(x)
    assert torch.equal(module(small), expected)
    del rest
    assert_near(module(x)[:2], module(x[:2]))
    torch.cuda.empty_cache()


# --- devices ------------------------------------------------------------------------------------


def test_a_bank_elsewhere_is_refused():
    module, x = Scattering2D(2, (16, 16)), torch.rand(2, 16, 16)
    for bad in (lambda: module.cuda()(x), lambda: module.cpu()(x.cuda())):
        with pytest.raises(ValueError, match="x must be on the module's device"):
            bad()
    bank = [t.cuda() for t in module._packed]
    for i in range(4):
        mixed = [t.cpu() if i == j else t for j, t in enumerate(bank)]
        with pytest.raises(RuntimeError, match="must be on"):
            ops.scattering2d(x.cuda(), *mixed, J=2, L=8)


needs_two = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one GPU")


@needs_two
@pytest.mark.parametrize("tier", ["fused", "general"])
def test_another_device(tier):
    """The tensors' device, whichever is current; both at once."""
    module, x = Scattering2D(2, (32, 32), tier=tier), torch.rand(9, 32, 32)
    here = module.to("cuda:0")(x.to("cuda:0"))
    for _ in range(3):
        there = Scattering2D(2, (32, 32), tier=tier).to("cuda:1")(x.to("cuda:1"))
        assert torch.cuda.current_device() == 0
        assert there.device == torch.device("cuda:1")
        assert_near(there.cpu(), here.cpu())
    bank = [t.to("cuda:0") for t in module._packed]
    with pytest.raises(RuntimeError, match="must be on"):
        ops.scattering2d(x.to("cuda:1"), *bank, J=2, L=8)


# --- more than 2^31 numbers ---------------------------------------------------------------------


def needs(gigabytes: float) -> None:
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    if free < gigabytes * 1e9:
        pytest.skip(f"takes {gigabytes} GB of GPU memory, {free / 1e9:.0f} are free")


def around(last: int) -> list[int]:
    """Images at both ends of a batch and within."""
    return [0, 1, last // 2, last - 1, last]


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("tier", ["auto", "general"])
def test_more_than_2_31_pixels(tier):
    needs(14)
    module = Scattering2D(5, (32, 32), L=1, max_order=0, tier=tier, workspace=1 << 30).cuda()
    x = torch.rand(2**21 + 3, 32, 32, device="cuda")
    assert x.numel() > 2**31
    S = module(x)
    assert torch.equal(S[around(2**21 + 2)], module(x[around(2**21 + 2)]))  # order 0 has no FFT


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("tier", ["auto", "general"])
def test_more_than_2_31_coefficients(tier):
    needs(16)
    module = Scattering2D(2, (32, 32), tier=tier, workspace=1 << 30).cuda()
    count = 2**31 // (81 * 64) + 5
    x = torch.rand(count, 32, 32, device="cuda")
    S = module(x)
    assert S.numel() > 2**31
    assert_near(S[around(count - 1)], module(x[around(count - 1)]))


@pytest.mark.alone
@pytest.mark.slow
def test_modulus_of_more_than_2_31_numbers():
    needs(30)
    count = 2**31 + 5
    z = torch.view_as_complex(torch.rand(count, 2, device="cuda"))
    u = ops.modulus(z)
    for first in (0, 2**30, 2**31 - 500, count - 1000):
        part = slice(first, first + 1000)
        assert torch.equal(u[part], ops.modulus(z[part].clone()))


@pytest.mark.alone
@pytest.mark.slow
def test_filter_fold_to_more_than_2_31_numbers():
    needs(30)
    x_hat = torch.view_as_complex(torch.rand(257, 1024, 1024, 2, device="cuda"))
    psi = torch.rand(8, 1024, 1024, device="cuda")
    folded = ops.filter_fold(x_hat, psi, 1)
    assert folded.numel() > 2**31
    for i in around(256):
        assert torch.equal(folded[i], ops.filter_fold(x_hat[i].clone(), psi, 1))


@pytest.mark.alone
@pytest.mark.slow
def test_lowpass_of_more_than_2_31_numbers():
    needs(14)
    u = torch.rand(2**21 + 3, 32, 32, device="cuda")
    a_m, a_n = torch.rand(4, 32, device="cuda"), torch.rand(3, 32, device="cuda")
    low = ops.lowpass(u, a_m, a_n)
    assert torch.equal(low[around(2**21 + 2)], ops.lowpass(u[around(2**21 + 2)], a_m, a_n))
