"""Links from pages to files of the repository that are no pages here: to the page that has their
text, or else to nothing."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
#: The page that shows what is written in a file of the repository
PAGES = {
    "README": "index",
    "CHANGELOG": "changelog",
    "CONTRIBUTING": "guide/contributing",
    "PIPELINES": "guide/c",
    "SECURITY": "guide/security",
}


def _led_home(app: Sphinx, doctree: nodes.document) -> None:
    for link in list(doctree.findall(addnodes.pending_xref)):
        target = Path(app.srcdir, link["reftarget"])
        if link.get("refdomain") != "doc" or target.is_relative_to(app.srcdir):
            continue
        if page := PAGES.get(target.relative_to(ROOT).as_posix()):
            link["reftarget"], link["reftargetid"] = page, None
        else:
            link.replace_self(link.children)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", _led_home)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
