"""scatcuda.h on an emulated GPU: a plan file, workspaces, a caller's own FFT, both directions.

What the engine computes is test_engine.py's subject; this is what stands before it.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from programs import random_program, random_tables, write_programs

import emulation
from scatcuda import Scattering2D
from scatcuda.ops import reference
from scatcuda.program import parse, planfile

FORMS = {torch.float32: 2e-6, torch.float64: 1e-13}


@pytest.fixture
def plain() -> Iterator[emulation.Emulated]:
    engine = emulation.engine("plain")
    yield engine
    engine.reset_device()


def problem(folder: Path, dtype: torch.dtype = torch.float32, **options):
    """Plan file, images and output gradient, and what the reference makes of them in float64."""
    torch.manual_seed(5)
    module = Scattering2D(2, (17, 20), L=3, **options)
    module.save_plan(folder / "plan.scat", dtype=dtype)
    x = torch.rand(3, 17, 20, dtype=torch.float64, requires_grad=True)
    exact = Scattering2D(2, (17, 20), L=3, backend="reference", **options).double()
    S = exact(x)
    g = torch.rand_like(S)
    S.backward(g)
    file = np.fromfile(folder / "plan.scat", np.uint8)
    return file, x.detach().to(dtype).numpy(), g.to(dtype).numpy(), S.detach(), x.grad


def assert_near(found: np.ndarray, exact: torch.Tensor, tolerance: float) -> None:
    error = np.abs(found - exact.numpy()).max() / exact.abs().max().item()
    assert error < tolerance


@pytest.mark.parametrize("tier", [0, 1, 2])
def test_a_plan_file_runs_in_every_tier(plain, tmp_path, tier):
    file, x, g, S, grad = problem(tmp_path)
    found, grad_x, _, _, transforms = plain.run_plan(file, x, g, tier=tier)
    assert_near(found, S, FORMS[torch.float32])
    assert_near(grad_x, grad, 2 * FORMS[torch.float32])
    assert (transforms > 0) == (tier == 1)  # the fused tier needs none


def test_double(plain, tmp_path):
    file, x, g, S, grad = problem(tmp_path, torch.float64)
    found, grad_x, _, _, _ = plain.run_plan(file, x, g)
    assert_near(found, S, FORMS[torch.float64])
    assert_near(grad_x, grad, FORMS[torch.float64])


@pytest.mark.parametrize("seed", range(8))
def test_a_plan_file_of_any_program(plain, tmp_path, seed):
    text = random_program(random.Random(seed))
    packed = random_tables(text, seed)
    planfile.write(tmp_path / "plan.scat", text, packed)
    file = np.fromfile(tmp_path / "plan.scat", np.uint8)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(2, *parse(text).signal, dtype=torch.float64, generator=g)
    S = reference.scattering(x, *packed, text)
    grad = torch.randn(S.shape, dtype=torch.float64, generator=g)
    exact = reference.scattering_backward(grad, x, *packed, text, True, True, True)
    found, *gradients, _ = plain.run_plan(file, x.numpy(), grad.numpy(), filters=True)
    for ours, theirs in zip([found, *gradients], [S, *exact], strict=True):
        if theirs.numel() > 0 and theirs.any():
            assert_near(ours.reshape(theirs.shape), theirs, 1e-11)


def test_gradients_of_the_filters_and_a_small_budget(plain, tmp_path):
    file, x, g, _, grad = problem(tmp_path, torch.float64)
    _, grad_x, grad_psi, grad_phi, _ = plain.run_plan(file, x, g, filters=True, budget=1)
    assert_near(grad_x, grad, FORMS[torch.float64])
    module = Scattering2D(2, (17, 20), L=3).double()
    packed = [t.clone() for t in module._packed]
    packed[0].requires_grad_(), packed[2].requires_grad_()
    S = reference.scattering(torch.from_numpy(x), *packed, module._plan.program)
    S.backward(torch.from_numpy(g))
    assert_near(grad_psi, packed[0].grad, FORMS[torch.float64])
    assert_near(grad_phi, packed[2].grad, FORMS[torch.float64])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tier": 3}, "no tier 3"),
        ({"missing": 1}, "the workspace has .* bytes and needs"),
        ({"fft_refuses": True, "tier": 1}, "the FFT did not do a transform"),
    ],
)
def test_refused_with_a_sentence(plain, tmp_path, options, sentence):
    file, x, g, _, _ = problem(tmp_path)
    with pytest.raises(RuntimeError, match=sentence):
        plain.run_plan(file, x, g, **options)


ARRAYS = ["x", "S", "g", "grad_x", "grad_psi", "grad_phi", "workspace"]
CALLED = {
    "x": "the array of signals", "S": "the array of coefficients", "g": "the array of coefficients",
    "grad_x": "the gradient of x", "grad_psi": "the gradient of psi",
    "grad_phi": "the gradient of phi", "workspace": "the workspace",
}  # fmt: skip


@pytest.mark.parametrize("name", ARRAYS)
def test_memory_of_the_wrong_device(plain, tmp_path, name):
    """Nothing of it is touched: the host's would end the process."""
    file, x, g, _, _ = problem(tmp_path)
    must = f"{CALLED[name]} must be in memory of device 0, the plan's; it is "
    with pytest.raises(RuntimeError, match=must + "in that of device 1"):
        plain.run_plan(file, x, g, filters=True, elsewhere=name)
    with pytest.raises(RuntimeError, match=must + "no memory of a GPU"):
        plain.run_plan(file, x, g, filters=True, elsewhere=name, at_home=True)


@pytest.mark.parametrize("images", [0, 3])
def test_a_plan_stays_on_its_device(plain, tmp_path, images):
    file, x, g, _, _ = problem(tmp_path)
    with pytest.raises(RuntimeError, match="the gradient of psi must be in memory of device 0"):
        plain.run_plan(file, x[:images], g[:images], filters=True, elsewhere="grad_psi")
    with pytest.raises(RuntimeError, match="the plan is for device 0, and device 1 is the current"):
        plain.run_plan(file, x[:images], g[:images], filters=True, another=True)


@pytest.mark.parametrize("mode", [0, 1])
def test_plans_come_and_go_beside_a_capture(plain, tmp_path, mode):
    """Planning allocates, copies and frees; none of it spoils what another thread captures, and
    the thread keeps the mode of capture that it had."""
    file, x, g, S, _ = problem(tmp_path)
    plain.device(capturing=True, mode=mode)
    found, *_ = plain.run_plan(file, x, g, tier=1)
    state = plain.device()
    assert (state["spoiled"], state["mode"]) == (0, mode)
    assert_near(found, S, FORMS[torch.float32])


def test_no_batch_is_no_work_and_no_gradient(plain, tmp_path):
    file, x, g, _, _ = problem(tmp_path)
    S, grad_x, grad_psi, grad_phi, _ = plain.run_plan(file, x[:0], g[:0], filters=True)
    assert S.shape[0] == grad_x.shape[0] == 0
    assert not grad_psi.any()
    assert not grad_phi.any()


def test_without_a_kernel_for_the_device(plain, tmp_path):
    file, x, g, _, _ = problem(tmp_path)
    plain.device(has_kernels=False)
    with pytest.raises(RuntimeError, match="this GPU is older than"):
        plain.run_plan(file, x, g)


@pytest.mark.proof
@pytest.mark.parametrize("tier", [1, 2])
def test_memory_under_sanitizers(tmp_path, tier):
    file, x, g, S, _ = problem(tmp_path)
    found, *_ = emulation.engine("address").run_plan(file, x, g, tier=tier)
    assert_near(found, S, FORMS[torch.float32])


@pytest.mark.proof
@pytest.mark.parametrize(("name", "count"), [("hostile", 600), ("sizes", 3000)])
def test_hostile_calls_and_sizes_at_their_limits(name, count, rng, tmp_path):
    """``native/hostile.cpp`` and ``native/sizes.cpp`` on this engine, under the sanitizers."""
    program = emulation.compile_engine(name) / name
    texts = write_programs(tmp_path / "programs", rng, 300, large=name == "sizes")
    command = [program, str(count), str(rng.randrange(2**32)), texts]
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[-4000:]) == (0, "")
    if name == "hostile":
        assert "cuda_forward SCATCUDA_OK" in done.stdout
        assert "cuda_backward SCATCUDA_OK" in done.stdout
    else:
        assert int(done.stdout.split()[0]) > 1200  # of the 3000 are programs
