"""The docstrings of this project for Sphinx, and a table of the names of a module.

A section of a docstring may stand in one line, ``Returns: ``[..., m, n]``.``, which napoleon does
not take for one, and ``Source:`` is a section here.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

_SECTION = re.compile(r"(?P<indent> *)(?P<name>Args|Returns|Raises|Source|Example):(?P<rest> .*)?$")
_FIELDS = {"Returns": "returns", "Raises": "Raises", "Source": "Source"}


def sections(lines: list[str]) -> list[str]:
    """Lines of a docstring in which sections are napoleon's, or fields.

    >>> sections(["Returns: a tensor,", "    or: none."])
    [':returns: a tensor,', '    or: none.']
    >>> sections(["Args: x: an image."])
    ['Args:', '    x: an image.']
    """
    made: list[str] = []
    field: str | None = None  # the indentation of the field that this line may go on with
    for line in lines:
        found = _SECTION.match(line)
        rest = (found["rest"] or "").strip() if found else ""
        if found and made and made[-1].strip():
            made.append("")
        if not found or (not rest and found["name"] not in ("Returns", "Source")):
            field = None if found or not line.strip() else field
            goes_on = field is not None and not line.startswith(f"{field} ")
            made.append(f"    {line}" if goes_on else line)
        elif found["name"] in _FIELDS:
            field = found["indent"]
            made.append(f"{field}:{_FIELDS[found['name']]}: {rest}".rstrip())
        else:
            field = None
            made += [f"{found['indent']}{found['name']}:", f"{found['indent']}    {rest}"]
            made += [""] if found["name"] == "Example" else []
    return made


def _process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = sections(lines)
    if what in ("attribute", "data", "property"):
        lines.insert(0, "")  # or napoleon takes what is before a colon for a type
    if what == "module" and hasattr(obj, "__all__"):
        left = options.exclude_members or set()
        public = [
            word for word in obj.__all__ if word not in left and _described(getattr(obj, word))
        ]
        lines += ["", f".. currentmodule:: {name}", "", ".. autosummary::", "   :nosignatures:", ""]
        lines += [f"   {word}" for word in public]


def _described(value: Any) -> bool:
    return inspect.isclass(value) or inspect.isroutine(value)


def _any(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    """What an annotation names may be no class: an alias, as those of ``scatcuda.typing``."""
    if node.get("refdomain") != "py" or node.get("reftype") != "class":
        return None
    found = env.domains.python_domain.find_obj(env, None, None, node["reftarget"], "obj")
    if len(found) != 1:
        return None
    where = found[0][1]
    return make_refnode(app.builder, node["refdoc"], where.docname, where.node_id, content)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("missing-reference", _any)
    app.connect("autodoc-process-docstring", _process, priority=400)  # napoleon's is 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
