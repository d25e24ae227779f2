"""The gallery's examples: complete, offline, and some of them run; `make docs` runs all.

Text is checked as Sphinx-Gallery reads it: a docstring with a title, cells behind ``# %%``.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery"
EXAMPLES = sorted(GALLERY.glob("*/*.py"))
# of scikit-image's data these come with it, the others are downloaded
SHIPPED = {"astronaut", "brick", "camera", "coins", "grass", "gravel"}
NETWORK = {"urllib", "requests", "http", "socket", "pooch", "torchvision", "torchaudio", "ftplib"}
RUN = ["1_images/01_filters.py", "3_fields/06_densities.py", "5_programs/02_haar.py"]

each = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def calls(tree: ast.AST) -> list[str]:
    """What is called, ``plt.show`` as ``show``."""
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        f.attr if isinstance(f, ast.Attribute) else f.id
        for f in functions
        if isinstance(f, ast.Attribute | ast.Name)
    ]


def test_there_are_examples_of_everything():
    assert len(EXAMPLES) >= 16
    for folder in {path.parent for path in EXAMPLES} | {GALLERY}:
        assert re.match(r".+\n[-=]+\n", (folder / "README.txt").read_text(encoding="utf-8"))


def test_names_are_told_apart():
    """Titles, which are links' texts, and file names, which are labels'."""
    titles = [ast.get_docstring(ast.parse(path.read_text())).splitlines()[0] for path in EXAMPLES]
    assert len({*titles}) == len(titles)


@each
def test_has_a_title_and_words(path):
    lines = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()
    assert 10 <= len(lines[0]) <= 60
    assert lines[1] == "=" * len(lines[0])
    assert len(" ".join(lines[3:])) > 100
    assert "\n# %%\n" in path.read_text(encoding="utf-8")


@each
def test_draws_a_figure_and_shows_it(path):
    called = calls(ast.parse(path.read_text(encoding="utf-8")))
    assert {"figure", "subplots"} & {*called}
    assert "show" in called and "savefig" not in called


@each
def test_needs_no_network(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not NETWORK & {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.module.split(".")[0] not in NETWORK
            taken = {alias.name for alias in node.names}
            assert not any(name.startswith("fetch_") for name in taken)
        of_data = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if of_data and node.value.id == "data":
            assert node.attr in SHIPPED
    assert not any(name.startswith("fetch") or name == "urlopen" for name in calls(tree))


@pytest.mark.parametrize("name", RUN)
def test_runs(name, tmp_path):
    """As its reader runs it, from another folder, and without a warning of its own."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": os.pathsep.join(path)}
    command = [sys.executable, str(GALLERY / name)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    warned = [line for line in done.stderr.splitlines() if "Warning" in line]
    assert all("non-interactive" in line for line in warned), done.stderr
    assert not [*tmp_path.iterdir()]
    assert done.stdout
