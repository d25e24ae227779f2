"""The transform as a guest of PyTorch: compiled, exported, packaged, transformed, distributed,
checkpointed, traced; and looked at by modes and subclasses.

``torch.func`` and autocast around the module are also in test_transforms.py, what PyTorch asks of
each operator is in test_ops.py, copies and checkpoints of a module are in test_scattering2d.py.
"""

from __future__ import annotations

import functools
import inspect
import os
import pathlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import scatcuda
from scatcuda import Cascade, Scattering2D, banks, ops
from scatcuda.learn import hybrid
from scatcuda.ops import reference
from scatcuda.program.packing import Packed

FORWARD = torch.ops.scatcuda.scattering.default
BACKWARD = torch.ops.scatcuda.scattering_backward.default
needs_compiler = pytest.mark.skipif(
    not torch._dynamo.is_dynamo_supported(), reason="torch.compile does not work on this Python"
)


def small(**options) -> Scattering2D:
    return Scattering2D(1, (8, 8), L=2, **options)


def network() -> nn.Module:
    """Learnt layers before and behind the transform."""
    layers = nn.Conv2d(1, 2, 3, padding=1), small(), nn.Flatten(), nn.Linear(2 * 3 * 16, 2)
    return nn.Sequential(*layers)


def loss_of(model: nn.Module, x: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(x), torch.arange(len(x)) % 2)


def gradients_of(model: nn.Module, x: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss_of(model, x), list(model.parameters())))


def assert_close(ours, expected) -> None:
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


def in_a_process(program: str, *arguments: object) -> None:
    """Runs a Python program that finds this package."""
    package = str(pathlib.Path(scatcuda.__file__).parents[1])
    paths = filter(None, [package, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


class Operators(TorchDispatchMode):
    """Counts the operators of ours that run."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "scatcuda":
            self.counts[func] += 1
        return func(*args, **(kwargs or {}))


def counted(f: Callable[[], object]) -> tuple[object, Counter]:
    with Operators() as operators:
        return f(), operators.counts


# --- torch.compile ----------------------------------------------------------------------------


class Graphs:
    """A backend that runs the graphs as they are, and keeps them."""

    def __init__(self) -> None:
        from torch._dynamo.backends.common import aot_autograd

        self.forward: list[Counter] = []
        self.backward: list[Counter] = []
        self.backend = aot_autograd(
            fw_compiler=self._keeping(self.forward), bw_compiler=self._keeping(self.backward)
        )

    def _keeping(self, kept: list[Counter]) -> Callable:
        from functorch.compile import make_boxed_func

        def compiler(graph, _inputs):
            kept.append(Counter(node.target for node in graph.graph.nodes))
            return make_boxed_func(graph.forward)

        return compiler


@pytest.mark.everywhere
@needs_compiler
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_training(dynamic):
    """One graph forward, one backward, and the backward is ours, not the reference's pieces."""
    graphs, model = Graphs(), network()
    compiled = torch.compile(model, fullgraph=True, dynamic=dynamic, backend=graphs.backend)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(3):
        x = torch.rand(4, 1, 8, 8)
        loss, expected = loss_of(compiled, x), gradients_of(model, x)
        assert_close(loss, loss_of(model, x))
        optimizer.zero_grad()
        loss.backward()
        assert_close([p.grad for p in model.parameters()], expected)
        optimizer.step()
    assert len(graphs.forward) == len(graphs.backward) == 1
    assert graphs.forward[0][FORWARD] == graphs.backward[0][BACKWARD] == 1
    assert not any("fft" in str(target) for target in graphs.forward[0] + graphs.backward[0])


@pytest.mark.everywhere
@needs_compiler
def test_other_batches_compile_once_more_at_most():
    graphs, model = Graphs(), network()
    compiled = torch.compile(model, fullgraph=True, backend=graphs.backend)
    for batch in (2, 3, 5, 7, 11, 4):
        x = torch.rand(batch, 1, 8, 8)
        assert_close(gradients_of(compiled, x), gradients_of(model, x))
    assert len(graphs.forward) == len(graphs.backward) == 2  # of a batch of two, then of any batch


@needs_compiler
def test_compiled_with_leading_dimensions_and_dtypes():
    for x in (torch.rand(8, 8), torch.rand(2, 3, 8, 8), torch.rand(2, 8, 8).half()):
        torch._dynamo.reset()
        module = small()
        compiled = torch.compile(module, fullgraph=True, dynamic=True, backend="aot_eager")
        assert torch.equal(compiled(x), module(x))
        with torch.no_grad():
            assert torch.equal(compiled(x), module(x))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(compiled(x), module(x))


@needs_compiler
def test_the_reference_compiles_to_one_graph():
    module, x = small(backend="reference"), torch.rand(3, 8, 8)
    assert_close(torch.compile(module, fullgraph=True, backend="aot_eager")(x), module(x))


@pytest.mark.everywhere
@needs_compiler
@pytest.mark.slow
def test_inductor_trains():
    model, x = network(), torch.rand(4, 1, 8, 8)
    # graphs kept from another time may hold another version of an operator
    with torch._inductor.config.patch(force_disable_caches=True):
        ours = gradients_of(torch.compile(model, fullgraph=True), x)
    assert_close(ours, gradients_of(model, x))


# --- torch.export, AOTInductor, torch.jit -------------------------------------------------------

LOADED = """
import sys, torch, scatcuda
program = torch.export.load(sys.argv[1]).module()
for x, expected in torch.load(sys.argv[2]):
    assert torch.equal(program(x), expected)
"""
PACKAGED = """
import sys, torch, scatcuda
program = torch._inductor.aoti_load_package(sys.argv[1])
for x, expected in torch.load(sys.argv[2]):
    torch.testing.assert_close(program(x), expected, rtol=1e-5, atol=1e-6)
"""
BATCH = {"x": {0: torch.export.Dim("batch")}}


def exported(module: nn.Module) -> torch.export.ExportedProgram:
    return torch.export.export(module, (torch.rand(3, 8, 8),), dynamic_shapes=BATCH)


def save_examples(module: nn.Module, path: pathlib.Path) -> None:
    torch.save([(x, module(x)) for x in (torch.rand(batch, 8, 8) for batch in (1, 3, 6))], path)


@needs_compiler
def test_exported_saved_and_loaded_elsewhere(tmp_path):
    module = small()
    program = exported(module)
    calls = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert calls == [FORWARD]
    torch.export.save(program, tmp_path / "program.pt2")
    save_examples(module, tmp_path / "examples.pt")
    in_a_process(LOADED, tmp_path / "program.pt2", tmp_path / "examples.pt")


@pytest.mark.everywhere
@needs_compiler
def test_exported_program_trains():
    x = torch.rand(5, 8, 8, requires_grad=True)
    module = small()
    program = exported(module).module()
    S, expected = program(x), module(x)
    assert torch.equal(S, expected)
    (ours,), (wanted,) = (torch.autograd.grad(s.square().sum(), x) for s in (S, expected))
    assert torch.equal(ours, wanted)


@pytest.mark.proof
@needs_compiler
@pytest.mark.slow
def test_packaged_by_aot_inductor(tmp_path):
    class Features(nn.Module):  # something to compile on both sides of the transform
        def __init__(self) -> None:
            super().__init__()
            self.scattering = small()

        def forward(self, x: Tensor) -> Tensor:
            return self.scattering(2 * x - 1).abs().log1p()

    module, path = Features(), tmp_path / "features.pt2"
    torch._inductor.aoti_compile_and_package(exported(module), package_path=str(path))
    save_examples(module, tmp_path / "examples.pt")
    in_a_process(PACKAGED, path, tmp_path / "examples.pt")


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_traced():
    model, x = network(), torch.rand(4, 1, 8, 8)
    traced = torch.jit.trace(model, torch.rand(2, 1, 8, 8))
    assert "scatcuda::scattering" in str(traced.inlined_graph)
    assert_close(gradients_of(traced, x), gradients_of(model, x))


@pytest.mark.parametrize("model", [small(), network(), Cascade(2, (8, 8))])
def test_not_scripted(model):
    with pytest.raises(TypeError, match=r"(2D|Cascade): torch.jit.script does not take it; use"):
        torch.jit.script(model)


@pytest.mark.parametrize("trainable", [None, "filters", "wavelets"])
def test_traced_by_torch_fx(trainable):
    """The transform is a layer like PyTorch's own."""
    layers = nn.Conv2d(1, 2, 3, padding=1), small(trainable=trainable), nn.Flatten(1)
    model, x = nn.Sequential(*layers), torch.rand(4, 1, 8, 8)
    traced = torch.fx.symbolic_trace(model)
    assert [node.target for node in traced.graph.nodes if node.op == "call_module"] == list("012")
    assert torch.equal(traced(x), model(x))
    cascade = nn.Sequential(Cascade(2, (8, 8)))
    assert torch.equal(torch.fx.symbolic_trace(cascade)(x), cascade(x))
    network = hybrid(classes=2, shape=(1, 8, 8), J=1, trainable=trainable).eval()
    assert torch.equal(torch.fx.symbolic_trace(network)(x), network(x))
    with pytest.raises(TypeError, match=r"trace nn.Sequential\(it\)"):
        torch.fx.symbolic_trace(layers[1])


@pytest.mark.parametrize("filters", ["morlet", "tight"])
@pytest.mark.parametrize("trainable", [None, "filters", "wavelets"])
def test_made_under_a_fake_mode(trainable, filters):
    if trainable == "filters" and filters == "tight":
        filters = banks.morlet_bank((12, 12), 1, 2)  # made by the user, before
    expected = small(trainable=trainable, filters=filters)
    with torch._subclasses.FakeTensorMode() as mode:
        module = small(trainable=trainable, filters=filters)
        S = module(torch.rand(3, 8, 8))
        assert S.fake_mode is mode and S.shape == (3, *expected.output_shape)
        if trainable is None:  # parameters are not cast in this mode, PyTorch's own neither
            assert module.double()(torch.rand(3, 8, 8)).dtype == torch.float64
            expected.double()
        frozen = module.freeze()(torch.rand(8, 8).to(module._packed.phi.dtype))
        assert frozen.fake_mode is mode
        packed = module._packed
    assert [p.shape for p in module.parameters()] == [p.shape for p in expected.parameters()]
    for ours, theirs in zip(packed, expected._packed, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype


def test_traced_by_make_fx():
    from torch.fx.experimental.proxy_tensor import make_fx

    f, x = torch.func.grad(energy(small())), torch.rand(2, 8, 8)
    graph = make_fx(f)(x)
    calls = {node.target for node in graph.graph.nodes}
    assert {FORWARD, BACKWARD} <= calls
    x = torch.rand(2, 8, 8)
    assert_close(graph(x), f(x))


# --- torch.func -------------------------------------------------------------------------------


def energy(module: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: module(x).square().sum()


def raw(module: Scattering2D) -> Callable[[Tensor], Tensor]:
    """The operator itself, without the functions in scatcuda.ops."""
    return lambda x: FORWARD(x, *module._packed, module._program)


def twin(module: Scattering2D) -> Callable[[Tensor], Tensor]:
    return lambda x: reference.scattering(x, *module._packed, module._program)


TRANSFORMED = {
    "grad": lambda f: torch.func.grad(energy(f)),
    "vjp": lambda f: lambda x: torch.func.vjp(f, x)[1](torch.ones_like(f(x)))[0],
    "jvp": lambda f: lambda x: torch.func.jvp(f, (x,), (x.cos(),))[1],
    "jacrev": lambda f: torch.func.jacrev(f),
    "jacfwd": lambda f: torch.func.jacfwd(lambda x: f(x).sum((-1, -2))),
    "vmap": lambda f: torch.func.vmap(f),
    "vmap of columns": lambda f: lambda x: torch.func.vmap(f, in_dims=2)(x.movedim(0, 2)),
    "vmap of vmap": lambda f: lambda x: torch.func.vmap(torch.func.vmap(f))(x[None]),
    "vmap of grad": lambda f: torch.func.vmap(torch.func.grad(energy(f))),
    "grad of vmap": lambda f: torch.func.grad(energy(torch.func.vmap(f))),
    "grad of grad": lambda f: torch.func.grad(energy(torch.func.grad(energy(f)))),
    "vmap of grad of grad": lambda f: torch.func.vmap(
        torch.func.grad(energy(torch.func.grad(energy(f))))
    ),
    "hessian": lambda f: (
        lambda x: torch.func.hessian(energy(lambda w: f((w * x).sum(0))))(x[:, :1, :1])
    ),
    "jvp of grad": lambda f: (
        lambda x: torch.func.jvp(torch.func.grad(energy(f)), (x,), (x.cos(),))[1]
    ),
    "grad of jvp": lambda f: torch.func.grad(
        lambda x: torch.func.jvp(f, (x,), (x.cos(),))[1].square().sum()
    ),
}


@pytest.mark.everywhere
@pytest.mark.parametrize("name", TRANSFORMED)
@pytest.mark.parametrize("way", ["module", "operator"])
def test_transformed_function(name, way):
    """What torch.func makes of the transform is what it makes of its twin in plain PyTorch."""
    module, x = small().double(), torch.rand(3, 8, 8, dtype=torch.float64)
    ours = TRANSFORMED[name](module if way == "module" else raw(module))(x)
    torch.testing.assert_close(ours, TRANSFORMED[name](twin(module))(x))


@pytest.mark.everywhere
@pytest.mark.parametrize("way", ["module", "operator"])
def test_transforms_of_torch_func_reach_the_engine(way):
    """One call forward and one backward for all images."""
    module, x = small(), torch.rand(3, 8, 8)
    f = module if way == "module" else raw(module)
    once = Counter({FORWARD: 1, BACKWARD: 1})
    assert counted(lambda: torch.func.vmap(f)(x))[1] == Counter({FORWARD: 1})
    assert counted(lambda: torch.func.grad(energy(f))(x))[1] == once
    assert counted(lambda: torch.func.vmap(torch.func.grad(energy(f)))(x))[1] == once
    assert counted(lambda: torch.func.jacrev(f)(x[0]))[1] == once


@pytest.mark.everywhere
def test_vmap_over_filters():
    """Filters of its own for each entry: gradients of theirs, too."""
    module, x = small().double(), torch.rand(2, 8, 8, dtype=torch.float64)
    bank = module._packed
    psi = bank.psi * torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)[:, None]

    def energy_of(scattering: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
        program = module._program
        return lambda psi: scattering(x, *bank._replace(psi=psi), program).square().sum()

    for operator in (ops.scattering, FORWARD):
        for transform in (torch.func.vmap, lambda f: torch.func.vmap(torch.func.grad(f))):
            ours = transform(energy_of(operator))(psi)
            torch.testing.assert_close(ours, transform(energy_of(reference.scattering))(psi))


@pytest.mark.everywhere
def test_per_image_gradients_of_filters():
    """A gradient that is a sum over the images of one call is not one over the mapped images."""
    module, x = small().double(), torch.rand(3, 8, 8, dtype=torch.float64)
    bank = module._packed

    def energy_of(x: Tensor, psi: Tensor) -> Tensor:
        return ops.scattering(x, *bank._replace(psi=psi), module._program).square().sum()

    per_image = torch.func.vmap(torch.func.grad(energy_of, 1), (0, None))(x, bank.psi)
    expected = torch.stack([torch.func.grad(energy_of, 1)(one, bank.psi) for one in x])
    torch.testing.assert_close(per_image, expected)


STAGES = {
    "filter_fold": (lambda z, w: ops.filter_fold(z, w, 2), (3, 2, 4, 6), (5, 4, 6)),
    "modulus": (lambda z, w: ops.modulus(z) * w, (3, 2, 4, 6), (4, 6)),
    "lowpass": (lambda z, w: ops.lowpass(z.real, w, w), (3, 2, 5, 5), (2, 5)),
}


@pytest.mark.everywhere
@pytest.mark.parametrize("name", STAGES)
def test_vmap_of_the_stages(name):
    """Each entry alone, with its gradient; mapped over the input, the parameters, both."""
    f, shape, parameters = STAGES[name]
    z = torch.randn(shape, dtype=torch.complex128)
    w = torch.randn(3, *parameters, dtype=torch.float64)

    def gradients(z: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        return torch.func.grad(lambda z, w: f(z, w).abs().square().sum(), (0, 1))(z, w)

    for g in (f, gradients):
        for dims in ((0, None), (None, 0), (0, 0)):
            zs, ws = (t if dim == 0 else t[0] for t, dim in zip((z, w), dims, strict=True))
            each = [g(z[i * (dims[0] == 0)], w[i * (dims[1] == 0)]) for i in range(3)]
            expected = (
                torch.stack(each) if g is f else tuple(map(torch.stack, zip(*each, strict=True)))
            )
            torch.testing.assert_close(torch.func.vmap(g, dims)(zs, ws), expected)


@pytest.mark.everywhere
def test_forward_mode_without_torch_func():
    module, x = small().double(), torch.rand(3, 8, 8, dtype=torch.float64)
    v = x.cos()
    expected = torch.func.jvp(twin(module), (x,), (v,))[1]
    for f in (module, raw(module)):
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, v)
            tangent = torch.autograd.forward_ad.unpack_dual(f(dual)).tangent
        torch.testing.assert_close(tangent, expected)


@pytest.mark.everywhere
@needs_compiler
@pytest.mark.parametrize("name", ["vmap", "vmap of grad", "grad of grad", "jvp"])
def test_compiled_transform_of_torch_func(name):
    module, x = small().double(), torch.rand(3, 8, 8, dtype=torch.float64)
    compiled = torch.compile(TRANSFORMED[name](module), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), TRANSFORMED[name](module)(x))


# --- autograd ---------------------------------------------------------------------------------


@pytest.mark.everywhere
@pytest.mark.parametrize("create_graph", [False, True])
def test_backward_is_the_engines(create_graph):
    """Also where it may be differentiated again, which only then takes the reference."""
    module, x = small().double(), torch.rand(2, 8, 8, dtype=torch.float64, requires_grad=True)

    def first() -> Tensor:
        return torch.autograd.grad(module(x).square().sum(), x, create_graph=create_graph)[0]

    gradient, counts = counted(first)
    assert counts == Counter({FORWARD: 1, BACKWARD: 1})
    if create_graph:
        (second,) = torch.autograd.grad(gradient.square().sum(), x)
        expected = torch.func.grad(energy(torch.func.grad(energy(twin(module)))))(x.detach())
        torch.testing.assert_close(second, expected)


@pytest.mark.everywhere
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_activation_checkpointing(use_reentrant):
    model, x = network(), torch.rand(4, 1, 8, 8)
    expected = gradients_of(model, x)
    before, *behind = model
    maps = before(x)
    scattered, counts = counted(
        lambda: checkpoint(behind[0], maps, use_reentrant=use_reentrant, preserve_rng_state=False)
    )
    assert counts == Counter({FORWARD: 1})
    loss = nn.functional.cross_entropy(nn.Sequential(*behind[1:])(scattered), torch.arange(4) % 2)
    loss.backward()
    assert_close([p.grad for p in model.parameters()], expected)


@pytest.mark.everywhere
def test_saves_its_input_and_nothing_else():
    saved: list[Tensor] = []
    module, x = small(), torch.rand(3, 8, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        module(x)
    assert {t.data_ptr() for t in saved} == {t.data_ptr() for t in (x, *module._packed)}


@pytest.mark.everywhere
def test_deterministic():
    module = Scattering2D(2, (20, 16), L=3)
    x = torch.rand(5, 20, 16, requires_grad=True)
    bank = Packed(*(t.clone() for t in module._packed))
    inputs = (x, bank.psi.requires_grad_(), bank.phi.requires_grad_())
    torch.use_deterministic_algorithms(True)
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            runs = [
                torch.autograd.grad(ops.scattering2d(x, *bank, 2, 3).square().sum(), inputs)
                for _ in range(3)
            ]
            for again in runs[1:]:
                assert all(torch.equal(a, b) for a, b in zip(again, runs[0], strict=True))
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_autocast(dtype):
    """Computed in float32, forward and backward, whatever the dtype of the images."""
    module, x = small(), torch.rand(3, 8, 8).to(dtype)

    def both(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.clone().requires_grad_()
        S = module(x)
        return S, torch.autograd.grad(S.square().sum(), x)[0]

    S, gradient = both(module, x)
    with torch.autocast("cpu", torch.bfloat16):
        for inside in (both(module, x), both(torch.compile(module, backend="aot_eager"), x)):
            assert inside[0].dtype == torch.float32 and inside[1].dtype == dtype
            assert torch.equal(inside[0], S) and torch.equal(inside[1], gradient)


ALL = {
    "images": lambda: scatcuda.Scattering2D(2, (16, 16), 2),
    "signals": lambda: scatcuda.Scattering1D(3, 64),
    "learned": lambda: scatcuda.Scattering1D(3, 64, trainable="wavelets"),
    "joint": lambda: scatcuda.TimeFrequencyScattering(J=4, J_fr=2, Q=4, shape=256),
    "one path": lambda: scatcuda.TimeFrequencyScattering(
        J=4, J_fr=2, Q=4, shape=256, paths=[(4, 2)]
    ),
    "turned": lambda: scatcuda.RotoTranslationScattering2D(2, (16, 16), 4),
    "densities": lambda: scatcuda.HarmonicScattering3D(1, (8, 8, 8), L=1, integral_powers=(1,)),
    "cascade": lambda: Cascade(2, (16, 16), L=2),
    "covariance": lambda: scatcuda.ScatteringCovariance((16, 16), 2, 2),
    "masked": lambda: scatcuda.ScatteringCovariance((16, 16), 2, 2, mask=torch.ones(16, 16)),
    "reduced": lambda: scatcuda.ReducedCovariance(scatcuda.ScatteringCovariance((16, 16), 2, 2)),
    "phases": lambda: scatcuda.WaveletPhaseHarmonics((16, 16), 2, 2, normalise="auto"),
}


@pytest.mark.parametrize("name", ALL)
def test_autocast_changes_no_transform(name):
    module = ALL[name]()
    x = torch.rand(2, *module.input_shape)
    wanted = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(x)
    assert found.dtype == wanted.dtype and torch.equal(found, wanted)


@pytest.mark.parametrize("name", ALL)
def test_what_a_module_is_built_with_is_fixed(name):
    """Assigned, it would change nothing, or a half of the module."""
    module = ALL[name]()
    given = inspect.signature(type(module)).parameters
    kept = {n for n in vars(module) if not n.startswith("_")} - set(vars(nn.Module()))
    changeable = {n for n in given if getattr(getattr(type(module), n, None), "fset", None)}
    for attribute in (set(given) | kept) - changeable - {"out_type", "rho"}:
        with pytest.raises(AttributeError, match=f"{attribute} is fixed when the module is built"):
            setattr(module, attribute, 1)
    module.note = "mine"
    assert module.eval().note == "mine" and not module.training


@pytest.mark.parametrize("name", ALL)
def test_every_transform_is_one_layer_to_torch_fx(name):
    model = nn.Sequential(ALL[name]())
    x = torch.rand(2, *model[0].input_shape)
    assert torch.equal(torch.fx.symbolic_trace(model)(x), model(x))


@pytest.mark.parametrize("name", ALL)
def test_no_items_have_a_gradient(name):
    module = ALL[name]()
    x = torch.zeros(0, *module.input_shape, requires_grad=True)
    S = module(x)
    assert S.shape == (0, *module.output_shape)
    S.abs().sum().backward()
    assert x.grad is not None and x.grad.shape == x.shape


@pytest.mark.parametrize("name", STAGES)
def test_autocast_of_the_stages(name):
    f, shape, parameters = STAGES[name]
    z = torch.randn(shape, dtype=torch.complex64, requires_grad=True)
    w = torch.randn(parameters, requires_grad=True)

    def run() -> tuple[Tensor, ...]:
        result = f(z, w)
        return result, *torch.autograd.grad(result.abs().sum(), (z, w))

    expected = run()
    with torch.autocast("cpu", torch.bfloat16):
        for ours, theirs in zip(run(), expected, strict=True):
            assert torch.equal(ours, theirs)


def test_gradients_on_the_meta_device():
    x = torch.rand(3, 8, 8, device="meta", requires_grad=True)
    (gradient,) = torch.autograd.grad(small().to("meta")(x).sum(), x, create_graph=True)
    assert gradient.is_meta and gradient.shape == x.shape


# --- modes and subclasses -----------------------------------------------------------------------


@pytest.mark.everywhere
@pytest.mark.parametrize("wants_gradient", [False, True])
def test_modes_and_subclasses_see_the_operator(wants_gradient):
    class Marked(Tensor):
        pass

    class Names(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            names.add(func)
            y = torch.ones(2, requires_grad=True)  # autograd is there for whoever looks
            assert torch.equal(torch.autograd.grad(y.square().sum(), y)[0], 2 * y)
            return func(*args, **(kwargs or {}))

    module, x, names = small(), torch.rand(2, 8, 8, requires_grad=wants_gradient), set()
    S = module(x)
    assert S.requires_grad == wants_gradient
    seen, counts = counted(lambda: module(x))
    assert torch.equal(seen, S) and counts == Counter({FORWARD: 1})
    with Names():
        seen = module(x)
    assert torch.equal(seen, S) and FORWARD in names
    marked = module(x.as_subclass(Marked))
    assert type(marked) is Marked and marked.requires_grad == wants_gradient
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        fake = module(torch.rand(2, 8, 8, requires_grad=wants_gradient))
    assert type(fake) is not Tensor and fake.shape == S.shape


def test_tensors_that_outlive_a_transform():
    module, kept = small(), []
    torch.func.grad(lambda x: (kept.append(x), x.sum())[1])(torch.ones(8, 8))
    assert torch.equal(module(kept[0]), module(torch.ones(8, 8)))


@pytest.mark.everywhere
@pytest.mark.parametrize("trainable", [None, "wavelets"])
def test_an_ensemble_of_modules(trainable):
    """torch.func.stack_module_state and functional_call put other tensors into a module."""
    x, modules = torch.rand(2, 8, 8), [small(trainable=trainable) for _ in range(3)]
    state = torch.func.stack_module_state(modules)
    call = functools.partial(torch.func.functional_call, modules[0], args=(x,))
    S = torch.func.vmap(lambda *given: call(given), randomness="error")(*state)
    assert_close(S, torch.stack([module(x) for module in modules]))


# --- more than one process, device, thread ------------------------------------------------------


def test_data_parallel():
    """Without a GPU it is the module itself, else replicas that hold copies of its parameters and
    buffers on other devices."""
    x = torch.rand(3, 8, 8)
    fixed = small()
    for module in (fixed, small(trainable="wavelets"), small(trainable="filters").freeze()):
        expected = module(x)
        assert torch.equal(nn.DataParallel(module)(x), expected)
        for device in ("cpu", "meta"):
            replica = replica_of(module, device)
            S = replica(x.to(device))
            assert S.device.type == device and S.shape == expected.shape
            assert device == "meta" or torch.equal(S, expected)
        assert torch.equal(module(x), expected)


def replica_of(module: nn.Module, device: str) -> nn.Module:
    """What nn.parallel.replicate makes."""
    replica = module._replicate_for_data_parallel()
    for name, child in module._modules.items():
        replica._modules[name] = child and replica_of(child, device)
    for name, parameter in module._parameters.items():
        setattr(replica, name, parameter.view_as(parameter).to(device))
    for name, buffer in module._buffers.items():
        replica._buffers[name] = buffer.to(device)
    return replica


ONE_OF_TWO = """
import sys, torch, scatcuda
from torch import nn
directory, rank = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{directory}/meeting", rank=rank, world_size=2
)
model, x, y, expected = torch.load(f"{directory}/model.pt", weights_only=False)
model = nn.parallel.DistributedDataParallel(model)
half = slice(2 * rank, 2 * rank + 2)
for _ in range(2):
    model.zero_grad()
    nn.functional.cross_entropy(model(x[half]), y[half]).backward()
    ours = [p.grad for p in model.parameters()]
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
torch.distributed.destroy_process_group()
"""


@pytest.mark.proof
@pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this PyTorch has no gloo",
)
def test_distributed_data_parallel(tmp_path):
    """Two processes with half of the images each have the gradient of one with all of them."""
    from concurrent.futures import ThreadPoolExecutor

    model, x = network(), torch.rand(4, 1, 8, 8)
    y = torch.arange(4) % 2
    torch.save((model, x, y, gradients_of(model, x)), tmp_path / "model.pt")
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(in_a_process, ONE_OF_TWO, tmp_path, rank) for rank in (0, 1)]:
            done.result()


def test_private_names_of_pytorch_stand_in_one_file():
    private = re.compile(
        r"\btorch(\.\w+)*\._(?!_)|from torch(\.\w+)* import .*\b_[a-z]|from torch\._|forward_ad"
    )
    sources = (pathlib.Path(__file__).parents[1] / "scatcuda").rglob("*.py")
    assert [path.name for path in sources if private.search(path.read_text())] == ["autograd.py"]
