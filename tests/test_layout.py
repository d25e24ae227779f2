"""The house: who may import whom, and that old names still lead somewhere."""

from __future__ import annotations

import ast
import importlib
import pickle
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import scatcuda
from scatcuda import _moved

ROOT = Path(__file__).parents[1]
PACKAGE = Path(scatcuda.__file__).parent
Graph = dict[str, set[str]]


def modules(folder: Path) -> dict[str, Path]:
    """Dotted names of a package's modules."""
    found = {"scatcuda._C": PACKAGE / "_C.pyi"} if folder == PACKAGE else {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path], later: bool) -> Iterator[str]:
    """Modules that a module imports, when it is itself (or ``later``) run, not for its types."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef) and not later:
            continue
        todo += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, node.module or ""]) if node.level else node.module or ""
            base = base.rstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in known else base


def graph(later: bool) -> Graph:
    known = modules(PACKAGE)
    return {
        name: {found for found in imports(name, path, known, later) if found in known} - {name}
        for name, path in known.items()
    }


def folder_of(name: str) -> str:
    """The package's own folder: ``scatcuda.data.formats.idx`` is of ``data``."""
    return name.split(".")[1] if name.count(".") else ""


def circle(edges: Graph) -> list[str]:
    """Some circle of a graph, or nothing."""
    done: set[str] = set()

    def walk(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in done:
            return []
        for after in sorted(edges.get(node, ())):
            if found := walk(after, [*way, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(edges) if (found := walk(node, []))), [])


@pytest.mark.parametrize("later", [False, True], ids=["imported", "called"])
def test_no_circle_of_modules(later):
    """Nor of what is imported within functions."""
    assert circle(graph(later)) == []


def test_no_circle_of_folders():
    """Each folder stands on those below it."""
    edges: Graph = {}
    for name, found in graph(later=False).items():
        here = folder_of(name)
        if here:
            edges.setdefault(here, set()).update(folder_of(other) for other in found)
    for here, found in edges.items():
        found -= {here, ""}
    assert circle(edges) == []


def test_a_circle_is_seen():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []


def private(name: str, path: Path) -> Iterator[str]:
    """Uses of names with an underscore that belong to another module of the package."""
    tree = ast.parse(path.read_text())
    ours = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level or (node.module or "").split(".")[0] == "scatcuda":
            ours |= {alias.asname or alias.name for alias in node.names}
            for alias in node.names:
                if re.match("_[a-z]", alias.name) and alias.name != "_moved":
                    yield f"{path}:{node.lineno}: {alias.name}"
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and node.attr not in ("_fields", "_replace", "_asdict")  # of a NamedTuple
            and node.value.id in ours - {"_C"}
        ):
            yield f"{path}:{node.lineno}: {ast.unparse(node)}"


def attributes(path: Path) -> tuple[set[str], set[str]]:
    """Private names that a module gives to something, and those that it asks others for."""
    given, asked = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            given.add(node.name)
        elif isinstance(node, ast.Name):
            given.add(node.id)
        elif isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            (given if own else asked).add(node.attr)
    return given, asked


def test_no_private_name_of_another_module():
    found = [use for name, path in modules(PACKAGE).items() for use in private(name, path)]
    assert found == []


def test_no_private_attribute_of_another_package():
    """What begins with an underscore stays in its folder, where something has it."""
    folders: dict[Path, tuple[set[str], set[str]]] = {}
    for path in modules(PACKAGE).values():
        given, asked = folders.setdefault(path.parent, (set(), set()))
        for names, own in zip((given, asked), attributes(path), strict=True):
            names |= own
    everywhere = set().union(*(given for given, _ in folders.values()))
    strangers = {
        str(folder): (asked & everywhere) - given for folder, (given, asked) in folders.items()
    }
    assert {folder: names for folder, names in strangers.items() if names} == {}


def test_no_test_imports_a_test():
    tests = modules(ROOT / "tests")
    found = [
        f"{name}: {other}"
        for name, path in tests.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom | ast.Import)
        for other in [getattr(node, "module", None) or "", *(a.name for a in node.names)]
        if other.rpartition(".")[2].startswith("test_") and not name.startswith("tests.consumer")
    ]
    assert found == []


# --- old names --------------------------------------------------------------------------------


@pytest.mark.parametrize("old", sorted(_moved.MOVED))
def test_an_old_module_is_the_new_one(old):
    new = _moved.MOVED[old]
    assert importlib.import_module(old) is importlib.import_module(new)
    assert importlib.import_module(new).__spec__.name == new


@pytest.mark.parametrize("old", ["filters", "kymatio", "packing", "plan", "reference"])
def test_another_name_has_the_same_things(old):
    module = importlib.import_module(f"scatcuda.{old}")
    assert module.__all__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_an_old_pickle():
    """As those of version 0.1 name their classes."""
    text = b"cscatcuda.scattering2d\nScattering2D\n."
    assert pickle.loads(text) is scatcuda.Scattering2D
    assert (
        pickle.loads(b"cscatcuda.plan\nPlan\n.")
        is importlib.import_module("scatcuda.program.plan").Plan
    )


def test_nothing_strange_is_kept():
    """What stands at the top, and no large file: data for measuring do not belong here."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    files = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    assert {path.parts[0] for path in files} <= {
        ".ci", ".clang-format", ".github", ".gitignore", "CHANGELOG.md", "CITATION.cff",
        "CMakeLists.txt", "CMakePresets.json", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "LICENSE",
        "MANIFEST.in", "Makefile", "PIPELINES.md", "README.md", "SECURITY.md", "benchmarks",
        "cmake", "conda", "csrc", "docs", "pyproject.toml", "scatcuda", "setup.py", "tests",
    }  # fmt: skip
    there = [path for path in files if (ROOT / path).is_file()]
    assert not [path for path in there if (ROOT / path).stat().st_size > 1 << 20]
