"""How the site is made: `make docs`.

Nothing is fetched: inventories of other projects are asked for only with ONLINE=1, formulas are
MathML, fonts are the reader's own. How docstrings of this project become pages stands in
``_ext/docstrings.py``, how the C header does in ``_ext/headers.py``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE / "_ext")]

import scatcuda  # noqa: E402

project = "scatcuda"
author = "the authors of scatcuda"
copyright = author
version = release = scatcuda.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "breathe",
    "accessible",
    "docstrings",
    "formulas",
    "headers",
    "repository",
]
exclude_patterns = ["_build", "gallery", "examples", "README.md"]
nitpicky = True
keep_warnings = False
default_role = "autolink"  # `Dataset` in a docstring

# --- pages ------------------------------------------------------------------------------------

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
smartquotes = False  # prose is full of code

# --- Python -----------------------------------------------------------------------------------

autosummary_generate = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autodoc_default_options = {
    "members": True,
    # what PyTorch, scikit-learn and Python give a class is documented there
    "inherited-members": "Module,BaseEstimator,ClassifierMixin,TransformerMixin,_SetOutputMixin,"
    "_MetadataRequester,object,tuple,dict,str,int,Exception,Protocol",
    "exclude-members": "set_fit_request,set_partial_fit_request,set_score_request,"
    "set_predict_request,set_transform_request",
}
napoleon_numpy_docstring = False
autodoc_type_aliases = {
    name: f"scatcuda.typing.{name}" for name in scatcuda.typing.__all__ if name[0].isupper()
}

# What is not scatcuda's is linked to with ONLINE=1 alone; the rest are names that only annotations
# know, and of C and C++ the types of the languages.
nitpick_ignore_regex = [
    ("py:.*", r"(?!scatcuda\b).*"),
    (
        "py:class",
        r"scatcuda\..*\.(_\w+|Output|Value|Made|X|Cell|Tree|Generator|Normalisation|Scalogram|LazyImages|RecipeFields)",
    ),
    ("c(pp)?:identifier", r"(std|u?int(8|16|32|64)_t|size_t|T|F|scatcuda)(::.*)?"),
]
if os.environ.get("ONLINE") == "1":
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "jax": ("https://docs.jax.dev/en/latest", None),
    }
    linkcheck_anchors = False  # pages that scripts fill
    linkcheck_timeout = 20

# --- the gallery ------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"\.py$",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
    "min_reported_time": 0,
    "write_computation_times": False,
    "show_memory": False,
    "remove_config_comments": True,
    "image_srcset": ["2x"],
    "doc_module": "scatcuda",
    "backreferences_dir": None,
}
# Settings of sphinx-gallery are not all picklable; short names in annotations, as Transform, are in
# several modules.
suppress_warnings = ["config.cache", "ref.python"]

# --- how it looks -----------------------------------------------------------------------------

toc_object_entries_show_parents = "hide"
html_theme = "furo"
html_title = f"scatcuda {release}"
html_static_path = ["_static"]
html_favicon = "_static/wavelet.svg"
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1d4e89", "color-brand-content": "#1d4e89"},
    "dark_css_variables": {"color-brand-primary": "#9ec5f0", "color-brand-content": "#9ec5f0"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

breathe_projects: dict[str, str] = {}  # headers.py says where, if there is a Doxygen
breathe_default_project = "scatcuda"
breathe_domain_by_extension = {"h": "c", "hpp": "cpp"}
