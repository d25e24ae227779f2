"""What the theme leaves to be desired by who uses a keyboard or a screen reader."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def _amended(app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if "body" in context:  # code that is wider than the page is scrolled with the arrow keys, too
        context["body"] = context["body"].replace("<pre>", '<pre tabindex="0">')
    if "furo_navigation_tree" in context:
        context["furo_navigation_tree"] = context["furo_navigation_tree"].replace(
            'role="heading"', 'role="heading" aria-level="2"'
        )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", _amended, priority=900)  # after the theme's
    return {"parallel_read_safe": True, "parallel_write_safe": True}
