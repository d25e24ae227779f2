"""The emulation itself, on the kernels of ``planted.cuh``: those that are wrong on purpose are
caught, each by the means that is for it, and those that are right stay silent."""

from __future__ import annotations

import numpy as np
import pytest

import emulation

pytestmark = pytest.mark.proof

VARIANTS = ["plain", "race", "address", "ucontext"]
ORDERS = [
    {"threads_reversed": threads, "blocks_reversed": blocks}
    for threads in (False, True)
    for blocks in (False, True)
]


@pytest.fixture(params=VARIANTS)
def anywhere(request):
    """Each variant in turn."""
    yield (module := emulation.planted(request.param))
    module.reset_device()


@pytest.fixture
def plain():
    yield (module := emulation.planted("plain"))
    module.reset_device()


@pytest.fixture
def race():
    yield (module := emulation.planted("race"))
    module.reset_device()


@pytest.fixture
def address():
    return emulation.planted("address")


def numbers(count: int) -> np.ndarray:
    return np.arange(1, count + 1, dtype=np.float32)


def shuffled(v: np.ndarray) -> np.ndarray:
    """What the kernel ``shuffles`` should give, [threads, 8]."""
    t = np.arange(len(v))
    lane, warp = t % 32, t // 32 * 32
    sources = [
        np.full_like(t, 5),
        lane // 8 * 8 + 9 % 8,
        np.where(lane < 1, lane, lane - 1),
        np.where(lane % 16 + 2 < 16, lane + 2, lane),
        lane ^ 3,
        np.where(lane < 16, lane ^ 8, lane ^ 1),
        lane // 2,
    ]
    last = np.where(lane == 7, np.nan, 1)
    return np.stack([*(v[warp + source] for source in sources), last], 1).astype(np.float32)


def run_right_kernels(module: emulation.Emulated) -> None:
    """All right kernels, and that no race is seen."""
    x = numbers(64)
    whole, narrow = {"block": (64, 1, 1)}, {"block": (16, 4, 1)}
    sums = x.reshape(2, 32).sum(1)
    spread = np.full(32, 2 * x[0])
    spread[0] = x[0]
    middle = x.copy()
    middle[[0, -1]] = np.nan
    for name, expected, n, shape in (
        ("neighbours", x + np.roll(x, -1), 64, {**whole, "shared": 256}),
        ("sums", sums, 32, {"grid": (2, 1, 1)}),
        ("shuffles", shuffled(x).ravel(), 0, narrow),
        ("relay", spread, 0, {}),
        ("returns", middle, 64, whole),
        ("halves", np.roll(x, -1), 64, whole),
        ("vectors", x, 0, {"grid": (2, 1, 1), "block": (8, 1, 1)}),
        ("reread", np.full(6, x.sum()), 64, {"grid": (3, 1, 1), "block": (2, 1, 1)}),
    ):
        out, report = module.run(name, x, len(expected), n, **shape)
        np.testing.assert_array_equal(out, expected, err_msg=name)
        assert module.races(report) == [], name


# --- what is right ------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_right_kernels(anywhere, order):
    anywhere.device(**order)
    run_right_kernels(anywhere)


def test_threads_run_in_the_order_set(anywhere):
    forth = anywhere.run("arrival", numbers(1), 64, block=(64, 1, 1))[0]
    anywhere.device(threads_reversed=True)
    back = anywhere.run("arrival", numbers(1), 64, block=(64, 1, 1))[0]
    np.testing.assert_array_equal(forth, np.arange(64))
    np.testing.assert_array_equal(back, np.arange(64)[::-1])


def test_blocks_run_in_the_order_set(anywhere):
    assert anywhere.run("last_block", numbers(1), 1, grid=(5, 1, 1))[0] == [4]
    anywhere.device(blocks_reversed=True)
    assert anywhere.run("last_block", numbers(1), 1, grid=(5, 1, 1))[0] == [0]


def test_report(anywhere):
    _, report = anywhere.run("neighbours", numbers(64), 64, 64, block=(64, 1, 1), shared=1000)
    (launch,) = report["launches"]
    assert launch["grid"] == (1, 1, 1)
    assert launch["block"] == (64, 1, 1)
    assert launch["shared"] == 1000
    assert launch["barriers"] == 1
    assert anywhere.kernels(report) == ["scatcuda::neighbours(float*, float const*, int)"]
    assert emulation.count(report) == 1


def test_barriers_are_counted_for_whole_blocks(plain):
    _, report = plain.run("missing_second_barrier", numbers(32), 32, 32, grid=(3, 1, 1))
    assert report["launches"][0]["barriers"] == 3 * 2


def test_driver_operations(anywhere):
    x = numbers(9)
    out, report = anywhere.copy(x)
    np.testing.assert_array_equal(out, x)
    assert anywhere.kernels(report) == ["memcpy"]
    out, report = anywhere.set(x, 3)
    np.testing.assert_array_equal(out, np.zeros(3))
    assert anywhere.kernels(report) == ["memset"]


def test_host_variables_survive_launches(anywhere):
    """Shared memory is thread-local storage, and so may be the host's own."""
    before = anywhere.count_calls()
    run_right_kernels(anywhere)
    assert anywhere.count_calls() == before + 8


def test_variants_agree_on_their_device():
    expected = emulation.planted("plain").device()
    assert expected["shared_per_block"] == 227 << 10
    assert all(emulation.planted(variant).device() == expected for variant in VARIANTS)


# --- what a driver refuses ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [
        {"grid": (0, 1, 1)},
        {"grid": (1, 0, 1)},
        {"grid": (1, 1, 0)},
        {"grid": (2**31, 1, 1)},
        {"grid": (1, 65536, 1)},
        {"grid": (1, 1, 65536)},
        {"block": (0, 1, 1)},
        {"block": (1025, 1, 1)},
        {"block": (33, 32, 1)},
        {"block": (1, 1, 65)},
    ],
    ids=str,
)
def test_impossible_shapes_are_refused(plain, shape):
    with pytest.raises(RuntimeError, match=r"^invalid configuration argument$"):
        plain.run("last_block", numbers(1), 1, **shape)


def test_shared_memory_has_the_limit_of_the_device(plain):
    plain.run("unwritten", numbers(32), 32, shared=227 << 10)
    for limit in (227 << 10, 99 << 10):
        plain.device(shared_per_block=limit)
        plain.run("unwritten", numbers(32), 32, shared=limit)
        with pytest.raises(RuntimeError, match=r"^invalid argument$"):
            plain.run("unwritten", numbers(32), 32, shared=limit + 1)


def test_other_streams_are_refused(plain):
    with pytest.raises(RuntimeError, match=r"^invalid resource handle$"):
        plain.set(numbers(1), 1, on_default_stream=True)


def test_old_device_has_no_kernels(plain):
    plain.device(has_kernels=False)
    with pytest.raises(RuntimeError, match=r"^no kernel image"):
        plain.run("last_block", numbers(1), 1)


def test_unknown_limit_is_refused(anywhere):
    with pytest.raises(TypeError, match="no limit colour"):
        anywhere.device(colour=1)


# --- what waits forever -------------------------------------------------------------------------


def line_of(text: str) -> int:
    """The only line of ``planted.cuh`` that holds this text."""
    lines = (emulation.HERE / "planted.cuh").read_text().splitlines()
    (found,) = [number for number, line in enumerate(lines, 1) if text in line]
    return found


def test_divergent_barrier(anywhere):
    with pytest.raises(RuntimeError, match="wait at different __syncthreads") as error:
        anywhere.run("divergent_barrier", numbers(32), 32, 7)
    branch = line_of("if (static_cast<int>(threadIdx.x) < n) {")
    assert str(error.value).endswith(
        f"; block (0, 0, 0)\n  threads 0 to 6 wait at planted.cuh:{branch + 1}"
        f"\n  threads 7 to 7 wait at planted.cuh:{branch + 5}"
    )
    run_right_kernels(anywhere)


def test_deadlock(anywhere):
    with pytest.raises(RuntimeError, match=r"^deadlock: every thread waits") as error:
        anywhere.run("deadlock", numbers(32), 32)
    shuffle = line_of("v = __shfl_xor_sync(~0u, v, 1);")
    assert f"threads 0 to 15 wait at planted.cuh:{shuffle}\n" in str(error.value)
    assert f"threads 16 to 31 wait at planted.cuh:{shuffle + 2}" in str(error.value)
    run_right_kernels(anywhere)


def test_wrong_mask(anywhere):
    with pytest.raises(RuntimeError, match="a lane is not in the mask of its own"):
        anywhere.run("wrong_mask", numbers(32), 32)
    run_right_kernels(anywhere)


# --- what was never written ---------------------------------------------------------------------


def test_unwritten_output_is_nan(anywhere):
    out = anywhere.run("unwritten", numbers(32), 32, 5)[0]
    assert np.flatnonzero(np.isnan(out)).tolist() == [5]


def test_uninitialised_shared_memory_is_nan(anywhere):
    """In every block, though the one before wrote all of it."""
    out = anywhere.run("uninitialised", numbers(32), 32, 32)[0]
    assert not np.isnan(out).any()
    out = anywhere.run("uninitialised", numbers(32), 32, 32, grid=(2, 1, 1))[0]
    assert np.flatnonzero(np.isnan(out)).tolist() == list(range(20, 32))


def test_value_of_a_lane_that_returned_is_nan(anywhere):
    out = anywhere.run("asks_returned_lane", numbers(32), 32)[0]
    assert np.flatnonzero(np.isnan(out)).tolist() == [2, 3]


# --- what lies outside --------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "where"), [(1, 128), (-1, -4)])
def test_write_into_a_guard_zone(plain, n, where):
    with pytest.raises(RuntimeError, match=f"^written outside of out, {where} bytes after its"):
        plain.run("writes_beyond_global", numbers(32), 32, n)


def test_write_into_an_input(plain):
    with pytest.raises(RuntimeError, match=r"^the input in was written to$"):
        plain.run("writes_input", numbers(32), 32)


def test_read_from_a_guard_zone_is_nan(plain):
    out = plain.run("reads_beyond_global", numbers(32), 32)[0]
    assert np.flatnonzero(np.isnan(out)).tolist() == [31]


@pytest.mark.parametrize(
    ("kernel", "size", "n", "message"),
    [
        ("beyond_dynamic", 32, 0, "use-after-poison"),
        ("beyond_static", 32, 1, "index 32 out of bounds for type 'float [32]'"),
        ("reads_beyond_global", 32, 0, "use-after-poison"),
        ("writes_beyond_global", 32, 1, "use-after-poison"),
        ("writes_beyond_global", 32, -1, "use-after-poison"),
        ("misaligned", 160, 0, "misaligned address"),
    ],
)
def test_sanitizers(address, kernel, size, n, message):
    with pytest.raises(RuntimeError) as error:
        address.run(kernel, numbers(size), 32, n, shared=128)
    assert message in str(error.value)
    assert f"scatcuda::{kernel}(" in str(error.value)
    run_right_kernels(address)  # in a new process


# --- races --------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize(
    ("kernel", "memory", "shape"),
    [
        ("missing_barrier", "shared memory", {"shared": 128}),
        ("missing_barrier", "shared memory", {"shared": 256, "block": (64, 1, 1)}),
        ("missing_second_barrier", "shared memory", {}),
        ("missing_second_barrier", "shared memory", {"block": (64, 1, 1)}),
        ("missing_warp_barrier", "shared memory", {}),
        ("narrow_warp_barrier", "shared memory", {}),
        ("other_warp_reads", "shared memory", {"block": (64, 1, 1)}),
        ("shuffle_for_barrier", "shared memory", {}),
        ("arrival", "shared memory", {}),
        ("blocks_write_one_word", "out", {"grid": (2, 1, 1)}),
        ("first_block_writes", "out", {"grid": (3, 1, 1)}),
        ("block_reads_anothers", "out", {"grid": (2, 1, 1)}),
    ],
)
def test_race(race, kernel, memory, shape, order):
    race.device(**order)
    threads = shape.get("block", (32,))[0]
    n = threads * shape.get("grid", (1,))[0]
    found = race.races(race.run(kernel, numbers(n), n, n, **shape)[1])
    assert found
    assert all(text.startswith(f"{memory} + ") and "planted.cuh:" in text for text in found)


def test_race_is_told_in_a_sentence(race):
    _, report = race.run("missing_warp_barrier", numbers(32), 32)
    write = line_of("s[threadIdx.x] = in[threadIdx.x];  // of this lane")
    wrote, read = f"writes at planted.cuh:{write}", f"reads at planted.cuh:{write + 1}"
    first, second = race.races(report)
    # of 32 numbers, two words each
    assert f": thread 15 {read}, thread 16 {wrote}, nothing between them (32 words)" in first
    assert f": thread 15 {wrote}, thread 16 {read}, nothing between them (32 words)" in second


def test_warp_barrier_orders_the_lanes_of_its_mask(race):
    """All 32 numbers, two words each, are read by a lane that did not meet the one that wrote."""
    _, report = race.run("narrow_warp_barrier", numbers(32), 32)
    assert sum(found["words"] for found in report["races"]) == 64


def test_blocks_that_do_not_meet_do_not_race(race):
    for kernel, n in (("blocks_write_one_word", 0), ("block_reads_anothers", 0)):
        shape = {"grid": (1 if kernel.startswith("blocks") else 2, 1, 1)}
        assert race.races(race.run(kernel, numbers(64), 64, n, **shape)[1]) == []


# --- traffic ------------------------------------------------------------------------------------


def test_traffic_is_counted_exactly(race):
    blocks, threads, n = 3, 4, 10
    x = numbers(n + 2)
    shape = {"grid": (blocks, 1, 1), "block": (threads, 1, 1)}
    report = race.run("reread", x, blocks * threads, n, **shape)[1]
    assert emulation.traffic(report) == {
        "in": {
            "read": blocks * threads * n * 4,
            "read_once_a_block": blocks * n * 4,
            "read_once": n * 4,
            "written": 0,
            "written_once_a_block": 0,
            "written_once": 0,
        },
        "out": {
            "read": 0,
            "read_once_a_block": 0,
            "read_once": 0,
            "written": blocks * threads * 4,
            "written_once_a_block": blocks * threads * 4,
            "written_once": blocks * threads * 4,
        },
    }


def test_traffic_of_vectors(race):
    x = numbers(64)
    moved = emulation.traffic(race.run("vectors", x, 64, block=(16, 1, 1))[1])
    assert moved["in"]["read"] == moved["in"]["read_once"] == x.nbytes
    assert moved["out"]["written"] == moved["out"]["written_once"] == x.nbytes


def test_traffic_of_copies(race):
    moved = emulation.traffic(race.run("copies", numbers(20), 20, 19)[1])
    assert (moved["in"]["read"], moved["out"]["written"]) == (76, 76)


def test_traffic_of_words_written_again(race):
    moved = emulation.traffic(race.run("last_block", numbers(1), 1, grid=(5, 1, 1))[1])["out"]
    assert (moved["written"], moved["written_once_a_block"], moved["written_once"]) == (
        5 * 32 * 4,
        5 * 4,
        4,
    )


def test_traffic_of_driver_operations(race):
    x = numbers(10)
    report = race.copy(x)[1]
    assert emulation.traffic(report) == {}
    moved = emulation.traffic(report, "memcpy")
    assert (moved["in"]["read"], moved["out"]["written"]) == (40, 40)
    assert emulation.traffic(race.set(x, 7)[1], "memset")["out"]["written_once"] == 28


def test_other_variants_count_no_traffic(plain):
    assert emulation.traffic(plain.run("vectors", numbers(128), 128)[1]) == {}


# --- cuFFT's stand-in ---------------------------------------------------------------------------


@pytest.mark.parametrize("sides", [(1, 1), (1, 2), (3, 1), (8, 12), (7, 15), (31, 22), (97, 44)])
def test_host_fft(plain, sides):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, *sides))
    z = x + 1j * rng.standard_normal((2, *sides))
    close = {"rtol": 0, "atol": 1e-12 * x.size}
    np.testing.assert_allclose(plain.fft_forward(x), np.fft.rfft2(x), **close)
    np.testing.assert_allclose(plain.fft_inverse(z), np.fft.ifft2(z) * x[0].size, **close)


# --- the process of the sanitizers --------------------------------------------------------------


def test_worker_keeps_values(tmp_path):
    value = {"a": [1, (2.5, None, "x")], "b": {"c": np.arange(3, dtype=np.int64)}, "d": True}
    emulation.worker.write(tmp_path / "value.npz", value)
    found = emulation.worker.read(tmp_path / "value.npz")
    np.testing.assert_array_equal(found["b"].pop("c"), value["b"].pop("c"))
    assert found == value


def test_worker_passes_errors_on(address):
    with pytest.raises(TypeError, match="incompatible function arguments"):
        address.run(1)
