"""Configuration of the documentation site (`make docs`); the source folder is the root of the repository.

With the root as the source folder, pages in `docs/`, READMEs of `configs/` and the pages of the root link to each other
and to files as they do on a hosting site, without a list of links.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'docs' / '_extensions')]

from mmdecouple import __version__  # noqa: E402

project = 'mmdecouple'
author = copyright = 'the mmdecouple authors'
version = release = __version__

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
    'sphinx_design',
    'api_pages',
    'mathml',
    'repository_files',
]
root_doc = 'docs/index'
include_patterns = ['*.md', 'docs/**', 'configs/*/README.md']
exclude_patterns = [
    *(path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ('docs', 'configs')),
    'docs/_*',
]

myst_enable_extensions = ['attrs_inline', 'colon_fence', 'deflist', 'dollarmath']
myst_heading_anchors = 4
nb_execution_mode = 'cache'
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_output_stderr = 'remove'

# Single backticks of docstrings are code, and links where they name an object.
default_role = 'py:obj'
autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [(name, 'params_style') for name in ('Attributes', 'Requires', 'Adds')]
napoleon_use_rtype = False
python_maximum_signature_line_length = 100
python_use_unqualified_type_names = True

html_theme = 'furo'
html_title = f'mmdecouple {__version__}'
html_static_path = ['_static']
html_css_files = ['site.css']
html_additional_pages = {'index': 'redirect.html'}
templates_path = ['_templates']
html_copy_source = False
html_show_sourcelink = False
pygments_style = 'friendly'
pygments_dark_style = 'monokai'
