"""What the API pages list, formulas in docstrings, and links from short names."""

import re
from typing import Any, NamedTuple

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

_LINKED = ('class', 'exception', 'function')
# Type of the attributes of a named tuple, which its docstring describes.
_TUPLE_FIELD = type(NamedTuple('Pair', [('first', int)]).first)


def skip_fields(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Omits the fields of named tuples, whose own docstring is `Alias for field number N`."""
    return True if isinstance(member, _TUPLE_FIELD) else None


def escape_bars(app: Sphinx, what: str, name: str, member: Any, options: Any, lines: list[str]) -> None:
    """Keeps the bars of formulas such as `1 / |F|`, which would be substitutions in reStructuredText."""
    lines[:] = [re.sub(r'(`[^`]*`)|\|', lambda found: found[1] or r'\|', line) for line in lines]


def resolve_name(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Returns the link from a name such as `DecouplingBranch` to the documented object whose full name ends with it.

    If a package shows an object that one of its modules defines, the link leads to the entry of the package.
    """
    if node.get('refdomain') != 'py' or not node['reftarget'].isidentifier():
        return None
    end = f'.{node["reftarget"]}'
    objects = env.domains.python_domain.objects
    found = [name for name, entry in objects.items() if name.endswith(end) and entry.objtype in _LINKED]
    if not found:
        return None
    entry = objects[min(found, key=len)]
    return make_refnode(app.builder, node['refdoc'], entry.docname, entry.node_id, content)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connects the steps."""
    app.connect('autodoc-skip-member', skip_fields)
    app.connect('autodoc-process-docstring', escape_bars)
    app.connect('missing-reference', resolve_name)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
