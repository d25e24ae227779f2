"""Programs without Python that use the engines: built with CMake as a user would, run on plans of
images and of other programs, and compared with Python. ``PIPELINES.md`` shows them;
test_sanitizers.py runs them sanitized."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from consumers import exact, images, program, refusal, run, write_netpbm
from programs import of_one_axis, of_third_order

from scatcuda import Scattering2D
from scatcuda.program import parse, planfile

pytestmark = pytest.mark.proof

others = pytest.mark.parametrize("made", [of_one_axis, of_third_order])


# --- C ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("-DSCATCUDA_STATIC=ON",)], ids=["shared", "static"])
def test_c_gives_the_bits_of_the_operator(options, tmp_path):
    module = Scattering2D(2, (37, 32), L=6)
    module.save_plan(tmp_path / "plan.scat")
    x = images(3, 37, 32)
    x.numpy().tofile(tmp_path / "x.raw")
    out = run(program("c", *options), tmp_path / "plan.scat", tmp_path / "x.raw", tmp_path / "S")
    assert out == "3 signals -> 49 x 9 x 8\n"
    S = np.fromfile(tmp_path / "S", np.float32)
    assert np.array_equal(S, torch.cat([module(image) for image in x]).numpy().ravel())


@others
def test_c_runs_other_programs(made, tmp_path):
    text, packed = made(torch.float32)
    planfile.write(tmp_path / "plan.scat", text, packed)
    x = images(5, *parse(text).signal)
    x.numpy().tofile(tmp_path / "x.raw")
    out = run(program("c"), tmp_path / "plan.scat", tmp_path / "x.raw", tmp_path / "S")
    S = exact(made, x)
    assert out == f"5 signals -> {' x '.join(map(str, S.shape[1:]))}\n"
    found = torch.from_numpy(np.fromfile(tmp_path / "S", np.float32)).view(S.shape)
    torch.testing.assert_close(found.double(), S, rtol=1e-4, atol=1e-6 * S.max().item())


def test_c_says_what_is_wrong(tmp_path):
    transform = program("c")
    Scattering2D(2, (16, 16)).save_plan(tmp_path / "plan.scat")
    (tmp_path / "x").write_bytes(bytes(1000))
    (tmp_path / "cut.scat").write_bytes((tmp_path / "plan.scat").read_bytes()[:-1])
    files = tmp_path / "plan.scat", tmp_path / "x", tmp_path / "S"
    assert "ends within a signal" in refusal(transform, *files)
    assert "it says" in refusal(transform, tmp_path / "cut.scat", *files[1:])
    assert "No such file" in refusal(transform, tmp_path / "absent", *files[1:])


# --- C++ --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
def test_cpp_shares_a_plan_among_threads(dtype, tmp_path):
    Scattering2D(2, (64, 61), L=4).save_plan(tmp_path / "plan.scat", dtype)
    module = Scattering2D(2, (64, 61), L=4).to(dtype)
    check_largest(run(program("cpp"), tmp_path / "plan.scat", 8), module, dtype, 16, 64, 61)


def check_largest(said: str, transform: Callable, dtype: torch.dtype, *shape: int) -> None:
    """Of what ``threads.cpp`` says: the largest coefficient and gradient."""
    state = np.random.RandomState(7)  # the Mersenne twister of std::mt19937
    x = torch.from_numpy(state.randint(0, 2**32, np.prod(shape), dtype=np.uint32) % 256)
    x = (x.to(dtype) / 255).reshape(shape).requires_grad_()
    S = transform(x)
    S.square().sum().div(2).backward()
    largest = [float(value) for value in said.split()]
    assert largest[0] == pytest.approx(S.max().item(), rel=1e-6)
    assert largest[1] == pytest.approx(x.grad.abs().max().item(), rel=1e-5)


@others
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
def test_cpp_runs_other_programs(made, dtype, tmp_path):
    text, packed = made(dtype)
    planfile.write(tmp_path / "plan.scat", text, packed)
    said = run(program("cpp"), tmp_path / "plan.scat", 3)
    check_largest(said, partial(exact, made), torch.float64, 6, *parse(text).signal)


def test_cpp_says_what_is_wrong(tmp_path):
    assert "No such file" in refusal(program("cpp"), tmp_path / "absent")
    (tmp_path / "plan").write_bytes(b"not a plan at all")
    assert 'does not begin with "scatplan"' in refusal(program("cpp"), tmp_path / "plan")


# --- a stream of image files ------------------------------------------------------------------


@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_stream_of_images(colour, dtype, threads, tmp_path):
    module = Scattering2D(2, (32, 45))
    module.save_plan(tmp_path / "plan.scat")
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    shape = (7, 3, 32, 45) if colour else (7, 32, 45)
    x = rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    for i, image in enumerate(x):
        path = tmp_path / f"images/{i}{'.ppm' if colour else '.pgm'}"
        write_netpbm(path, image, comment=i == 2)
    (tmp_path / "images/notes.txt").write_text("passed over")
    out = tmp_path / "S.npy"
    batch = 3  # the last is smaller
    text = run(program("stream"), tmp_path / "plan.scat", tmp_path / "images", out, batch, threads)
    assert text == "7 images\n"
    S = np.load(out, allow_pickle=False)
    scaled = torch.from_numpy(x.astype(np.float32)) / float(np.iinfo(dtype).max)
    expected = module(scaled).numpy()
    assert S.shape == expected.shape
    assert np.abs(S - expected).max() <= 1e-6 * np.abs(expected).max()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["S.npy", "images", "plan.scat"]


def test_a_stream_of_images_needs_a_plan_of_images(tmp_path):
    text, packed = of_one_axis(torch.float32)
    planfile.write(tmp_path / "plan.scat", text, packed)
    said = refusal(program("stream"), tmp_path / "plan.scat", tmp_path, tmp_path / "S.npy")
    assert said.endswith("plan.scat is not for images\n")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"P5 16 16 255\n" + bytes(255), "ends within its pixels"),
        (b"P5 16 16 255\n" + bytes(257), "goes on after its pixels"),
        (b"P5 17 16 255\n" + bytes(272), "has 16 x 17 pixels; the plan is for 16 x 16"),
        (b"P5 16 16 70000\n" + bytes(512), "largest value that is not in"),
        (b"P5 16 16 99\n" + b"\xff" * 256, "a pixel beyond its largest value"),
        (b"P5 16 99999999999999999999 255\n", "a number beyond reason"),
        (b"P5 -16 16 255\n" + bytes(256), "not three numbers"),
        (b"P5 # 16 16 255", "not three numbers"),
        (b"P2 16 16 255\n", "no binary PGM or PPM"),
        (b"", "no binary PGM or PPM"),
        (b"P6 16 16 255\n" + bytes(768), "mixes grey and colour"),
    ],
)
def test_a_bad_image_is_named(content, sentence, tmp_path):
    Scattering2D(2, (16, 16)).save_plan(tmp_path / "plan.scat")
    (tmp_path / "images").mkdir()
    write_netpbm(tmp_path / "images/0.pgm", np.zeros((16, 16), np.uint8))
    (tmp_path / "images/1.pgm").write_bytes(content)
    out = tmp_path / "S.npy"
    said = refusal(program("stream"), tmp_path / "plan.scat", tmp_path / "images", out)
    assert "1.pgm" in said
    assert sentence in said
    assert not list(tmp_path.glob("S.npy*"))
