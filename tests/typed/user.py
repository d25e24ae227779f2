"""A user's program, for type checkers and for Python: both checkers must accept it as it is, and it
must run. A line that ends in two comments is wrong: each checker must refuse it, or says that its
comment is not needed. See ``tests/test_typing.py``.
"""

# ruff: noqa: B018

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import assert_type

import scatcuda
from scatcuda import RotoTranslationScattering2D, Scattering2D, banks, data, learn, ops
from scatcuda.banks.packing import pack
from scatcuda.config import Launch
from scatcuda.kymatio import Acceleration, accelerate, backend2d
from scatcuda.ops import reference
from scatcuda.program.plan import Plan
from scatcuda.typing import (
    Backend,
    BankName,
    Coefficients,
    Instructions,
    Lowpass,
    OutType,
    Tier,
    Trainable,
    Wavelet,
)

# --- what a transform returns -----------------------------------------------------------------


def transform() -> None:
    x = torch.rand(2, 8, 8)
    S = Scattering2D(J=1, shape=(8, 8))
    assert_type(S, Scattering2D[Tensor])
    assert_type(S(x), Tensor)
    assert_type(S(x=x), Tensor)
    assert_type(S.forward(x), Tensor)
    assert_type(S.scattering(x), Tensor)
    assert_type(S(x).square().sum(), Tensor)
    assert_type(S.double().eval().cpu()(x.double()), Tensor)

    turning = RotoTranslationScattering2D(J=1, shape=(8, 8))
    assert_type(turning(x), Tensor)
    assert_type(turning.output_shape, tuple[int, ...])
    moduli = RotoTranslationScattering2D(J=1, shape=(8, 8), average=None, out_type="list")
    assert_type(moduli(x), list[dict[str, Any]])

    listed = Scattering2D(J=1, shape=(8, 8), out_type="list")
    assert_type(listed, Scattering2D[list[Coefficients]])
    assert_type(listed.scattering(x), list[Coefficients])
    for channel in listed(x):
        assert_type(channel["coef"], Tensor)
        assert_type(channel["j"], tuple[int, ...])
        assert_type(channel["theta"], tuple[int, ...])
        assert_type(channel["n"], tuple[int, ...])
    placed = Scattering2D(1, (8, 8), 8, 2, False, "torch", "list")
    assert_type(placed(x), list[Coefficients])

    listed.out_type = "array"


def chosen(out_type: OutType, x: Tensor) -> None:
    either = Scattering2D(1, (8, 8), out_type=out_type)
    assert_type(either(x), Tensor | list[Coefficients])


def mean(scattering: Scattering2D, x: Tensor) -> Tensor:
    return scattering(x).mean((-2, -1))  # an annotation without brackets means tensors


class Network(nn.Module):
    def __init__(self, scattering: Scattering2D[Tensor]) -> None:
        super().__init__()
        self.scattering = scattering
        self.head = nn.Linear(scattering.output_shape[0], 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(mean(self.scattering, x))
        return logits


class Squared(Scattering2D):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).square()


def derived() -> None:
    squared = Squared(J=1, shape=(8, 8))
    assert_type(squared(torch.rand(8, 8)), Tensor)
    assert_type(squared.freeze(), Squared)


# --- what it has ------------------------------------------------------------------------------


def attributes() -> None:
    S = Scattering2D(J=1, shape=(8, 8), L=4, filters="tight", trainable="wavelets", tier="general")
    assert_type(S.bank, banks.FilterBank)
    assert_type(S.bank.psi, Tensor)
    assert_type(S.psi, list[Wavelet])
    assert_type(S.psi[0]["levels"], list[NDArray[np.float32]])
    assert_type(S.psi[0]["theta"], int)
    assert_type(S.phi, Lowpass)
    assert_type(S.phi["levels"][0], NDArray[np.float32])
    assert_type(S.meta(), dict[str, NDArray[np.int64]])
    assert_type(S.J, int)
    assert_type(S.shape, tuple[int, int])
    assert_type(S.output_shape, tuple[int, int, int])
    assert_type(S.pre_pad, bool)
    assert_type(S.backend, Backend)
    assert_type(S.out_type, OutType)
    assert_type(S.filters, BankName | banks.FilterBank)
    assert_type(S.tier, Tier)
    assert_type(S.trainable, Trainable | None)
    assert_type(S.workspace, int | None)
    assert_type(S.freeze().unfreeze(), Scattering2D[Tensor])
    some = Scattering2D(2, (8, 8), paths=[(0,), (0, 8), np.array([1, 8])])
    assert_type(some.paths, tuple[tuple[int, ...], ...] | None)
    Scattering2D(2, (8, 8), paths=lambda meta: meta["order"] == 2, out_type="list")


# --- banks, operators, what the package tells ---------------------------------------------------


def tools() -> None:
    plan = Plan(J=1, L=8, max_order=2, M=8, N=8)
    bank = banks.morlet_bank(plan.padded, 1)
    assert_type(bank, banks.FilterBank)
    banks.FilterBank(psi=np.ones((1, 8, 12, 12)), phi=bank.phi)
    assert_type(banks.frame_bounds(bank), tuple[float, float])
    x, packed = torch.rand(8, 8), pack(bank, plan, torch.float32)
    assert_type(ops.scattering2d(x, *packed, J=1, L=8, tier="auto"), Tensor)
    assert_type(ops.scattering(x, *packed, plan.program, tier="auto"), Tensor)
    assert_type(reference.scattering(x, *packed, plan.program), Tensor)
    assert_type(reference.lowpass(x, x, x), Tensor)
    assert_type(ops.modulus(torch.fft.fft2(x)), Tensor)
    assert_type(scatcuda.cpu_isa(), Instructions)
    assert_type(scatcuda.get_include(), str)
    Scattering2D(1, (8, 8), backend=backend2d)


def launch() -> Launch:
    found = scatcuda.cuda_launch(J=1, shape=(8, 8), device="H100", tier="fused")
    assert_type(found, Launch)
    assert_type(found.tier, Literal["general", "fused"])
    return found


def kymatio() -> None:
    with accelerate() as acceleration:
        assert_type(acceleration, Acceleration)


# --- learning -----------------------------------------------------------------------------------


def networks() -> None:
    dataset = data.load("digits")
    assert_type(dataset, data.Dataset[Tensor])
    x, y = dataset.train_x[:64], dataset.train_y[:64]
    assert_type(dataset.train, data.Pairs)
    assert_type(dataset.train[0], tuple[Tensor, int])
    learn.fit(
        nn.Sequential(nn.Flatten(), nn.Linear(1024, 10)), dataset.train, epochs=1, min_steps=1
    )
    model = learn.hybrid(10, (1, 32, 32), J=2, L=2, head="linear", filters="tight")
    assert_type(model, learn.Hybrid)
    assert_type(model(x), Tensor)
    history = learn.fit(model, (x, y), epochs=1, min_steps=1, resume="never", device="cpu")
    assert_type(history, list[dict[str, float]])
    assert_type(learn.predict(model, x, device="cpu"), Tensor)
    assert_type(learn.evaluate(model, x, y, device="cpu"), tuple[float, float])
    learn.WaveletCascade(J=1, shape=(8, 8), depth=1)
    cascade = scatcuda.Cascade(J=1, shape=(8, 8), depth=1)
    assert_type(cascade(torch.rand(8, 8)), Tensor)
    assert_type(cascade(torch.rand(8, 8), by_order=True), list[Tensor])
    assert_type(learn.pool(torch.rand(81, 8, 8), "mean", J=2), Tensor)
    assert_type(learn.Augment.parse("flip"), learn.Augment)
    assert_type(learn.Recipe(lr=0.1).epochs, int)


def estimators() -> None:
    x, y = data.digits(8)
    transformer = learn.ScatteringTransformer(J=1, L=2, pool="rotation", dtype="float64").fit(x)
    assert_type(transformer, learn.ScatteringTransformer)
    features = transformer.transform(x)
    assert_type(features, Tensor)
    assert_type(transformer.transform(x.numpy()), NDArray[Any])
    assert_type(transformer.get_feature_names_out(), NDArray[np.object_])
    standard = learn.Standardizer().fit(features)
    assert_type(standard.transform(features), Tensor)
    assert_type(standard.fit_transform(features), Tensor)
    assert_type(standard.fit_transform(features.numpy()), NDArray[Any])
    ridge = learn.RidgeClassifier(alpha="loo").fit(standard.transform(features), y)
    assert_type(ridge, learn.RidgeClassifier)
    assert_type(ridge.predict(features), Tensor)
    assert_type(ridge.decision_function(features.numpy()), NDArray[Any])
    assert_type(ridge.alpha_, float)
    assert_type(learn.PCAAffineClassifier(3).fit(features, y).predict(features), Tensor)
    logistic = learn.LinearClassifier("log", tol=0.1, class_weight={3: 2.0})
    assert_type(logistic.fit(features, y, sample_weight=y + 1).n_iter_, int)
    assert_type(logistic.predict_proba(features), Tensor)
    assert_type(logistic.predict_log_proba(features.numpy()), NDArray[Any])
    cells = learn.run_experiment(learn.Options(data="digits", n=(100,), filters="tight"))
    assert_type(cells[0].accuracy, float)


# --- what must be refused -----------------------------------------------------------------------


def wrong(S: Scattering2D, x: Tensor) -> None:
    Scattering2D(J=2, shape=(8, 8), tier="fast")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    Scattering2D(2, (8, 8), out_type="tensor")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    Scattering2D(2, (8, 8), backend="numpy")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    Scattering2D(2, (8, 8), filters="haar")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    Scattering2D(2, (8, 8), paths=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    Scattering2D(2, (8, 8), trainable="all")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    mean(Scattering2D(2, (8, 8), out_type="list"), x)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    S(x)[0]["coef"]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
    S("image")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    S.out_type = "tensor"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    S.bank = banks.tight_bank((8, 8), 2)  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    S.psi[0]["angle"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
    S.phi.levels  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    ops.scattering2d(x, x, x, x, x, 1, 8, tier="fast")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    scatcuda.cuda_launch(1, (8, 8), tier="fast")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    banks.FilterBank("psi", "phi")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    scatcuda.kymatio.nonsense  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    learn.nonsense  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    learn.hybrid(10, (1, 8, 8), head="big")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    learn.Options(model="tree")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    learn.fit(nn.Identity(), (x, x), resume="maybe")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    learn.fit(nn.Identity(), (x, x), rate=0.1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    learn.predict(nn.Identity(), ["a.png"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    learn.ScatteringTransformer(2, pool="max")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    learn.LinearClassifier(loss="hinge")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    torch.set_num_threads(1)
    transform()
    chosen("list", torch.rand(8, 8))
    print(mean(Scattering2D(J=1, shape=(8, 8)), torch.rand(8, 8)).shape)
    Network(Scattering2D(J=1, shape=(8, 8)))(torch.rand(2, 8, 8))
    derived()
    attributes()
    tools()
    networks()
    estimators()
