"""The C interface on a GPU: the operators' numbers on PyTorch's memory and stream."""

from __future__ import annotations

from ctypes import byref, c_int64, c_void_p

import capi
import pytest
import torch

from scatcuda import Scattering2D

pytestmark = pytest.mark.cuda


def workspace(plan: c_void_p, task: int, batch: int, stream: c_void_p) -> torch.Tensor:
    size = c_int64()
    capi.call("cuda_workspace_bytes", plan, task, batch, stream, byref(size))
    return torch.empty(size.value, dtype=torch.uint8, device="cuda")


def pointer(t: torch.Tensor | None) -> c_void_p:
    return c_void_p(None if t is None else t.data_ptr())


@pytest.mark.sanitize
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tier", [0, 1, 2])
def test_both_directions_are_the_operators(dtype, tier, tmp_path):
    if tier == 2 and dtype == torch.float64:
        pytest.skip("the fused tier is float32")
    name = ("auto", "general", "fused")[tier]
    module = Scattering2D(2, (32, 36), L=3, tier=name).to("cuda", dtype)
    module.save_plan(tmp_path / "plan.scat", dtype)
    host, plan = capi.Plan(tmp_path / "plan.scat"), c_void_p()
    capi.call("cuda_plan_create", host.plan, byref(capi.Options(tier, 0, None)), byref(plan))
    x = torch.rand(3, 32, 36, dtype=dtype, device="cuda", requires_grad=True)
    S = module(x)
    g = torch.rand_like(S)
    (expected,) = torch.autograd.grad(S, x, g)
    ours, grad = torch.empty_like(S), torch.empty_like(x)
    stream = c_void_p(torch.cuda.current_stream().cuda_stream)
    room = workspace(plan, capi.FORWARD, 3, stream)
    capi.call("cuda_forward", plan, 3, 0, pointer(x), pointer(ours), pointer(room), room.numel(),
              stream)  # fmt: skip
    room = workspace(plan, capi.BACKWARD, 3, stream)
    to = capi.Gradients(pointer(grad), None, None)
    capi.call("cuda_backward", plan, 3, 0, pointer(x), pointer(g), byref(to), pointer(room),
              room.numel(), stream)  # fmt: skip
    torch.cuda.synchronize()
    assert torch.equal(ours, S)
    assert torch.equal(grad, expected)
    capi.library().cuda_plan_destroy(plan)


def test_wrong_arguments_have_a_sentence(tmp_path):
    Scattering2D(2, (32, 32)).save_plan(tmp_path / "plan.scat")
    host, plan = capi.Plan(tmp_path / "plan.scat"), c_void_p()
    capi.call("cuda_plan_create", host.plan, None, byref(plan))
    x = torch.zeros(1, 32, 32, device="cuda")
    with pytest.raises(capi.Refused, match="the workspace has 0 bytes and needs"):
        capi.call("cuda_forward", plan, 1, 0, pointer(x), pointer(x), pointer(x), 0, None)
    with pytest.raises(capi.Refused, match="pixels must be from 0 to 3"):
        capi.call("cuda_forward", plan, 1, 9, pointer(x), pointer(x), pointer(x), 0, None)
    capi.library().cuda_plan_destroy(plan)
