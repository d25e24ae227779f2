"""The site, as far as it can be seen without building it: public names have what a reference needs,
pages are found and lead somewhere, and nothing is fetched. `make docs` builds it."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    page for page in sorted(DOCS.rglob("*.md")) if not {"gallery", "auto_gallery"} & {*page.parts}
]
MODULES = [
    "scatcuda", "scatcuda.banks", "scatcuda.config", "scatcuda.data", "scatcuda.jax",
    "scatcuda.kymatio", "scatcuda.learn", "scatcuda.numpy", "scatcuda.ops", "scatcuda.program",
    "scatcuda.scale", "scatcuda.sklearn", "scatcuda.synthesis", "scatcuda.typing",
]  # fmt: skip


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).with_suffix("").as_posix()


def prose(page: Path) -> str:
    """A page without its blocks and its code."""
    text = re.sub(r"^(```+|~~~+)(?!{).*?^\1", "", page.read_text("utf-8"), flags=re.M | re.S)
    return re.sub(r"(`+).*?\1", "", text)


# --- public names -----------------------------------------------------------------------------


def has_example(module: ModuleType, name: str, value: Any) -> bool:
    """Its own docstring has one, or an example of a module it is in uses it."""
    if ">>>" in (inspect.getdoc(value) or ""):
        return True
    home = sys.modules[value.__module__]
    lines = f"{module.__doc__}\n{home.__doc__}".splitlines()
    return any(
        re.search(rf"\b{name}\b", line) for line in lines if re.match(r" *(>>>|\.\.\.)", line)
    )


def without_type(value: Any) -> list[str]:
    """Parameters that have no type, and ``return``."""
    if getattr(value, "_is_protocol", False):
        return []
    called = value.__init__ if inspect.isclass(value) else value
    if called in (object.__init__, BaseException.__init__) or not inspect.isfunction(called):
        return []
    signature = inspect.signature(called)
    untyped = [
        parameter.name
        for parameter in list(signature.parameters.values())[inspect.isclass(value) :]
        if parameter.annotation is parameter.empty
    ]
    if not inspect.isclass(value) and signature.return_annotation is signature.empty:
        untyped.append("return")
    return untyped


@pytest.mark.parametrize("name", MODULES)
def test_public_names_have_a_docstring_an_example_and_types(name):
    try:
        module = importlib.import_module(name)
        values = {word: getattr(module, word) for word in module.__all__}
    except ImportError as error:
        pytest.skip(f"needs {error.name}")
    assert module.__doc__
    missing = []
    for word, value in values.items():
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if not value.__doc__ or value.__doc__.startswith(f"{word}("):  # what a dataclass gets
            missing.append(f"{word}: no docstring")
        if not has_example(module, word, value):
            missing.append(f"{word}: no example")
        missing += [f"{word}: {argument} has no type" for argument in without_type(value)]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("name", MODULES)
def test_public_modules_have_a_page(name):
    page = DOCS / "api" / f"{name.removeprefix('scatcuda.')}.md"
    assert f".. automodule:: {name}\n" in page.read_text("utf-8")


def test_every_function_and_type_of_the_c_interface_is_on_its_page():
    header = (ROOT / "csrc/include/scatcuda/scatcuda.h").read_text("utf-8")
    header = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    public = set(re.findall(r"^SCATCUDA_API [^;(]*?(\w+)\(", header, re.M))
    public |= set(re.findall(r"^typedef (?:enum|struct) (\w+)", header, re.M))
    page = (DOCS / "interfaces/c.md").read_text("utf-8")
    assert public and public == set(re.findall(r"{doxygen(?!define)\w+} (\w+)", page))


# --- pages ------------------------------------------------------------------------------------


def listed(page: Path) -> set[str]:
    """Pages in the toctrees of one; ``*`` stands for what is there."""
    found = set()
    blocks = re.findall(r"^```+{toctree}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    for line in (line.strip() for block in blocks for line in block.splitlines()):
        if not line or line.startswith((":", "#")):
            continue
        target = re.sub(r"^.*<(.*)>$", r"\1", line)
        assert (
            "*" in target or "auto_gallery" in target or (page.parent / f"{target}.md").is_file()
        ), target
        found |= {name_of(path) for path in page.parent.glob(f"{target}.md")}
    return found


def test_every_page_is_in_a_table_of_contents():
    reached = {"index"}.union(*(listed(page) for page in PAGES))
    assert {name_of(page) for page in PAGES} == reached


def anchors(page: Path) -> set[str]:
    """Of headings as MyST and GitHub name them, and labels."""
    text = page.read_text("utf-8")
    for included in re.findall(r"^```+{include} (\S+)", text, re.M):
        text += (page.parent / included).read_text("utf-8")
    text = re.sub(r"^(```+)(?!{).*?^\1", "", text, flags=re.M | re.S)
    titles = (
        re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", t)
        for t in re.findall(r"^#+ +(.*)$", text, re.M)
    )
    slugs = {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}
    return slugs | set(re.findall(r"^\(([\w-]+)\)=$", text, re.M))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_pictures_of_a_page_lead_somewhere(page):
    text = prose(page)
    for target in re.findall(r"(?<!!)\[[^]]*\]\(<?([^)>]*)>?\)", text):
        if re.match(r"https?:|mailto:|scatcuda[.\w]*$", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if "auto_gallery" not in path:  # made from gallery
            assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), target
    pictures = re.findall(r"!\[([^]]*)\]\(([^) ]*)[^)]*\)", text)
    for picture, options in re.findall(
        r"^[`:]{3,}{(?:image|figure)} (\S+)\n(.*?)^[`:]{3,}", text, re.M | re.S
    ):
        pictures.append((("".join(re.findall(r"^:alt: (.+)$", options, re.M))), picture))
    for words, picture in pictures:
        assert words.strip(), f"{picture}: no words for who cannot see it"
        assert "auto_gallery" in picture or (page.parent / picture).is_file(), picture


def test_nothing_is_fetched():
    """Neither scripts nor styles nor pictures come from elsewhere, with ONLINE=1 inventories do."""
    remote = re.compile(
        r"(src=[\"']?|url\([\"']?|@import [\"']?|!\[[^]]*\]\(|{(image|figure)} )(https?:)?//"
    )
    ours = [
        *PAGES,
        *DOCS.glob("_static/*"),
        *DOCS.glob("_templates/*"),
        *DOCS.glob("gallery/**/*.*"),
    ]
    for path in ours:
        if path.suffix in (".md", ".css", ".html", ".js", ".py", ".txt"):
            assert not remote.search(path.read_text("utf-8")), path
    settings = ast.parse((DOCS / "conf.py").read_text("utf-8"))
    (extensions,) = (
        ast.literal_eval(node.value)
        for node in settings.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "extensions"
    )
    assert "formulas" in extensions and "sphinx.ext.mathjax" not in extensions
    assert "sphinx.ext.intersphinx" not in extensions


def test_docstrings_are_read_as_they_are_written(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(DOCS / "_ext")
    module = importlib.import_module("docstrings")
    assert module.sections(["S x.", "Source: a", "book.", "Example: one", "    >>> 1"]) == [
        "S x.", "", ":Source: a", "    book.", "", "Example:", "    one", "", "    >>> 1",
    ]  # fmt: skip
    assert doctest.testmod(module).attempted == 2
