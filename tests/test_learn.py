"""What scatcuda.learn exports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("safetensors")

from scatcuda import learn

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", learn.__all__)
def test_names_are_found(name):
    value, renamed = getattr(learn, name), {"WaveletCascade": "Cascade"}
    assert value.__name__ == renamed.get(name, name) and value.__doc__
    assert not (ROOT / "scatcuda/learn" / f"{name}.py").exists()  # a module would shadow it


def test_type_checkers_see_the_same_names():
    source = ast.parse((ROOT / "scatcuda/learn/__init__.py").read_text())
    (block,) = (
        node
        for node in source.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {name.asname: line.module for line in block.body for name in line.names}
    assert seen == learn._HOME and sorted(seen) == learn.__all__


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        learn.nonsense  # noqa: B018


def test_nothing_is_imported_before_it_is_asked_for():
    code = "import sys, scatcuda.learn; print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_what_is_not_installed_is_named():
    code = """
import sys
sys.modules["sklearn"] = None
import scatcuda.learn
try:
    scatcuda.learn.RidgeClassifier
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "pip install" in done.stdout and "scatcuda[learn]" in done.stdout, done.stderr
