"""Links from pages to files of the repository that are no pages here: to the page that has their
text, or else to nothing."""

from __future__ import annotations

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

#: The page that shows a file of the repository's root
PAGES = {
    "../README": "index",
    "../CHANGELOG": "changelog",
    "../CONTRIBUTING": "guide/contributing",
    "../SECURITY": "guide/security",
}


def _led_home(app: Sphinx, doctree: nodes.document) -> None:
    for link in list(doctree.findall(addnodes.pending_xref)):
        target = str(link["reftarget"])
        if link.get("refdomain") != "doc" or not target.startswith("../"):
            continue
        if target in PAGES:
            link["reftarget"] = PAGES[target]
        else:
            link.replace_self(link.children)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", _led_home)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
