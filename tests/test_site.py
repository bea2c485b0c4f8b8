"""The documentation site: its pages are reachable, what they quote exists, the notebook runs, and the site builds."""

import ast
import re
import subprocess
import sys
from functools import cache
from importlib import import_module, util
from pathlib import Path

import pytest

from mmdecouple.table_of_truth.published import read_entries

from .docs.shell import blocks
from .docs.tools import ROOT
from .test_visualization.browsers import headless_browser

DOCS = ROOT / 'docs'
PACKAGES = (
    'masks',
    'decoupling',
    'models',
    'datasets',
    'datasets.transforms',
    'engine',
    'engine.hooks',
    'evaluation',
    'visualization',
)


@cache
def messages() -> list[str]:
    """All texts in the code, with a zero character in place of the parts that vary."""
    found = []
    for path in (ROOT / 'mmdecouple').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.append(''.join(p.value if isinstance(p, ast.Constant) else '\0' for p in node.values))
    return found


def test_every_message_of_the_faq_is_one_that_the_code_gives():
    quoted = re.findall(r'^### `(.+)`$', (DOCS / 'faq.md').read_text(), re.MULTILINE)
    patterns = [re.compile('.*'.join(re.escape(part) for part in text.split('...')), re.DOTALL) for text in quoted]
    absent = [text for text, pattern in zip(quoted, patterns) if not any(map(pattern.search, messages()))]
    assert absent == [] and len(quoted) > 25


def listed(page: Path) -> set[Path]:
    """The pages that the tables of contents of a page and of its entries name."""
    found: set[Path] = set()
    for _, block in blocks(page.read_text(), '{toctree}'):
        names = [line for line in block.splitlines() if line and not line.startswith(':')]
        found |= {path.resolve() for name in names for path in page.parent.glob(f'{name}.md')}
    return found.union(*(listed(entry) for entry in found))


def test_every_page_is_in_the_navigation():
    pages = {*ROOT.glob('*.md'), *(ROOT / 'configs').glob('*/README.md'), *DOCS.rglob('*.md')}
    pages = {page for page in pages if '_build' not in page.parts}
    assert pages - listed(DOCS / 'index.md') == {DOCS / 'index.md'}


def test_the_glossary_is_sorted_and_has_no_term_twice():
    terms = [
        re.sub(r'[^a-z ]', '', text.lower())
        for text in re.findall(r'^(.+)\n: ', (DOCS / 'glossary.md').read_text(), re.MULTILINE)
    ]
    assert terms == sorted(set(terms)) and len(terms) > 40


def test_the_cells_of_the_notebook_run_at_a_tiny_size(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = {'__name__': 'tutorial'}
    for line, code in blocks((DOCS / 'tutorial.md').read_text(), '{code-cell}'):
        if code.startswith(':tags: [parameters]'):
            names = {node.id for node in ast.walk(ast.parse(code.partition('\n')[2])) if isinstance(node, ast.Name)}
            tiny = dict(images=8, epochs=2, batch_size=4, measured_images=10)
            assert names == tiny.keys()
            namespace |= tiny
        else:
            exec(compile('\n' * (line - 1) + code, 'tutorial.md', 'exec'), namespace)
    assert len(re.findall(r'^(ibot|ibot-d|untrained) +context_shift +\d', capsys.readouterr().out, re.MULTILINE)) == 3
    assert (tmp_path / 'work_dirs/tutorial/report/report.html').stat().st_size > 10_000


def table():
    spec = util.spec_from_file_location('model_table', ROOT / 'tools' / 'misc' / 'model_table.py')
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_model_table_has_every_config_and_its_numbers():
    module, text = table(), (DOCS / 'model_table.md').read_text()
    entries = read_entries()
    assert [entry.path for entry in entries] == re.findall(r'^\| \[.+?\]\(\.\./(.+?)\)', text, re.MULTILINE)
    recomputed = [entry for entry in entries if 'mocov2_r50_8xb32-200e' in entry.path]
    assert len(recomputed) == 1 and all(f'| {" | ".join(module.row(entry))} |\n' in text for entry in recomputed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_model_table_is_up_to_date():
    module = table()
    assert module.document() == module.OUT.read_text()


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> Path:
    pytest.importorskip('furo')
    out = tmp_path_factory.mktemp('site')
    command = [
        sys.executable,
        '-m',
        'sphinx',
        '--fail-on-warning',
        '--keep-going',
        '-q',
        '-c',
        DOCS,
        '-d',
        out / 'trees',
    ]
    done = subprocess.run([*command, ROOT, out / 'html'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return out / 'html'


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_site_builds_without_a_warning_and_refers_to_no_other_host(site):
    pages = list(site.rglob('*.html'))
    assert len(pages) > 100
    loaded = re.compile(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//([^"/]+)')
    assert {host for page in pages for host in loaded.findall(page.read_text())} == set()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_public_name_has_an_entry(site):
    from sphinx.util.inventory import InventoryFile

    inventory = InventoryFile.loads((site / 'objects.inv').read_bytes(), uri='')
    documented = {
        name.rpartition('.')[2] for kind, names in inventory.data.items() if kind.startswith('py:') for name in names
    }
    public = {name for package in PACKAGES for name in import_module(f'mmdecouple.{package}').__all__}
    assert len(public) > 150 and public - documented == set()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_search_works_without_a_server_and_pages_fit_a_phone(site, tmp_path):
    with headless_browser() as browser:
        page = browser.new_page(viewport=dict(width=1280, height=900))
        requests: list[str] = []
        page.on('request', lambda request: requests.append(request.url))
        page.goto(f'file://{site}/search.html?q=context+shift')
        page.wait_for_selector('ul.search li a', timeout=20_000)
        assert any(
            'measuring_coupling' in link.get_attribute('href') for link in page.query_selector_all('ul.search li a')
        )
        for scheme, width in (('light', 1280), ('light', 390), ('dark', 1280), ('dark', 390)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(dict(width=width, height=900))
            for name in ('index', 'tutorial', 'model_table', 'measuring_coupling', 'api/decoupling'):
                page.goto(f'file://{site}/docs/{name}.html')
                page.screenshot(path=tmp_path / f'{name.replace("/", "_")}_{width}_{scheme}.png')
                assert page.evaluate('document.documentElement.scrollWidth') <= width, (name, width)
        background = page.evaluate('getComputedStyle(document.body).backgroundColor')
        assert max(map(int, re.findall(r'\d+', background)[:3])) < 60
        assert [url for url in requests if not url.startswith('file:')] == []
