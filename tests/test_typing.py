"""The types of the package, as mypy and pyright see them in a user's program, ``typed/user.py``.

basedpyright is pyright and brings its Node.js along; in the mode ``standard`` it reports what
pyright reports.
"""

import ast
import dataclasses
import importlib
import importlib.metadata
import inspect
import json
import os
import re
import subprocess
import sys
import sysconfig
import typing
from pathlib import Path

import pytest
from typing_extensions import get_overloads

import scatcuda
from scatcuda import _C, Scattering2D, banks
from scatcuda import typing as names
from scatcuda.banks import learned as learnable
from scatcuda.transforms import base

ROOT = Path(__file__).parents[1]
TYPED = ROOT / "tests" / "typed"
# Pyright asks the first Python on PATH where packages are; ours are those of this checkout.
SCRIPTS = sysconfig.get_path("scripts")
ENVIRONMENT = os.environ | {
    "PATH": os.pathsep.join([SCRIPTS, os.environ.get("PATH", "")]),
    "PYTHONPATH": str(ROOT),
    "MYPYPATH": str(ROOT),
}


def run(*command, cwd):
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True
    )


def test_mypy_agrees_with_the_user(request):
    pytest.importorskip("mypy")
    cache = request.config.cache.mkdir("mypy")
    found = run(
        "-m", "mypy", "--config-file=", "--strict", "--follow-imports=silent",
        f"--cache-dir={cache}", "--python-version=3.10", "user.py", cwd=TYPED,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr


def test_pyright_agrees_with_the_user():
    pytest.importorskip("basedpyright")
    found = run("-m", "basedpyright", "--pythonpath", sys.executable, cwd=TYPED)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "0 errors" in found.stdout


@pytest.mark.proof
def test_the_program_runs():
    pytest.importorskip("sklearn")
    pytest.importorskip("safetensors")
    found = run("user.py", cwd=TYPED)
    assert found.returncode == 0, found.stderr


@pytest.mark.proof
def test_an_editable_install_is_seen(tmp_path):
    """By a .pth file, which checkers read: the import hook that setuptools likes better they do
    not run."""
    pytest.importorskip("mypy")
    installed = importlib.metadata.distributions(name="scatcuda")
    origin = "".join(one.read_text("direct_url.json") or "" for one in installed)
    if '"editable": true' not in origin:
        pytest.skip("scatcuda is not installed in place")
    (tmp_path / "user.py").write_text(
        "import torch\nfrom scatcuda import Scattering2D\n"
        "S: torch.Tensor = Scattering2D(2, (8, 8))(torch.rand(8, 8))\n"
    )
    clean = {k: v for k, v in ENVIRONMENT.items() if k not in ("PYTHONPATH", "MYPYPATH")}
    for command in (
        ["-m", "mypy", "--config-file=", "--strict", "--follow-imports=silent", "user.py"],
        ["-m", "basedpyright", "--level=error", "--pythonpath", sys.executable, "user.py"],
    ):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=clean, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_wrong_line_is_refused_by_both():
    """What either checker lets pass needs no comment, which both report."""
    source = (TYPED / "user.py").read_text()
    body = source[source.index("def wrong(") : source.index("\n\n\nif __name__")]
    _, *lines = body.splitlines()
    assert len(lines) > 20
    for line in lines:
        assert re.search(r"# type: ignore\[.+\]  # pyright: ignore\[.+\]$", line), line
    config = json.loads((TYPED / "pyrightconfig.json").read_text())
    assert config["reportUnnecessaryTypeIgnoreComment"] == "error"
    assert config["enableTypeIgnoreComments"] is False


def test_everything_is_typed(tmp_path):
    """Scikit-learn has no types: what derives from its classes can be known in part only."""
    pytest.importorskip("basedpyright")
    command = ("-m", "basedpyright", "--verifytypes", "scatcuda", "--ignoreexternal")
    found = json.loads(run(*command, "--outputjson", cwd=tmp_path).stdout)["typeCompleteness"]
    assert found["pyTypedPath"] == str(ROOT / "scatcuda" / "py.typed")
    estimators = {
        "AffineScores", "LinearClassifier", "ManyViews", "OrthogonalLeastSquares",
        "PCAAffineClassifier", "RidgeClassifier", "ScatteringTransformer", "Standardizer",
        "TensorClassifier",
    }  # fmt: skip
    unknown = [
        f"{symbol['name']}: {[d['message'] for d in symbol['diagnostics']]}"
        for symbol in found["symbols"]
        if symbol["isExported"] and (not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"])
    ]
    strangers = [line for line in unknown if not any(name in line for name in estimators)]
    assert not strangers
    assert found["completenessScore"] > 0.97


def public():
    """The functions of the modules for users, and the methods of their classes."""
    found = {"scatcuda.kymatio.accelerate": scatcuda.kymatio.accelerate}
    modules = ["scatcuda", "scatcuda.banks", "scatcuda.ops", "scatcuda.reference"]
    modules += ["scatcuda.program.plan", "scatcuda.data", "scatcuda.learn"]
    for module in map(importlib.import_module, modules):
        listed = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
        for name in listed:
            thing = getattr(module, name)
            if not str(getattr(thing, "__module__", "")).startswith("scatcuda"):
                continue
            found[f"{module.__name__}.{name}"] = thing
            for member, value in vars(thing).items() if inspect.isclass(thing) else ():
                value = value.fget if isinstance(value, property) else value
                value = getattr(value, "__func__", value)
                if not member.startswith("_") and inspect.isfunction(value):
                    found[f"{module.__name__}.{name}.{member}"] = value
    return {name: thing for name, thing in found.items() if inspect.isfunction(thing)}


def test_nothing_public_returns_any():
    pytest.importorskip("sklearn")
    pytest.importorskip("safetensors")
    found = public()
    assert len(found) > 100
    loose = {
        name
        for name, function in found.items()
        for signature in get_overloads(function) or [function]
        if signature.__annotations__.get("return", "Any") == "Any"
    }
    assert loose == {"scatcuda.learn.load"}  # which of the estimators, the file says


def test_what_is_checked_is_what_is_annotated():
    tables = {
        names.Backend: base._BACKENDS,
        names.BankName: banks.BUILT_IN,
        names.Trainable: learnable.KINDS,
    }
    for literal, table in tables.items():
        assert set(typing.get_args(literal)) == set(table)


def test_what_is_checked_in_learning_is_what_is_annotated():
    pytest.importorskip("sklearn")
    from scatcuda.learn.classifiers import linear
    from scatcuda.learn.extraction import transformer
    from scatcuda.learn.networks import blocks, hybrids, models

    tables = {
        names.FeatureType: transformer._DTYPES,
        names.Head: hybrids.HEADS,
        names.Loss: linear._CURVATURE,
        names.Network: models.MODELS,
        names.Norm: blocks.NORMS,
    }
    for literal, table in tables.items():
        assert set(typing.get_args(literal)) == set(table)


def test_fit_takes_the_fields_of_a_recipe():
    from scatcuda.learn.fitting.recipe import Recipe, RecipeFields

    fields = {field.name: field.type for field in dataclasses.fields(Recipe)}
    stated = {name: type_.__forward_arg__ for name, type_ in RecipeFields.__annotations__.items()}
    assert stated == fields


def test_all_names_of_types_are_listed():
    source = ast.parse((ROOT / "scatcuda" / "typing.py").read_text())
    made = {
        node.targets[0].id if isinstance(node, ast.Assign) else node.name
        for node in source.body
        if isinstance(node, ast.Assign | ast.ClassDef)
    }
    assert sorted(made - {"__all__"}) == names.__all__


def test_the_stub_has_what_the_extension_has():
    stub = ast.parse((ROOT / "scatcuda" / "_C.pyi").read_text())
    stated = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    assert stated == {name for name in dir(_C) if not name.startswith("_")}


def test_brackets_change_nothing_at_run_time():
    listed = Scattering2D[list[names.Coefficients]]
    assert typing.get_origin(listed) is Scattering2D
    made = listed(J=1, shape=(8, 8), out_type="list")
    assert type(made) is Scattering2D
