"""How Sphinx makes a site of the book; `make book` calls it."""

import os
from importlib.resources import files

from course.book_site import ROOT, executed_with

project = "Build a GPT from nothing"
extensions = ["myst_nb", "sphinx.ext.mathjax", "course.book_site"]
exclude_patterns = ["_static"]
myst_enable_extensions = ["dollarmath"]
smartquotes = False  # the text stands as it was written, as in the notebooks

# outputs are not in the repository: they are kept here until a cell or the code that it runs changes
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build" / "book-outputs" / executed_with())
nb_execution_timeout = 1200  # seconds a cell, on a machine that has other things to do
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # the cells' tensors are small: threads would wait for each other
nb_execution_raise_on_error = True
nb_output_stderr = "remove"  # what is said while a text is being fetched
nb_merge_streams = True
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"

html_theme = "furo"
html_title = project
html_static_path = [
    "_static",
    str(files("sphinx-mathjax-offline") / "static" / "mathjax" / "tex-svg.js"),  # fonts and all in one file
]
html_css_files = ["book.css"]
html_favicon = "_static/icon.svg"
html_use_index = False
html_copy_source = False
html_show_copyright = False
mathjax_path = "tex-svg.js"
pygments_style = "friendly"
pygments_dark_style = "monokai"

linkcheck_ignore = [r"exercises/"]  # the stubs' pages, which only the site has
linkcheck_timeout = 20
linkcheck_workers = 2
