"""Links to files and folders of the repository, written as on a hosting site.

A link to a file that is no page of the site leads to a page that shows it; a link to a folder leads to its README.
"""

import html
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

_FOLDER = 'files'
_KIND = 'repository-file'


def mark_links(app: Sphinx, doctree: nodes.document) -> None:
    """Turns download links into links to pages of files, and links to folders into links to their READMEs."""
    folder = posixpath.dirname(app.env.docname)
    for link in list(doctree.findall(addnodes.download_reference)):
        path = posixpath.normpath(posixpath.join(folder, link['reftarget']))
        app.env.repository_files = getattr(app.env, 'repository_files', set()) | {path}
        link.replace_self(
            addnodes.pending_xref('', *link.children, refdomain='', reftype=_KIND, reftarget=path, refexplicit=True)
        )
    for link in doctree.findall(addnodes.pending_xref):
        path = posixpath.normpath(posixpath.join(folder, link['reftarget']))
        if link['reftype'] == 'myst' and (Path(app.srcdir) / path / 'README.md').is_file():
            link.attributes.update(refdomain='doc', reftarget=f'{path}/README', reftargetid=None)


def resolve_link(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Returns the link to the page of a file."""
    if node['reftype'] != _KIND:
        return None
    target = f'{_FOLDER}/{node["reftarget"]}'
    return nodes.reference(
        '', '', content, internal=True, refuri=app.builder.get_relative_uri(node.get('refdoc', env.docname), target)
    )


def file_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yields a page with the highlighted text of each linked file."""
    for path in sorted(getattr(app.env, 'repository_files', ())):
        text = (Path(app.srcdir) / path).read_text(encoding='utf-8')
        try:
            language = get_lexer_for_filename(path).aliases[0]
        except ClassNotFound:
            language = 'text'
        shown = app.builder.highlighter.highlight_block(text, language)
        yield f'{_FOLDER}/{path}', dict(title=path, body=f'<h1>{html.escape(path)}</h1>\n{shown}'), 'page.html'


def setup(app: Sphinx) -> dict[str, Any]:
    """Connects the steps; links are marked before Sphinx copies the targets of download links."""
    app.connect('doctree-read', mark_links, priority=400)
    app.connect('missing-reference', resolve_link)
    app.connect('html-collect-pages', file_pages)
    return dict(parallel_read_safe=False, parallel_write_safe=True, env_version=1)
